// Package clientip finds the client address of a request, and the networks that it
// counts in. It trusts only the proxies that it is told of.
package clientip

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the proxies in front of a site.
type Proxies struct {
	trusted []netip.Prefix
	header  string
}

// New returns the proxies of these networks, which name the client in one header. If
// the header is empty, it is X-Forwarded-For. The error names all mistakes.
func New(networks []netip.Prefix, header string) (*Proxies, error) {
	p := &Proxies{header: http.CanonicalHeaderKey(header)}
	var errs []error
	for _, network := range networks {
		if network.Addr().Is4In6() && network.Bits() >= 96 {
			network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
		}
		switch {
		case !network.IsValid():
			errs = append(errs, errors.New("walkin: Config.Proxies.Trusted has a prefix that is none"))
		case network.Addr().Is4In6():
			errs = append(errs, fmt.Errorf("walkin: Config.Proxies.Trusted has %v, which is neither IPv4 nor IPv6", network))
		case network.Bits() == 0:
			errs = append(errs, fmt.Errorf("walkin: Config.Proxies.Trusted has %v: with it every visitor chooses their own address", network))
		default:
			p.trusted = append(p.trusted, network.Masked())
		}
	}
	switch {
	case header == "":
		p.header = forwardedFor
	case len(networks) == 0:
		errs = append(errs, fmt.Errorf("walkin: Config.Proxies.Header is %q without Proxies.Trusted, whose header it would be", header))
	case !isFieldName(header):
		errs = append(errs, fmt.Errorf("walkin: Config.Proxies.Header %q is not the name of a header", header))
	}
	return p, errors.Join(errs...)
}

// Client returns the address of the client, as walkin.Middleware.ClientAddr says. It
// fails closed: where a trusted proxy names no client, the address is that proxy's.
func (p *Proxies) Client(r *http.Request) netip.Addr {
	addr, _ := parseNode(r.RemoteAddr)
	if !p.isTrusted(addr) { // which the zero address never is
		return addr
	}
	// Only one header is trusted. Proxies pass on what they do not set themselves, so
	// every other header can be forged by the client.
	lines := r.Header[p.header]
	switch p.header {
	case forwardedFor:
		return p.walk(addr, lines, lastForwardedFor)
	case forwarded:
		return p.walk(addr, lines, lastForwarded)
	}
	if len(lines) > 0 {
		// The last: a proxy that adds a line puts it behind the client's.
		if client, ok := parseNode(strings.Trim(lines[len(lines)-1], " \t")); ok {
			return client
		}
	}
	return addr
}

const (
	forwardedFor = "X-Forwarded-For"
	forwarded    = "Forwarded"
)

// walk goes from a trusted peer towards the client. It reads from the right over all
// lines, since every proxy adds what it saw behind what it was told. It ends at the
// first hop that no trusted proxy vouches for. What stands before that hop can be
// forged by the client and is not even read.
func (p *Proxies) walk(known netip.Addr, lines []string, last func(string) (node, rest string, more bool)) netip.Addr {
	for _, line := range slices.Backward(lines) {
		for more := true; more; {
			var node string
			node, line, more = last(line)
			addr, ok := parseNode(node)
			if !ok {
				// An empty one counts, too. It may stand for a client that its proxy
				// could not name, and to skip it is to trust that client.
				return known
			}
			if known = addr; !p.isTrusted(addr) {
				return addr
			}
		}
	}
	return known // all of them are trusted, and so is the first
}

