// Package ormtest tests what docs/data-layer.md and docs/users-table.md say. It is a
// module of its own, so that users do not get what it imports.
package ormtest
