package password

import (
	"strings"

	"github.com/walkin-go/walkin/credential/internal/form"
	"github.com/walkin-go/walkin/credential/internal/mailbox"
)

// Bounds on user names, in bytes.
const (
	minUser = 3
	maxUser = 64
)

// normalise is for the names of this Password.
func (p *Password) normalise(typed string) (string, error) {
	if p.provider != provenPhone {
		return normalise(typed)
	}
	number := strings.ReplaceAll(strings.TrimSpace(typed), " ", "")
	digits, ok := strings.CutPrefix(number, "+")
	if !ok || len(digits) < minNumber || len(digits) > maxNumber || digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return "", form.Unfit(ReasonNameNumber, "code.bad_number")
	}
	return number, nil
}

// Bounds on the digits of a phone number (E.164).
const (
	minNumber = 7
	maxNumber = 15
)

// normalise returns the one spelling of a login name, or a 422 that says what
// is wrong with it: without the blanks around it, in lower case, an e-mail
// address when there is an @ in it and a user name otherwise.
//
// Names are ASCII. Beyond it, one name has several encodings (NFC and NFD) and
// several names look the same (a Cyrillic а, a dotless ı), and telling them
// apart is a table and a policy that a login name does not need. An address's
// local part may depend on its case (RFC 5321, 2.4); hardly a provider does
// that, and visitors type one address in every case.
func normalise(typed string) (string, error) {
	name := strings.TrimSpace(typed)
	if name == "" {
		return "", form.Unfit(ReasonNoName, "name.missing")
	}
	if len(name) > mailbox.MaxLength {
		return "", form.Unfit(ReasonNameLong, "name.long")
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c == 0x7f {
			return "", form.Unfit(ReasonNameBlank, "name.blank")
		}
		if c > 0x7f {
			return "", form.Unfit(ReasonNameASCII, "name.ascii")
		}
	}
	name = strings.ToLower(name)
	isAddress := strings.Contains(name, "@")
	switch {
	case isAddress && !mailbox.IsAddress(name):
		return "", form.Unfit(ReasonNameAddress, "name.address")
	case !isAddress && (len(name) < minUser || len(name) > maxUser):
		return "", form.Unfit(ReasonNameLength, "name.length")
	case !isAddress && !mailbox.Only(name, "._-"):
		return "", form.Unfit(ReasonNameSigns, "name.signs")
	}
	return name, nil
}
