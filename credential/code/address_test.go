package code_test

import (
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
)

func TestAddresses(t *testing.T) {
	label63, local64 := strings.Repeat("a", 63), strings.Repeat("b", 64)
	for _, tt := range []struct{ name, typed, want string }{ // empty is refused
		{"address", "ann@example.com", "ann@example.com"},
		{"case and blanks", " Ann.Smith+x@EXAMPLE.Co.UK\t", "ann.smith+x@example.co.uk"},
		{"longest", local64 + "@" + label63 + "." + label63 + "." + label63[:61], local64 + "@" + label63 + "." + label63 + "." + label63[:61]},
		{"too long", local64 + "@" + label63 + "." + label63 + "." + label63[:62], ""},
		{"local part too long", local64 + "b@a.io", ""},
		{"label too long", "a@" + label63 + "a.io", ""},
		{"empty", " ", ""},
		{"no address", "ann", ""},
		{"two mailboxes", "a@b.io,c@d.io", ""},
		{"two mailboxes, a blank between", "a@b.io c@d.io", ""},
		{"two @", "a@b@c.io", ""},
		{"display name", "Ann <a@b.io>", ""},
		{"angle brackets", "<a@b.io>", ""},
		{"group", "g:a@b.io;", ""},
		{"comment", "a(c)@b.io", ""},
		{"quoted", `"a"@b.io`, ""},
		{"route", "@x.io:a@b.io", ""},
		{"percent route", "a%c.io@b.io", "a%c.io@b.io"},
		{"header injection", "a@b.io\r\nBcc: c@d.io", ""},
		{"bare LF", "a@b.io\nBcc: c@d.io", ""},
		{"line break at the end", "a@b.io\r\n", "a@b.io"},
		{"SMTP parameters", "a@b.io> BODY=8BITMIME", ""},
		{"NUL", "a@b.io\x00", ""},
		{"localhost", "a@localhost", ""},
		{"address literal", "a@[127.0.0.1]", ""},
		{"IP address", "a@127.0.0.1", ""},
		{"hyphen", "a@-x.io", ""},
		{"dotless i", "mıke@github.com", ""},
		{"Kelvin sign", "\u212aate@example.com", ""},
		{"NFD", "jose\u0301@example.com", ""},
		{"other domain", "a@münchen.de", ""},
		{"right to left", "a@b.io\u202e", ""},
	} {
		t.Run(tt.name, func(t *testing.T) { sends(t, newWorld(t), sendPath, "email", tt.typed, tt.want) })
	}
}

func TestNumbers(t *testing.T) {
	for _, tt := range []struct{ name, typed, want string }{
		{"plain", "+14155550123", "+14155550123"},
		{"separators", " +49 (170) 123-45.67/8 ", "+4917012345678"},
		{"non-breaking space", "+33\u00a01\u00a023\u00a045\u00a067\u00a089", "+33123456789"},
		{"shortest", "+6834000", "+6834000"},
		{"too short", "+683400", ""},
		{"longest", "+123456789012345", "+123456789012345"},
		{"too long", "+1234567890123456", ""},
		{"national", "0170 1234567", ""},
		{"without the plus", "14155550123", ""},
		{"international prefix", "00491701234567", ""},
		{"country code zero", "+0491701234567", ""},
		{"letters", "+1800FLOWERS", ""},
		{"extension", "+14155550123;ext=1", ""},
		{"two", "+14155550123,+14155550124", ""},
		{"two plus", "++14155550123", ""},
		{"plus inside", "+1415+5550123", ""},
		{"Arabic digits", "+١٤١٥٥٥٥٠١٢٣", "+14155550123"},
		{"full width", "＋８１（３）１２３４－５６７８", "+81312345678"},
		{"writing direction", "\u202a+1 415 555\u20110123\u202c", "+14155550123"},
		{"Roman numerals", "+\u2160\u2163155550123", ""},
		{"superscript", "+1415555012\u00b3", ""},
		{"line break", "+14155550123\n+14155550124", ""},
		{"empty", "", ""},
		{"plus", "+", ""},
	} {
		t.Run(tt.name, func(t *testing.T) { sends(t, newWorld(t), "/phone/send", "phone", tt.typed, tt.want) })
	}
}

