package password_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
)

func TestNames(t *testing.T) {
	label63, local64 := strings.Repeat("a", 63), strings.Repeat("b", 64)
	for _, tt := range []struct{ name, typed, want, reason string }{
		{"address", "ann@example.com", "ann@example.com", ""},
		{"case and blanks", "\t Ann.Smith+x@EXAMPLE.Co.UK\u00a0\r\n", "ann.smith+x@example.co.uk", ""},
		{"every sign", "!#$%&'*+-/=?^_`{|}~@a.io", "!#$%&'*+-/=?^_`{|}~@a.io", ""},
		{"longest local part", local64 + "@a.io", local64 + "@a.io", ""},
		{"punycode", "a@xn--mnchen-3ya.de", "a@xn--mnchen-3ya.de", ""},
		{"longest address", local64 + "@" + label63 + "." + label63 + "." + label63[:61], local64 + "@" + label63 + "." + label63 + "." + label63[:61], ""},
		{"longer", local64 + "@" + label63 + "." + label63 + "." + label63[:62], "", "name_long"},
		{"local part too long", local64 + "b@a.io", "", "name_address"},
		{"label too long", "a@" + label63 + "a.io", "", "name_address"},
		{"two mailboxes", "a@b.io@c.io", "", "name_address"},
		{"a list", "a@b.io,c@d.io", "", "name_address"},
		{"a display name", "Ann<a@b.io>", "", "name_address"},
		{"quoted", `"a"@b.io`, "", "name_address"},
		{"a comment", "a(x)@b.io", "", "name_address"},
		{"no local part", "@b.io", "", "name_address"},
		{"no domain", "a@", "", "name_address"},
		{"dots", "a..b@c.io", "", "name_address"},
		{"leading dot", ".a@c.io", "", "name_address"},
		{"trailing dot", "a.@c.io", "", "name_address"},
		{"absolute domain", "a@c.io.", "", "name_address"},
		{"empty label", "a@c..io", "", "name_address"},
		{"localhost", "a@localhost", "", "name_address"},
		{"address literal", "a@[127.0.0.1]", "", "name_address"},
		{"IP address", "a@127.0.0.1", "", "name_address"},
		{"hyphen first", "a@-x.io", "", "name_address"},
		{"hyphen last", "a@x-.io", "", "name_address"},
		{"underscore in the domain", "a@x_y.io", "", "name_address"},
		{"the first and the last letter and digit", "az09@az09.az", "az09@az09.az", ""},
		{"signs beside the letters in the domain", "a@x{y.io", "", "name_address"},
		{"and before them", "a@x`y.io", "", "name_address"},
		{"signs beside the digits", "a@x/y.io", "", "name_address"},
		{"and behind them", "a@x:y.io", "", "name_address"},
		{"user name", "Ann_B-2.0", "ann_b-2.0", ""},
		{"shortest", "ann", "ann", ""},
		{"too short", "an", "", "name_length"},
		{"longest user name", local64, local64, ""},
		{"too long", local64 + "b", "", "name_length"},
		{"a slash", "ann/bob", "", "name_signs"},
		{"a sign of addresses", "ann+bob", "", "name_signs"},
		{"a quote", "ann'--", "", "name_signs"},
		{"empty", "", "", "no_name"},
		{"blank", " \u3000\n", "", "no_name"},
		{"space inside", "ann smith", "", "name_blank"},
		{"newline inside", "a@b.io\r\nBcc: c@d.io", "", "name_blank"},
		{"NUL", "ann\x00", "", "name_blank"},
		{"DEL", "ann\x7f", "", "name_blank"},
		{"NFC", "josé@example.com", "", "name_ascii"},
		{"NFD", "jose\u0301@example.com", "", "name_ascii"},
		{"dotless i", "mıke@github.com", "", "name_ascii"},
		{"Kelvin sign", "\u212aate", "", "name_ascii"},
		{"zero width", "ann\u200b", "", "name_ascii"},
		{"not UTF-8", "ann\xff", "", "name_ascii"},
		{"the first byte beyond ASCII", "ann\x80", "", "name_ascii"},
		{"64 KB", strings.Repeat("a", 60_000), "", "name_long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proof, err := newSite(t, nil).SignUp(form(t, tt.typed, secret))
			if tt.reason != "" {
				refusal(t, err, http.StatusUnprocessableEntity, walkin.Reason(tt.reason), tt.typed)
			} else if err != nil || proof.Subject != tt.want {
				t.Errorf("got %q, %v, want %q", proof.Subject, err, tt.want)
			}
		})
	}
}

