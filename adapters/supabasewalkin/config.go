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

// Config says what the endpoint offers. URL, SiteURL and Profiles are required; the
// zero value of all else is the careful choice.
type Config struct {
	// URL is where clients and browsers reach the handler, without a slash at the
	// end: https://example.com/auth/v1. Required. It is in mailed links.
	URL string

	// SiteURL is where a link leads that names no other place. Required.
	SiteURL string

	// RedirectURLs are the other places that a link or a provider may lead to:
	// exactly these, a query aside. One with * in it stands for any text without a
	// slash, or with ** for any text; only flows with PKCE may lead there, since
	// tokens in a fragment would be anybody's who finds an open redirect. Nil is none.
	RedirectURLs []string

	// Profiles keeps what supabase-js knows of a user and walkin does not. Required;
	// see [Memory] and [SQL].
	Profiles Profiles

	// PublishableKeys are the values of the "apikey" header that clients send. They
	// are in every page, and so no secrets. Nil asks for none.
	PublishableKeys []string

	// SecretKeys open the admin calls, as a bearer: 32 characters at least. They are
	// compared as they are, and are no JWTs. Nil closes the admin calls.
	SecretKeys []string

	// Origins are the origins of pages that may read the answers. Nil is all: the
	// endpoint takes no cookie, so a page has nothing that its code did not send.
	Origins []string

	// Send sends a code, a link or both by mail, and SendSMS by phone. Nil switches
	// off what needs it.
	Send    func(ctx context.Context, m Message) error
	SendSMS func(ctx context.Context, m Message) error

	// Passwords makes and checks hashes; *password.Password of credential/password
	// is one, with its Config.Proven set. PhonePasswords does for phone numbers, with
	// its Config.Phones set as well. Nil refuses passwords.
	Passwords, PhonePasswords Passwords

	// Providers are the OIDC and OAuth providers by the names that clients use; nil
	// is none. See [Provider].
	Providers map[string]Provider

	// Passkeys serves passkeys; *passkey.Passkeys of credential/passkey is one. Nil
	// refuses them.
	Passkeys Passkeys

	// ManualLinking lets users link and unlink identities. False refuses it, as the
	// original does by default.
	ManualLinking bool

	// NoAnonymous refuses signInAnonymously, and NoSignUp every new permanent user.
	NoAnonymous, NoSignUp bool

	// Autoconfirm takes addresses as proven that nobody proved: for tests. Whoever
	// is first with an address then owns it. It alone opens the window in which a
	// refresh token of before an upgrade is good once more.
	Autoconfirm bool

	// TokenLife is how long an access token lives, an hour at most, and
	// AnonymousTokenLife the same for anonymous users. Zero is an hour and 10
	// minutes. The session behind it lives for walkin.Config.Tokens.Lifetime.
	TokenLife, AnonymousTokenLife time.Duration

	// SendLimit is how many messages go to one address; zero is 5 an hour. Four
	// times as many go to the addresses that one network asks for.
	SendLimit limit.Limit

	// OnAdmin is told of every admin call that changes or hands out something. Nil
	// tells nobody.
	OnAdmin func(ctx context.Context, action string, userID uuid.UUID, r *http.Request)
}

// A Message is what is sent to an address.
type Message struct {
	To   string
	Kind string // signup, magiclink, recovery, email_change, invite, reauthentication, sms, phone_change
	Code string
	Link string // empty for phones and reauthentication
}

// Passwords is what the endpoint needs of a package for passwords. Both read the
// form fields email and password of r.
type Passwords interface {
	NewSecret(r *http.Request) ([]byte, error)
	SignIn(r *http.Request) (walkin.Proof, error)
}

// New checks cfg and returns a Handler, or an error that names every mistake. It
// refuses a middleware whose keys getClaims of supabase-js would throw at: it knows
// RS256 and ES256, and no EdDSA. See walkin.KeyFileES256.
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

// publicKeys returns the middleware's key set in the words of the original.
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
