package suite_test

import (
	"testing"

	"github.com/walkin-go/walkin/adapters/internal/suite"
)

// TestNetHTTP holds the suite itself to what is right by definition. The
// WebSocket libraries are not in this module; chiwalkin's test has them.
func TestNetHTTP(t *testing.T) { suite.Run(t, suite.NetHTTP(nil, nil)) }

// TestSameWithoutUs holds that net/http's own writer, router and server behave with
// walkin as without.
func TestSameWithoutUs(t *testing.T) { suite.Same(t, suite.BareNetHTTP) }
