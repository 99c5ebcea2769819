//go:build !unix

package sqlstore_test

import "testing"

func crashes(t *testing.T, _ database) { t.Skip("a process is killed here the way Unix does it") }

func chaos(t *testing.T, _ database) { t.Skip("a process is killed here the way Unix does it") }
