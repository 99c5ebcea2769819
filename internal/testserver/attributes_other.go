//go:build !linux

package testserver

import (
	"syscall"
	"testing"
)

// attributes does nothing where this is not Linux: the server runs as the user who
// tests.
func attributes(testing.TB, string, string) *syscall.SysProcAttr { return nil }
