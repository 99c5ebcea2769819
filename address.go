package walkin

import (
	"net/http"
	"net/netip"

	"github.com/walkin-go/walkin/internal/clientip"
)

// ClientAddr returns the address of whoever sent the request, as far as it can
// be known: the peer, or, when the peer is one of Config.Proxies.Trusted, the
// first hop behind it that is none. It is never IPv4-mapped and has no zone.
//
// It fails closed. Where a trusted proxy says nothing, or something that is no
// address ("unknown", an obfuscated name), it is the address of that proxy: such
// requests share what they may do, with each other and with nobody who has an
// address. A peer without an address, on a Unix socket for one, is the zero Addr.
func (m *Middleware) ClientAddr(r *http.Request) netip.Addr { return m.limits.proxies.Client(r) }

// ClientNetworks returns what the request counts against where something is
// limited by network, as keys, the smallest network first: the address itself,
// or for IPv6 the /64 and the /48 around it, since one home has at least the
// first and anybody can rent the second. Limit the second more loosely, by four
// times or so. What has no address has one network, of its own.
func (m *Middleware) ClientNetworks(r *http.Request) []string {
	return clientip.Networks(m.ClientAddr(r))
}
