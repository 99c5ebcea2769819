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

// origin asks Config.ClientAddr, and RemoteAddr when that has no answer: so
// whoever sends a forwarding header that makes no sense counts as the proxy,
// and is neither unlimited nor in the way of those who send none. A RemoteAddr
// that is no IP address, of a Unix socket for one, is an origin of its own.
func (p *Password) origin(r *http.Request) origin {
	var addr netip.Addr
	if p.clientAddr != nil {
		addr = p.clientAddr(r)
	}
	if !addr.IsValid() {
		remote, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			return origin{r.RemoteAddr, r.RemoteAddr}
		}
		addr = remote.Addr()
	}
	addr = addr.Unmap().WithZone("")
	address, network := 64, 48
	if addr.Is4() {
		address, network = 32, 24
	}
	return origin{prefix(addr, address), prefix(addr, network)}
}

func prefix(addr netip.Addr, bits int) string {
	p, _ := addr.Prefix(bits) // the address has that many
	return p.String()
}
