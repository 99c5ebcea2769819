package walkin

import (
	"net/http"
	"net/netip"

	"github.com/walkin-go/walkin/internal/clientip"
)

// ClientAddr returns the address of the client, as far as it can be known: the TCP
// peer, or, when the peer is one of Config.Proxies.Trusted, the rightmost address that
// is not a trusted proxy. It is never IPv4-mapped and has no zone.
//
// It fails closed. Where a trusted proxy names no client, or something that is not an
// address ("unknown", an obfuscated name), the result is the address of that proxy.
// Such requests share one limit, and share it with no client that has an address. For a
// peer without an address, as on a Unix socket, it is the zero Addr.
func (m *Middleware) ClientAddr(r *http.Request) netip.Addr { return m.limits.proxies.Client(r) }

// ClientNetworks returns the keys for limits by network, the smallest network first:
// the address itself, or for IPv6 the /64 and the /48 around it. One home has at least
// a /64, and anyone can rent a /48, so limit the second more loosely, by four times or
// so. A request without an address has one key of its own.
func (m *Middleware) ClientNetworks(r *http.Request) []string {
	return clientip.Networks(m.ClientAddr(r))
}
