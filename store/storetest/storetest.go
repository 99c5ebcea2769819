// Package storetest is the conformance suite of store.Store. A store that
// passes Run keeps the promises that walkin makes to a site's visitors.
package storetest

import (
	"testing"

	"github.com/walkin-go/walkin/store"
)

// An Opener makes an empty database and returns a function that opens a handle on it.
// Two handles are two replicas over one database. It cleans up after itself with
// t.Cleanup.
type Opener func(t *testing.T) (open func(t *testing.T) store.Store)

// Run runs the whole suite.
func Run(t *testing.T, open Opener) {
	t.Run("contract", func(t *testing.T) { runContract(t, open) })
	t.Run("database", func(t *testing.T) { runDatabase(t, open) })
	t.Run("directory", func(t *testing.T) { runDirectory(t, open) })
	t.Run("feed", func(t *testing.T) { runFeed(t, open) })
	t.Run("sweep", func(t *testing.T) { runSweep(t, open) })
	t.Run("scenarios", func(t *testing.T) { runScenarios(t, open) })
}
