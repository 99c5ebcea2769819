package memstore_test

import (
	"testing"

	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func(*testing.T) store.Store {
		s := memstore.New() // two replicas in one process share the one value
		return func(*testing.T) store.Store { return s }
	})
}
