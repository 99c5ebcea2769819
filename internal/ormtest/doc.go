// Package ormtest holds docs/data-layer.md and docs/users-table.md to what they say.
// It is a module of its own: what it imports is no user's concern.
package ormtest
