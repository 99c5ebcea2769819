package code

import (
	"bytes"
	"cmp"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
)

// Kind is what codes are sent to.
type Kind uint8

const (
	Email Kind = iota // the provider "email"
	Phone             // the provider "phone"; numbers are E.164, "+14155550123"
)

// Config says what is sent where. Middleware, Store, Sender and Key are required.
type Config struct {
	Middleware *walkin.Middleware

	// Store has the tickets and the identities; the one of walkin.Config.
	Store walkin.Store

	// Sender sends the messages.
	Sender Sender

	// Key is at least 32 random bytes, the same on all replicas, such as
	// walkin.Key.Derive returns. What is used is derived from it for this
	// purpose alone.
	Key []byte

	// OldKeys are no longer, or not yet, used to sign; codes that they signed
	// are accepted. To change Key, add the new one here on all replicas, then
	// swap the two, and remove the old one after ten minutes. Nil ends the
	// codes that are on their way when Key changes, and nothing else.
	OldKeys [][]byte

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

	// Normalise returns the one spelling of an address that a visitor typed,
	// as which it is sent to and becomes an identity, or a *walkin.Refusal.
	// Nil takes for Email one mailbox in ASCII and makes it lower case, and
	// for Phone an E.164 number without its separators. One of the app's own
	// may know national numbers, or take addresses beyond ASCII: then one
	// mailbox must have one spelling, NFC for one. What it returns is checked
	// once more, so that it is one address and no second line.
	Normalise func(typed string) (string, error)

	// Secret reads from the form that asks for a code what is to be stored
	// with the identity once its address is proven, if it is new then: the
	// hash of a password, see password.Password.NewSecret. Until then it is
	// in the ticket. It counts only in the browser that it was typed in: not
	// where somebody else has a copy of the session. Nil stores nothing.
	Secret func(r *http.Request) ([]byte, error)

	// The limits on messages. Zero for PerBrowser is 10 an hour; for
	// PerNetwork, an IPv4 address or an IPv6 /64, 30 an hour, and four times
	// as many for a /48; for PerAddressAndNetwork 5 in 6 hours; for
	// PerAddress 10 in 6 hours. For these two ann.lee@example.com and
	// annlee+1@example.com are one. A code that is right at the first try is
	// given back to the last two. There is no way to turn one off.
	PerBrowser, PerNetwork, PerAddressAndNetwork, PerAddress limit.Limit

	// Limiter counts messages. Nil is limit.New(0), in which every
	// replica counts for itself. While it fails, that is what happens, too.
	Limiter limit.Limiter

	// Timeout is how long Sender may take; 0 is 10 seconds.
	Timeout time.Duration

	// Domain is that of walkin.Config, for the cookie that marks the browser
	// which asked.
	Domain string

	// Logger is told when the store failed where that is not an answer; nil is
	// silence.
	Logger *slog.Logger
}

// New returns a Codes, or an error that names every mistake in cfg.
func New(cfg Config) (*Codes, error) {
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("walkin: code: "+format, args...))
	}
	if cfg.Middleware == nil {
		mistake("Config.Middleware is required")
	}
	if cfg.Store == nil {
		mistake("Config.Store is required")
	}
	cfg.Store = walkin.Bounded(cfg.Store)
	if cfg.Sender == nil {
		mistake("Config.Sender is required; Print has one for development")
	}
	if !isKey(cfg.Key) {
		mistake("Config.Key needs at least 32 random bytes")
	}
	for i, old := range cfg.OldKeys {
		if !isKey(old) {
			mistake("Config.OldKeys[%d] needs at least 32 random bytes", i)
		}
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
		wide := limit.Limit{Count: neighbours * min(l.limit.Count, maxCount), Per: l.limit.Per}
		if _, _, err := wide.Take(time.Time{}, time.Now(), 1); err != nil || l.limit.Count > maxCount {
			mistake("Config.%s is %d in %v; it needs a Count of 1 to %d, and a time", l.name, l.limit.Count, l.limit.Per, maxCount)
		}
	}
	if cfg.Timeout < 0 {
		mistake("Config.Timeout is %v, which is negative", cfg.Timeout)
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	own := limit.New(0)
	if cfg.Limiter == nil {
		cfg.Limiter = own
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	// HMAC-SHA256 under one key must not sign both tokens and what is said
	// here: whoever gets one signed could ask for the other.
	var keys [][]byte
	for _, secret := range append([][]byte{cfg.Key}, cfg.OldKeys...) {
		key, err := hkdf.Key(sha256.New, secret, nil, "walkin code v1 "+provider, sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("walkin: code: %w", err)
		}
		keys = append(keys, key)
	}
	cfg.Key, cfg.OldKeys = nil, nil
	c := &Codes{cfg: cfg, provider: provider, keys: keys, limits: limits{cfg.Limiter, own}}
	cfg.Middleware.ClearAtSignOut(c.cookie())
	return c, nil
}

// isKey reports whether a key may be random: not empty, as the Secret of an Ed25519
// key is, and not what make returns.
func isKey(key []byte) bool {
	return len(key) >= 32 && len(bytes.Trim(key, string(key[:1]))) > 0
}

const maxCount = 1_000_000

// isLink reports whether a link can be made of s. It is the app's own words and
// never the request's: a Host header would send codes to whoever wrote it.
func isLink(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil &&
		strings.HasPrefix(u.Path, "/") && !strings.ContainsAny(s, "?#") && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}
