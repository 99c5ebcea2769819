package code

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/limit"
)

// Kind is what codes are sent to.
type Kind uint8

const (
	Email Kind = iota // the provider "email"
	Phone             // the provider "phone"; numbers are E.164, "+14155550123"
)

// Config says what is sent where. Sender is required.
type Config struct {
	// Sender sends the messages.
	Sender Sender

	// Kind is Email when zero. For both, make two Codes.
	Kind Kind

	// Digits is how long a code is, 6 to 8; 0 is 6. With the limits below,
	// guessing at one account all day succeeds with 1 in 5,000 at 6 digits,
	// and 1 in 500,000 at 8.
	Digits int

	// Link is the absolute URL of [Codes.LinkHandler], without a query. It is
	// in every message; empty sends codes alone.
	Link string

	// AddressField and CodeField are the names of the forms' fields; empty is
	// "email" or "phone", and "code".
	AddressField, CodeField string

	// Normalise returns the one spelling of an address that a visitor typed, or a
	// *walkin.Refusal. Messages are sent to that spelling, and it becomes the identity.
	// Nil: for Email it takes one mailbox in ASCII and makes it lower case; for Phone
	// it takes an E.164 number and removes the separators. An app's own function may
	// know national numbers, or take addresses beyond ASCII: then one mailbox must have
	// one spelling, for example NFC. The result is checked again, so that it is one
	// address and no second line.
	Normalise func(typed string) (string, error)

	// Secret reads, from the form that asks for a code, what to store with the identity
	// once its address is proven, if the identity is new then: the hash of a password,
	// see password.Password.NewSecret. Until then it is in the ticket. It counts only
	// in the browser that it was typed in, not in another that has a copy of the
	// session. Nil stores nothing.
	Secret func(r *http.Request) ([]byte, error)

	// The limits on messages. Zero for PerBrowser is 10 an hour. Zero for PerNetwork,
	// an IPv4 address or an IPv6 /64, is 30 an hour, and four times as many for a /48.
	// Zero for PerAddressAndNetwork is 5 in 6 hours. Zero for PerAddress is 10 in 6
	// hours. For the last two, ann.lee@example.com and annlee+1@example.com are one,
	// and a code that is right at the first try is given back. No limit can be turned
	// off.
	PerBrowser, PerNetwork, PerAddressAndNetwork, PerAddress limit.Limit

	// Timeout is how long Sender may take; 0 is 10 seconds.
	Timeout time.Duration
}

// New returns a Codes, or an error that lists everything wrong in cfg.
func New(wk *walkin.Middleware, cfg Config) (*Codes, error) {
	if wk == nil {
		return nil, errors.New("walkin: code: New needs a middleware")
	}
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("walkin: code: "+format, args...))
	}
	if cfg.Sender == nil {
		mistake("Config.Sender is required; Print has one for development")
	}
	provider, normalise := "email", email
	switch cfg.Kind {
	case Email:
	case Phone:
		provider, normalise = "phone", phone
	default:
		mistake("Config.Kind is %d, which is none of the constants", cfg.Kind)
	}
	cfg.Digits = cmp.Or(cfg.Digits, 6)
	if cfg.Digits < 6 || cfg.Digits > 8 {
		mistake("Config.Digits is %d, not 6 to 8", cfg.Digits)
	}
	if cfg.Link != "" && !isLink(cfg.Link) {
		mistake("Config.Link %q is not a URL like https://example.com/code", cfg.Link)
	}
	cfg.AddressField = cmp.Or(cfg.AddressField, provider)
	cfg.CodeField = cmp.Or(cfg.CodeField, "code")
	if cfg.AddressField == cfg.CodeField {
		mistake("Config.AddressField and CodeField are the same, %q", cfg.CodeField)
	}
	if own := cfg.Normalise; own != nil {
		normalise = checked(cfg.Kind, own)
	}
	cfg.Normalise = normalise
	for _, l := range []struct {
		name  string
		limit *limit.Limit
		zero  limit.Limit
	}{
		{"PerBrowser", &cfg.PerBrowser, limit.Limit{Count: 10, Per: time.Hour}},
		{"PerNetwork", &cfg.PerNetwork, limit.Limit{Count: 30, Per: time.Hour}},
		{"PerAddressAndNetwork", &cfg.PerAddressAndNetwork, limit.Limit{Count: 5, Per: 6 * time.Hour}},
		{"PerAddress", &cfg.PerAddress, limit.Limit{Count: 10, Per: 6 * time.Hour}},
	} {
		*l.limit = cmp.Or(*l.limit, l.zero)
		if err := limits.Check(*l.limit); err != nil {
			mistake("Config.%s is %w", l.name, err)
		}
	}
	if cfg.Timeout < 0 {
		mistake("Config.Timeout is %v, which is negative", cfg.Timeout)
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	keys, err := wk.DeriveKeys("walkin code " + provider)
	if err != nil {
		return nil, fmt.Errorf("walkin: code: %w", err)
	}
	c := &Codes{cfg: cfg, wk: wk, store: wk.Store(), provider: provider, keys: keys,
		limits: limits.Limits{Limiter: wk.Limiter()}, mark: wk.Cookie("code-" + provider)}
	wk.ClearAtSignOut(c.mark)
	return c, nil
}

// isLink reports whether a link can be made of s. The URL comes from the app and never
// from the request: with a forged Host header, codes would go to an attacker's site.
func isLink(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil &&
		strings.HasPrefix(u.Path, "/") && !strings.ContainsAny(s, "?#") && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}
