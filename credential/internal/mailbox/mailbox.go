// Package mailbox knows what an e-mail address looks like.
package mailbox

import "strings"

// Bounds in bytes. An address fits into an SMTP path (RFC 5321, 4.5.3.1 with
// erratum 1690).
const (
	MaxLength = 254
	maxLocal  = 64
	maxLabel  = 63
)

// IsAddress reports whether s is one mailbox, in ASCII and in lower case.
func IsAddress(s string) bool {
	local, domain, _ := strings.Cut(s, "@") // without one there is no domain
	return len(s) <= MaxLength && isLocal(local) && isDomain(domain)
}

// isLocal reports whether s is the part of an address before the @: a dot-atom (RFC
// 5322, 3.2.3). Quoted ones are refused: they spell one mailbox in many ways, and are
// not in use.
func isLocal(s string) bool {
	if len(s) > maxLocal {
		return false
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || !Only(atom, "!#$%&'*+-/=?^_`{|}~") {
			return false
		}
	}
	return true
}

// isDomain reports whether s is a host name with a dot (RFC 1123, 2.1) whose
// last label has a letter, so neither localhost nor an IP address.
func isDomain(s string) bool {
	last := s[strings.LastIndexByte(s, '.')+1:]
	if len(last) == len(s) || strings.Trim(last, "0123456789") == "" {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' || !Only(label, "-") {
			return false
		}
	}
	return true
}

// Only reports whether s is made of lower-case letters, digits and the signs.
func Only(s, signs string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte(signs, c) >= 0) {
			return false
		}
	}
	return true
}