func (p *Proxies) isTrusted(addr netip.Addr) bool {
	return slices.ContainsFunc(p.trusted, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// Networks returns the networks that an address counts in, as keys, the smallest first.
func Networks(addr netip.Addr) []string {
	switch {
	case !addr.IsValid():
		return []string{"unknown"} // not RemoteAddr, which may be what a client made up
	case addr.Is4():
		return []string{addr.String()}
	}
	return []string{
		netip.PrefixFrom(addr, 64).Masked().String(),
		netip.PrefixFrom(addr, 48).Masked().String(),
	}
}

// HasPeer reports whether a request says which address it came from. A request through
// a Unix socket does not.
func HasPeer(r *http.Request) bool {
	_, ok := parseNode(r.RemoteAddr)
	return ok
}

// Overlooks reports whether no proxy is trusted, but a request seems to come through
// one. The header may have been written by anyone, so this is only a hint.
func (p *Proxies) Overlooks(r *http.Request) bool {
	peer, ok := parseNode(r.RemoteAddr)
	return len(p.trusted) == 0 && (!ok || isInternal(peer)) && (r.Header.Get(forwardedFor) != "" || r.Header.Get(forwarded) != "")
}

// parseNode reads an address in any of the ways in which proxies write one, and
// net/http and middleware a RemoteAddr: with or without a port, in brackets or, for
// IPv6 without a port, not.
func parseNode(s string) (netip.Addr, bool) {
	host := s
	switch {
	case strings.HasPrefix(s, "["):
		inner, port, ok := strings.Cut(s[1:], "]")
		if !ok || port != "" && !isPort(port) || !strings.Contains(inner, ":") {
			return netip.Addr{}, false
		}
		host = inner
	case strings.Count(s, ":") == 1:
		i := strings.IndexByte(s, ':')
		if !isPort(s[i:]) {
			return netip.Addr{}, false
		}
		host = s[:i]
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, false
	}
	return plain(addr), true
}

// isPort reports whether s is a colon and a port, which RFC 7239 lets a proxy
// obfuscate: letters, digits and "._-" behind an underscore.
func isPort(s string) bool {
	port := strings.TrimPrefix(s, ":")
	if len(port) == len(s) || port == "" {
		return false
	}
	if hidden, ok := strings.CutPrefix(port, "_"); ok {
		return hidden != "" && strings.Trim(hidden, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
	}
	return len(port) <= 5 && strings.Trim(port, "0123456789") == ""
}

// plain folds what are two spellings of one address.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// lastForwardedFor cuts the last hop off a line of X-Forwarded-For.
func lastForwardedFor(line string) (node, rest string, more bool) {
	i := strings.LastIndexByte(line, ',')
	return strings.Trim(line[i+1:], " \t"), line[:max(i, 0)], i >= 0
}

// lastForwarded cuts the last hop off a line of Forwarded (RFC 7239 §4). A hop
// that is not written as one, or does not say for whom, is "".
//
// It looks for the comma from the right. From the left, a quotation mark that
// the client leaves open would swallow what the proxies add.
func lastForwarded(line string) (node, rest string, more bool) {
	start, quoted := len(line), false
	for start > 0 {
		c := line[start-1]
		if c == '"' && !isEscaped(line, start-1) {
			quoted = !quoted
		} else if c == ',' && !quoted {
			break
		}
		start--
	}
	return forwardedNode(line[start:]), line[:max(start-1, 0)], start > 0
}

// isEscaped reports whether an odd number of backslashes stands before s[i].
func isEscaped(s string, i int) bool {
	before := s[:i]
	return (len(before)-len(strings.TrimRight(before, `\`)))%2 == 1
}

// forwardedNode returns the one "for" of a hop, or "".
func forwardedNode(hop string) string {
	node, found := "", false
	for hop = strings.Trim(hop, " \t"); hop != ""; {
		name, value, ok := strings.Cut(hop, "=")
		if !ok {
			return ""
		}
		if strings.HasPrefix(value, `"`) {
			value, hop, ok = cutQuoted(value)
		} else {
			// More tolerant than the RFC: "for=[::1]" and "for=192.0.2.1:80" should be
			// quoted, and are accepted.
			end := strings.IndexByte(value, ';')
			if end < 0 {
				end = len(value)
			}
			value, hop = strings.TrimRight(value[:end], " \t"), value[end:]
			ok = !strings.ContainsAny(value, "\" \t\\")
		}
		hop = strings.TrimLeft(hop, " \t")
		if !ok || hop != "" && hop[0] != ';' {
			return ""
		}
		hop = strings.TrimLeft(strings.TrimPrefix(hop, ";"), " \t")
		if strings.EqualFold(strings.Trim(name, " \t"), "for") {
			if found {
				return "" // which of them?
			}
			node, found = value, true
		}
	}
	return node
}

// cutQuoted reads the quoted-string (RFC 9110 §5.6.4) that s begins with.
func cutQuoted(s string) (text, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// isInternal reports whether an address is one that no visitor of a public site has.
func isInternal(addr netip.Addr) bool {
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()
}

func isFieldName(s string) bool {
	const token = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"
	return strings.Trim(s, token) == ""
}
