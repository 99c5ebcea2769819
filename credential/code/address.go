package code

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/form"
	"github.com/walkin-go/walkin/credential/internal/mailbox"
	"github.com/walkin-go/walkin/internal/numerals"
)

// Bounds on what is behind the + of a number. E.164 has 15 digits at most; the
// shortest that are in use have seven.
const minNumber, maxNumber = 7, 15

// email returns the one spelling of an e-mail address, or a 422. It removes the blanks
// around it and makes it lower case, the local part too. A server may tell cases apart
// (RFC 5321, 2.4), but hardly one does, and visitors type one address in every case. The
// message goes to the same spelling. So even on such a server a visitor cannot prove
// another user's mailbox.
func email(typed string) (string, error) {
	address := strings.TrimSpace(typed)
	if address == "" {
		return "", form.Unfit(ReasonNoAddress, "code.no_address")
	}
	// Before lower case: the Kelvin sign's is a k.
	if strings.ContainsFunc(address, func(c rune) bool { return c >= utf8.RuneSelf }) {
		return "", noEmail()
	}
	if address = strings.ToLower(address); !mailbox.IsAddress(address) {
		return "", noEmail()
	}
	return address, nil
}

func noEmail() *walkin.Refusal {
	return form.Unfit(ReasonBadAddress, "code.bad_address")
}

// separators are what visitors write between the digits of a number, beside what
// numerals.ASCII drops, and the plus sign of East Asian keyboards.
var separators = strings.NewReplacer(".", "", "/", "", "(", "", ")", "", "\uff08", "", "\uff09", "", "\uff0b", "+")

// phone returns an E.164 number without its separators and in ASCII, or a 422. It guesses at
// no country: the same national number is another owner's elsewhere.
func phone(typed string) (string, error) {
	number := separators.Replace(numerals.ASCII(typed))
	switch {
	case number == "":
		return "", form.Unfit(ReasonNoAddress, "code.no_number")
	case !isNumber(number):
		return "", noPhone()
	}
	return number, nil
}

func noPhone() *walkin.Refusal {
	return form.Unfit(ReasonBadAddress, "code.bad_number")
}

func isNumber(s string) bool {
	digits, ok := strings.CutPrefix(s, "+")
	return ok && len(digits) >= minNumber && len(digits) <= maxNumber && digits[0] != '0' && strings.Trim(digits, "0123456789") == ""
}

// checked holds an app's own spelling to what keeps a message a message to one
// address.
func checked(kind Kind, own func(string) (string, error)) func(string) (string, error) {
	return func(typed string) (string, error) {
		address, err := own(typed)
		switch {
		case err != nil:
			return "", err
		case kind == Phone && !isNumber(address):
			return "", noPhone()
		case kind == Email && !isOneMailbox(address):
			return "", noEmail()
		}
		return address, nil
	}
}

// isOneMailbox is mailbox.IsAddress for all of Unicode that can be seen, and
// ASCII as there.
func isOneMailbox(s string) bool {
	if len(s) > mailbox.MaxLength || !utf8.ValidString(s) {
		return false
	}
	// What is beyond ASCII counts as a letter, for the rules on all else.
	plain := strings.Map(func(c rune) rune {
		switch {
		case c < utf8.RuneSelf:
			return c
		case unicode.IsGraphic(c) && !unicode.IsSpace(c):
			return 'a'
		}
		return ' '
	}, s)
	local, _, _ := strings.Cut(s, "@")
	return len(local) <= 64 && mailbox.IsAddress(plain)
}
