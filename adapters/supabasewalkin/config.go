package supabasewalkin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
)

// Config says what the endpoint offers. URL, SiteURL and Profiles are required. The
// zero value of every other field is the safe choice.
type Config struct {
	// URL is where clients and browsers reach the handler, without a slash at the end:
	// https://example.com/auth/v1. Required. Mailed links contain it.
	URL string

	// SiteURL is the target of a link that names no other place. Required.
	SiteURL string

	// RedirectURLs are the other places that a link or a provider may lead to. They
	// must match exactly, except for the query. In an entry, * stands for any text
	// without a slash, and ** for any text. Only flows with PKCE may lead to such an
	// entry: otherwise anyone who finds an open redirect gets the tokens in the
	// fragment. If nil, there are no other places.
	RedirectURLs []string

	// Profiles keeps what supabase-js knows of a user and walkin does not. Required.
	// See [Memory] and [SQL].
	Profiles Profiles

	// PublishableKeys are the values of the "apikey" header that clients send. They are
	// in every page, and so they are not secret. If nil, no key is required.
	PublishableKeys []string

	// SecretKeys open the admin calls, as a bearer token. Each has at least 32
	// characters. They are compared as they are, and are not JWTs. If nil, the admin
	// calls are closed.
	SecretKeys []string

	// Origins are the origins of pages that may read the answers. Nil allows all: the
	// endpoint takes no cookie, so a page has nothing that its code did not send.
	Origins []string

	// Send sends a code, a link or both by mail, and SendSMS by phone. If one is nil,
	// what needs it is switched off.
	Send    func(ctx context.Context, m Message) error
	SendSMS func(ctx context.Context, m Message) error

	// Passwords makes and checks hashes. A *password.Password of credential/password
	// will do, with its Config.Proven set. PhonePasswords does the same for phone
	// numbers, with its Config.Phones set as well. If nil, passwords are refused.
	Passwords, PhonePasswords Passwords

	// Providers are the OIDC and OAuth providers by the names that clients use. If nil,
	// there are none. See [Provider].
	Providers map[string]Provider

	// Passkeys serves passkeys. A *passkey.Passkeys of credential/passkey will do. If
	// nil, passkeys are refused.
	Passkeys Passkeys

	// ManualLinking lets users link and unlink identities. If false, that is refused,
	// as the original does by default.
	ManualLinking bool

	// NoAnonymous refuses signInAnonymously. NoSignUp refuses that and every new
	// permanent user, also one who was anonymous. Existing users sign in as before. See
	// [Provider] for handlers of your own.
	NoAnonymous, NoSignUp bool

	// Autoconfirm treats unproven addresses as proven. It is for tests. The first user
	// with an address then owns it. Autoconfirm alone opens the window in which a
	// refresh token from before an upgrade is valid once more.
	Autoconfirm bool

	// TokenLife is how long an access token lives, an hour at most. AnonymousTokenLife
	// is the same for anonymous users. Zero is an hour and 10 minutes. The session
	// behind the token lives for walkin.Config.Tokens.Lifetime.
	TokenLife, AnonymousTokenLife time.Duration

	// SendLimit is how many messages go to one address. Zero is 5 an hour. The
	// addresses that one network asks for get four times as many together.
	SendLimit limit.Limit

	// OnAdmin is called for every admin call that changes or hands out something. If
	// nil, such calls are not reported.
	OnAdmin func(ctx context.Context, action string, userID uuid.UUID, r *http.Request)
}

// A Message is what is sent to an address.
type Message struct {
	To   string
	Kind string // signup, magiclink, recovery, email_change, invite, reauthentication, sms, phone_change
	Code string
	Link string // empty for phones and reauthentication
}

// Passwords is what the endpoint needs of a package for passwords. Both methods read
// the form fields email and password of r.
type Passwords interface {
	NewSecret(r *http.Request) ([]byte, error)
	SignIn(r *http.Request) (walkin.Proof, error)
}

// New checks cfg and returns a Handler, or an error that names every mistake. It
// rejects a middleware whose keys would make getClaims of supabase-js throw: it knows
// RS256 and ES256, but not EdDSA. See walkin.KeyFileES256.
func New(wk *walkin.Middleware, cfg Config) (*Handler, error) {
	var errs []error
	mistake := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("walkin: supabasewalkin: "+format, args...))
	}
	if wk == nil {
		return nil, errors.New("walkin: supabasewalkin: the middleware is nil")
	}
	for name, text := range map[string]string{"URL": cfg.URL, "SiteURL": cfg.SiteURL} {
		if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "" {
			mistake("Config.%s %q is not an absolute URL", name, text)
		}
	}
	if cfg.Profiles == nil {
		mistake("Config.Profiles is nil; Memory has one for a first try")
	}
	for i, key := range cfg.SecretKeys {
		if len(key) < 32 {
			mistake("Config.SecretKeys[%d] has %d characters; 32 random ones are needed", i, len(key))
		}
		if slices.Contains(cfg.PublishableKeys, key) {
			mistake("Config.SecretKeys[%d] is a publishable key as well", i)
		}
	}
	orDefault(&cfg.TokenLife, time.Hour)
	orDefault(&cfg.AnonymousTokenLife, 10*time.Minute)
	for name, life := range map[string]time.Duration{"TokenLife": cfg.TokenLife, "AnonymousTokenLife": cfg.AnonymousTokenLife} {
		if life < time.Minute || life > time.Hour {
			mistake("Config.%s is %v, not between a minute and an hour", name, life)
		}
	}
	if (cfg.SendLimit == limit.Limit{}) {
		cfg.SendLimit = limit.Limit{Count: 5, Per: time.Hour}
	}
	if cfg.SendLimit.Count < 1 || cfg.SendLimit.Per <= 0 {
		mistake("Config.SendLimit is no limit")
	}
	keys, err := wk.DeriveKeys("supabasewalkin codes")
	if err != nil {
		errs = append(errs, err)
	}
	jwks, err := publicKeys(wk)
	if err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/")
	h := &Handler{wk: wk, store: wk.Store(), limiter: wk.Limiter(), cfg: cfg, keys: keys, jwks: jwks, mux: http.NewServeMux()}
	h.routes()
	return h, nil
}

func orDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// publicKeys returns the middleware's key set in the format of the original.
func publicKeys(wk *walkin.Middleware) ([]byte, error) {
	answer := httptest.NewRecorder()
	wk.JWKSHandler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &set); err != nil {
		return nil, err
	}
	for _, key := range set.Keys {
		if key["alg"] == "EdDSA" {
			return nil, errors.New("walkin: supabasewalkin: walkin.Config.Keys has an Ed25519 key, at which getClaims of supabase-js throws; walkin.KeyFileES256 makes another")
		}
		key["key_ops"] = []string{"verify"}
	}
	return json.Marshal(set)
}

// isAny reports whether key is one of keys, in a time that depends on their number.
func isAny(keys []string, key string) bool {
	sum, found := sha256.Sum256([]byte(key)), 0
	for _, k := range keys {
		other := sha256.Sum256([]byte(k))
		found |= subtle.ConstantTimeCompare(sum[:], other[:])
	}
	return found == 1
}