// An app may take addresses beyond ASCII, in a spelling of its own, and still
// none that is more than one address.
func TestOwnNormalise(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 61)+".", 3)
	for _, tt := range []struct{ name, typed, want string }{
		{"beyond ASCII", "josé@münchen.de", "josé@münchen.de"},
		{"two lines", "josé@münchen.de\nBcc: c@d.io", ""},
		{"line separator", "josé@münchen.de\u2028Bcc: c@d.io", ""},
		{"a blank of Unicode", "jo\u2003sé@münchen.de", ""},
		{"right to left", "jo\u202esé@münchen.de", ""},
		{"two mailboxes", "é@a.io,ü@b.io", ""},
		{"display name", "José <josé@a.io>", ""},
		{"capitals", "A@b.io", ""},
		{"not UTF-8", "jos\xff@a.io", ""},
		{"too long", strings.Repeat("é", 33) + "@a.io", ""},
		{"one byte too long", strings.Repeat("é", 32) + "a@a.io", ""},
		{"the longest", strings.Repeat("é", 32) + "@a.io", strings.Repeat("é", 32) + "@a.io"},
		{"the longest altogether", "é@" + long + strings.Repeat("a", 62) + ".io", "é@" + long + strings.Repeat("a", 62) + ".io"},
		{"one byte too long altogether", "é@" + long + strings.Repeat("a", 63) + ".io", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newWorld(t)
			s.change = func(cfg *code.Config) {
				if cfg.Kind == code.Email {
					cfg.Normalise = func(typed string) (string, error) { return typed, nil }
				}
			}
			sends(t, s, sendPath, "email", tt.typed, tt.want)
		})
	}
	s := newWorld(t)
	s.change = func(cfg *code.Config) {
		if cfg.Kind == code.Phone {
			cfg.Normalise = func(typed string) (string, error) {
				if typed == "110" {
					return "+49110110", &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: "emergency"}
				}
				return "+49" + strings.TrimPrefix(typed, "0"), nil
			}
		}
	}
	for _, refused := range []string{"110", "0", "0170 1234567", "01701234567\n+491701234568", strings.Repeat("1", 14)} {
		sends(t, s, "/phone/send", "phone", refused, "")
	}
	sends(t, s, "/phone/send", "phone", "01701234567", "+491701234567")
}

// sends checks as what an address is sent to, and that a refusal quotes nothing.
func sends(t *testing.T, s *world, path, field, typed, to string) {
	t.Helper()
	response := s.stranger(s.replica()).Post(path, url.Values{field: {typed}})
	if to == "" {
		want(t, response, http.StatusUnprocessableEntity)
		if empty := strings.TrimSpace(typed) == ""; (s.lastReason() == "no_address") != empty {
			t.Errorf("got reason %q", s.lastReason())
		}
		if text := body(t, response); len(typed) > 8 && strings.Contains(text, strings.TrimSpace(typed)) {
			t.Errorf("the answer quotes the address: %s", text)
		}
		if len(s.mail.sent()) != 0 {
			t.Errorf("sent to %q", s.mail.sent()[0].To)
		}
		return
	}
	want(t, response, http.StatusSeeOther)
	s.mail.last(t, to)
}

// Whatever is taken for an address is one: to net/mail, to a header, and to
// itself.
func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{"ann@example.com", " Ann@Example.COM ", "Ann <a@b.io>", "a@b.io\r\nBcc: c@d.io", "jose\u0301@a.io", "+1 (415) 555-0123", "a@[::1]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		if got, err := code.NormaliseEmail(typed); err == nil {
			if ascii := strings.TrimSpace(typed); len(ascii) != utf8.RuneCountInString(ascii) {
				t.Errorf("%q became %q", typed, got)
			}
			parsed, parseErr := mail.ParseAddress(got)
			if parseErr != nil || parsed.Address != got || parsed.Name != "" || len(got) > 254 || strings.Count(got, "@") != 1 ||
				strings.ContainsFunc(got, func(c rune) bool { return c <= ' ' || c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' }) {
				t.Errorf("got %q", got)
			}
			if again, err := code.NormaliseEmail(got); again != got || err != nil {
				t.Errorf("%q became %q, %v", got, again, err)
			}
		}
		if got, err := code.NormalisePhone(typed); err == nil {
			if again, err := code.NormalisePhone(got); again != got || err != nil || len(got) > 16 || got[0] != '+' {
				t.Errorf("%q became %q, %v", got, again, err)
			}
		}
		if got, err := code.CheckedEmail(typed); err == nil {
			if !utf8.ValidString(got) || strings.Count(got, "@") != 1 || strings.ContainsAny(got, " \r\n\t<>,;:\"()[]\\") {
				t.Errorf("got %q", got)
			}
		}
	})
}
