package walkin_test

import (
	"net/http"
	"net/netip"
	"slices"
	"testing"

	"github.com/walkin-go/walkin"
)

// proxies are the two of the tests: one of each kind of address.
var proxies = []string{"10.0.0.0/8", "2001:db8:ffff::/48"}

const (
	proxy  = "10.0.0.1:4711" // one of them
	client = "203.0.113.7"
)

// behind lets the proxies of some networks name the client in a header.
func behind(header string, networks ...string) func(*walkin.Config) {
	return func(c *walkin.Config) {
		c.Proxies.Header = header
		for _, network := range networks {
			c.Proxies.Trusted = append(c.Proxies.Trusted, netip.MustParsePrefix(network))
		}
	}
}

// TestClientAddrOfConfig holds that the middleware believes the proxies of its Config,
// and that New names what is wrong with them; internal/clientip has the rest.
func TestClientAddrOfConfig(t *testing.T) {
	s := newSite(t, behind("X-Real-IP", proxies...))
	r := s.request(http.MethodGet, "/")
	r.RemoteAddr = proxy
	r.Header.Set("X-Real-IP", "203.0.113.7")
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	if got := s.ClientAddr(r).String(); got != "203.0.113.7" {
		t.Errorf("got %s", got)
	}
	if got := s.ClientNetworks(r); !slices.Equal(got, []string{"203.0.113.7"}) {
		t.Errorf("got %q", got)
	}
	_, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: &faultyStore{}, Proxies: walkin.Proxies{Header: "X-Real-IP"}})
	wantError(t, err, "Proxies.Header")
}
