package walkin

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ClientAddr returns the address of whoever sent the request, as far as it can
// be known: the peer, or, when the peer is one of Config.TrustedProxies, the
// first hop behind it that is none. It is never IPv4-mapped and has no zone.
//
// It fails closed. Where a trusted proxy says nothing, or something that is no
// address ("unknown", an obfuscated name), it is the address of that proxy: such
// requests share what they may do, with each other and with nobody who has an
// address. A peer without an address, on a Unix socket for one, is the zero Addr.
func (m *Middleware) ClientAddr(r *http.Request) netip.Addr {
	addr, ok := parsePeer(r.RemoteAddr)
	if !ok || !m.isTrusted(addr) {
		return addr
	}
	// Only one header is believed. Proxies pass on what they do not set
	// themselves, so every other one is the client's own words.
	lines := r.Header[m.cfg.AddressHeader]
	switch m.cfg.AddressHeader {
	case headerForwardedFor:
		return m.walk(addr, lines, lastForwardedFor)
	case headerForwarded:
		return m.walk(addr, lines, lastForwarded)
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
	headerForwardedFor = "X-Forwarded-For"
	headerForwarded    = "Forwarded"
)

// walk goes from a trusted peer towards the client: from the right over all
// lines, since every proxy adds what it saw behind what it was told. It ends at
// the first hop that nobody vouches for; what stands before it is the client's
// own words and not even looked at.
func (m *Middleware) walk(known netip.Addr, lines []string, last func(string) (node, rest string, more bool)) netip.Addr {
	for _, line := range slices.Backward(lines) {
		for more := true; more; {
			var node string
			node, line, more = last(line)
			addr, ok := parseNode(node)
			if !ok {
				// Also an empty one: it may stand for a client that its
				// proxy could not name, and to skip it is to believe that
				// client.
				return known
			}
			if known = addr; !m.isTrusted(addr) {
				return addr
			}
		}
	}
	return known // all of them are trusted, and so is the first
}

func (m *Middleware) isTrusted(addr netip.Addr) bool {
	return slices.ContainsFunc(m.cfg.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// ClientNetworks returns what the request counts against where something is
// limited by network, as keys, the smallest network first: the address itself,
// or for IPv6 the /64 and the /48 around it, since one home has at least the
// first and anybody can rent the second. Limit the second more loosely, by four
// times or so. What has no address has one network, of its own.
func (m *Middleware) ClientNetworks(r *http.Request) []string {
	addr := m.ClientAddr(r)
	switch {
	case !addr.IsValid():
		return []string{"unknown"} // not RemoteAddr, which may be anybody's words here
	case addr.Is4():
		return []string{addr.String()}
	}
	return []string{
		netip.PrefixFrom(addr, 64).Masked().String(),
		netip.PrefixFrom(addr, 48).Masked().String(),
	}
}

// parsePeer reads a RemoteAddr. Middleware that writes one leaves out the port.
func parsePeer(s string) (netip.Addr, bool) {
	if peer, err := netip.ParseAddrPort(s); err == nil {
		return plain(peer.Addr()), true
	}
	return parseNode(s)
}

// parseNode reads an address in any of the ways in which proxies write one: with
// or without a port, in brackets or, for IPv6 without a port, not.
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
		if c == '"' && !(quoted && isEscaped(line, start-1)) {
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
			// Too kind to tokens: "for=[::1]" and "for=192.0.2.1:80" should
			// be quoted, and are understood.
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

// isInternal reports whether an address is none that a visitor of a public site
// has.
func isInternal(addr netip.Addr) bool {
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()
}

// trustedPrefixes returns the prefixes as [Middleware.ClientAddr] compares them.
func trustedPrefixes(prefixes []netip.Prefix, mistake func(string, ...any)) []netip.Prefix {
	var trusted []netip.Prefix
	for _, p := range prefixes {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		switch {
		case !p.IsValid():
			mistake("Config.TrustedProxies has a prefix that is none")
		case p.Addr().Is4In6():
			mistake("Config.TrustedProxies has %v, which is neither IPv4 nor IPv6", p)
		case p.Bits() == 0:
			mistake("Config.TrustedProxies has %v: with it every visitor chooses their own address", p)
		default:
			trusted = append(trusted, p.Masked())
		}
	}
	return trusted
}

func isFieldName(s string) bool {
	const token = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"
	return s != "" && strings.Trim(s, token) == ""
}
