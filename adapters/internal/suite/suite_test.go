package suite_test

import (
	"testing"

	"github.com/walkin-go/walkin/adapters/internal/suite"
)

// TestNetHTTP holds the suite itself to what is right by definition. The
// WebSocket libraries are not in this module; chiwalkin's test has them.
func TestNetHTTP(t *testing.T) { suite.Run(t, suite.NetHTTP(nil, nil)) }
