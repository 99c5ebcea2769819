package docs

import (
	"testing"

	"github.com/walkin-go/walkin/store/sqlstore"
)

// adopted is a new database in the place of a lost one.
func adopted(t *testing.T) *sqlstore.Store {
	t.Helper()
	ctx := t.Context()
	_, store := openSQLite(t)
	err := store.Adopt(ctx, "abcdefgh") // the ID in the event
	ok(t, err)
	return store
}
