package password

import (
	"net/http"
	"net/netip"
)

// An origin is where a request comes from: what one visitor has, and the
// neighbourhood that one attacker can have all of.
type origin struct {
	address string // an IPv4 address, an IPv6 /64
	network string // an IPv4 /24, an IPv6 /48
}

// origin asks the middleware. A request without an address, as of a Unix socket,
// shares an origin with all others of its kind.
func (p *Password) origin(r *http.Request) origin {
	addr := p.wk.ClientAddr(r)
	if addr.Is4() {
		return origin{prefix(addr, 32), prefix(addr, 24)}
	}
	return origin{prefix(addr, 64), prefix(addr, 48)}
}

func prefix(addr netip.Addr, bits int) string {
	p, _ := addr.Prefix(bits) // the address has that many, or there is none and the prefix is invalid
	return p.String()
}
