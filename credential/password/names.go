package password

import "strings"

// Bounds on names, in bytes. An address fits into an SMTP path (RFC 5321,
// 4.5.3.1 with erratum 1690), and each into an identity's subject.
const (
	maxAddress = 254
	maxLocal   = 64
	maxLabel   = 63
	minUser    = 3
	maxUser    = 64
)

// normalise returns the one spelling of a login name, or a 422 that says what
// is wrong with it: without the blanks around it, in lower case, an e-mail
// address when there is an @ in it and a user name otherwise.
//
// Names are ASCII. Beyond it, one name has several encodings (NFC and NFD) and
// several names look the same (a Cyrillic а, a dotless ı), and telling them
// apart is a table and a policy that a login name does not need. An address's
// local part may depend on its case (RFC 5321, 2.4); hardly a provider does
// that, and people type one address in every case.
func normalise(typed string) (string, error) {
	name := strings.TrimSpace(typed)
	if name == "" {
		return "", unfit("no_name", "Please enter your e-mail address or user name.")
	}
	if len(name) > maxAddress {
		return "", unfit("name_long", "That name is too long. Please enter an e-mail address or a user name.")
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c == 0x7f {
			return "", unfit("name_blank", "A name has no spaces in it. Please leave them out.")
		}
		if c > 0x7f {
			return "", unfit("name_ascii", "Please use a name of plain letters (a to z), digits and common signs.")
		}
	}
	name = strings.ToLower(name)
	local, domain, isAddress := strings.Cut(name, "@")
	switch {
	case isAddress && !(validLocal(local) && validDomain(domain)):
		return "", unfit("name_address", "That is not an e-mail address. One looks like name@example.com.")
	case !isAddress && (len(name) < minUser || len(name) > maxUser):
		return "", unfit("name_length", "Please use a user name of 3 to 64 characters, or an e-mail address.")
	case !isAddress && !only(name, "._-"):
		return "", unfit("name_signs", "A user name is made of the letters a to z, digits, dots, hyphens and underscores.")
	}
	return name, nil
}

// validLocal reports whether s is the part of an address before the @: a
// dot-atom (RFC 5322, 3.2.3). Quoted ones are refused; they spell one mailbox
// in many ways, and nobody has one.
func validLocal(s string) bool {
	if len(s) > maxLocal {
		return false
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || !only(atom, "!#$%&'*+-/=?^_`{|}~") {
			return false
		}
	}
	return true
}

// validDomain reports whether s is a host name with a dot (RFC 1123, 2.1) whose
// last label has a letter, so neither localhost nor an IP address.
func validDomain(s string) bool {
	last := s[strings.LastIndexByte(s, '.')+1:]
	if len(last) == len(s) || strings.Trim(last, "0123456789") == "" {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' || !only(label, "-") {
			return false
		}
	}
	return true
}

// only reports whether s is made of lower-case letters, digits and the signs.
func only(s, signs string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte(signs, c) >= 0) {
			return false
		}
	}
	return true
}