// TestNumbers holds which numbers are names, with Config.Phones: those of E.164, in one
// spelling.
func TestNumbers(t *testing.T) {
	s := newSite(t, func(c *password.Config) { c.Proven, c.Phones = true, true })
	for _, tt := range []struct{ typed, want string }{
		{"+4915112345678", "+4915112345678"},
		{" +49 151 12345678\n", "+4915112345678"},
		{"+1234567", "+1234567"},
		{"+123456789012345", "+123456789012345"},
		{"+123456", ""},
		{"+1234567890123456", ""},
		{"4915112345678", ""},
		{"+04915112345678", ""},
		{"+49151abc45678", ""},
		{"+49-151-12345678", ""},
		{"+", ""},
		{"", ""},
		{"ann@example.com", ""},
	} {
		proof, err := s.SignIn(form(t, tt.typed, secret))
		want := walkin.Reason("unknown_name") // which is a name
		status := http.StatusUnauthorized
		if tt.want == "" {
			want, status = "name_number", http.StatusUnprocessableEntity
		}
		if r, ok := errors.AsType[*walkin.Refusal](err); !ok || r.Reason != want || r.Status != status || proof.Subject != "" {
			t.Errorf("%q: got %v, want %d for %s", tt.typed, err, status, want)
		}
	}
	s.own(t, walkin.Proof{Provider: "phone", Subject: "+4915100000000"}) // proven, and without a password
	_, err := s.SignIn(form(t, "+4915100000000", secret))
	refusal(t, err, http.StatusUnauthorized, "unknown_name")
	if proof, err := s.SignUp(form(t, "+4915112345678", secret)); err == nil {
		t.Errorf("got %+v for a number that was not proven", proof)
	}
	s.own(t, walkin.Proof{Provider: "phone", Subject: "+4915112345678", Secret: []byte(hashed(t))})
	if proof, err := s.SignIn(form(t, " +49 151 12345678", secret)); err != nil || proof.Subject != "+4915112345678" {
		t.Errorf("another spelling: got %q, %v", proof.Subject, err)
	}
}

// hashed returns a hash of secret.
func hashed(t *testing.T) string {
	t.Helper()
	s := newSite(t, nil)
	s.signUp(t, name, secret)
	return s.stored(t, name)
}

// A name that was taken is ASCII, fits into a store, and is its own spelling.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"ann", " Ann@Example.com ", "a@b@c.io", "jose\u0301@example.com", "a@[127.0.0.1]", "\u212aate", "a..b@c.io"} {
		f.Add(seed)
	}
	s := &site{}
	var err error
	if s.Password, err = password.New(middleware(f, &broken{}, nil), password.Config{}); err != nil {
		f.Fatal(err)
	}
	s.SetIDKey(quick)
	f.Fuzz(func(t *testing.T, typed string) {
		proof, err := s.SignUp(form(t, typed, "a password of nobody"))
		if err != nil {
			return
		}
		subject := proof.Subject
		if len(subject) < 3 || len(subject) > 254 || len(subject) != utf8.RuneCountInString(subject) ||
			strings.ContainsFunc(subject, func(c rune) bool { return c <= ' ' || 'A' <= c && c <= 'Z' }) {
			t.Errorf("got %q", subject)
		}
		if again, err := s.SignUp(form(t, subject, "a password of nobody")); err != nil || again.Subject != subject {
			t.Errorf("%q became %q, %v", subject, again.Subject, err)
		}
	})
}
