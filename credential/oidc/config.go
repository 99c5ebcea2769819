package oidc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/limit"
)

// Config says where visitors can prove who they are. URL and Providers are required.
type Config struct {
	// URL is where browsers find the [Handler], such as https://www.example.com/auth/.
	// The callback of a provider is below it: callback/ and the provider's name. http
	// is for localhost alone. Name its path in the middleware's Paths.Credentials, so
	// that pressing a sign-in button does not make a reader an anonymous user.
	URL string

	// Providers are where visitors may come from.
	Providers []Provider

	// Page shows what went wrong, best on the page that has the buttons: with
	// [walkin.Form] as the forms of walkin show a refusal. Its request is for the page
	// where the visitor wanted to go, without code and state. If nil,
	// [walkin.Middleware.Refuse] answers.
	Page walkin.Page

	// PerNetwork is how many sign-ins may begin, per network of
	// walkin.Middleware.ClientNetworks, and four times as many for the larger one of
	// IPv6. Each is a ticket in the store for a quarter of an hour. A sign-in that
	// comes back is given back. Zero is 100 in 15 minutes. The limit cannot be turned
	// off.
	PerNetwork limit.Limit

	// Client calls the providers; nil is a client of the package's own. Either way a
	// call takes 10 seconds at most, to the last byte, and an answer of more than 1 MB
	// is an error.
	Client *http.Client
}

// A Provider vouches for its users.
type Provider struct {
	// Name is what the form calls it, and the end of its callback's path:
	// lower-case letters, digits and hyphens. Required.
	Name string

	// Title is what visitors call it, for a button. Empty is Name with a capital letter.
	Title string

	// Issuer is the provider of its identities. For OpenID it is the issuer, exactly as
	// the discovery document has it. Another issuer means another set of users.
	// Required.
	Issuer string

	// ClientID is what the provider calls this site; required. ClientSecret proves it;
	// empty is for a client without a secret.
	ClientID, ClientSecret string

	// Scopes are the scopes to ask for. Nil is profile and email for OpenID, and none
	// for others. For OpenID, openid is always added.
	Scopes []string

	// Params are more parameters for the provider's page, such as hd or
	// login_hint.
	Params map[string]string

	// FormPost asks for the answer in a post, as Apple requires it for a name or an
	// address. If the site has an http.CrossOriginProtection of its own in front, let
	// that post pass it; see docs/oidc.md.
	FormPost bool

	// VerifiesEmail believes the provider's email_verified. Set it for providers that
	// send a mail to every address before they call it verified, and for addresses that
	// a provider hands out itself. Zero believes no provider.
	VerifiesEmail bool

	// SignInIsProof counts a sign-in as a proof of this moment when the provider does
	// not say when its user last typed or touched anything. Google and GitHub do not
	// say it. With it, a visitor at a computer that was left open passes. Zero counts
	// such a sign-in as no proof for Config.Sessions.RecentProof and RequireRecent.
	// Users who have nothing but this provider then cannot link, remove or change
	// anything that needs a recent proof.
	SignInIsProof bool

	// AuthURL, TokenURL and Fetch are for OAuth without OpenID, and empty otherwise.
	// Fetch asks the provider's API; the client sends the access token along. It
	// returns a Subject that never changes and is never given to another user, a number
	// rather than a name. Its error is for the operator and must hold nothing of the
	// answer.
	AuthURL, TokenURL string
	Fetch             func(ctx context.Context, client *http.Client) (Profile, error)
}

const (
	callTime  = 10 * time.Second // for all that one request asks of a provider
	maxAnswer = 1 << 20          // bytes; what they send has some 10 KB
)

// bounded returns a client whose every call ends: discovery, keys, token, userinfo and
// what a Fetch asks for. The bounds are here, in front of all of them, since the
// libraries read some answers without one. client itself does not change.
func bounded(client *http.Client) *http.Client {
	own := http.Client{}
	if client != nil {
		own = *client
	}
	if own.Timeout <= 0 || own.Timeout > callTime {
		own.Timeout = callTime // a slow drip, too: it counts until the body ends
	}
	if own.Transport == nil {
		own.Transport = http.DefaultTransport
	}
	if t, ok := own.Transport.(*http.Transport); ok && (t.MaxResponseHeaderBytes <= 0 || t.MaxResponseHeaderBytes > maxAnswer) {
		t = t.Clone()
		t.MaxResponseHeaderBytes = maxAnswer
		own.Transport = t
	}
	own.Transport = shortAnswers{own.Transport}
	return &own
}

// shortAnswers makes a longer body an error, after decompression. One that ends
// early instead might pass for a whole answer.
type shortAnswers struct{ http.RoundTripper }

func (s shortAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxAnswer)
	}
	return response, err
}

// New returns a Handler, or an error that lists everything wrong in cfg. It calls no
// provider: that happens when a visitor first presses a button, so a provider that is
// down does not keep the site from starting.
func New(wk *walkin.Middleware, cfg Config) (*Handler, error) {
	if wk == nil {
		return nil, errors.New("walkin: oidc: New needs a middleware")
	}
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("walkin: oidc: "+format, args...))
	}
	base, err := checkURL(cfg.URL)
	if err == nil && base.RawQuery != "" {
		err = errors.New("it has a query")
	}
	if err != nil {
		mistake("Config.URL is not like https://www.example.com/auth/: %w", err)
		base = &url.URL{}
	}
	if len(cfg.Providers) == 0 {
		mistake("Config.Providers is required")
	}
	cfg.Client = bounded(cfg.Client)
	if cfg.PerNetwork == (limit.Limit{}) {
		cfg.PerNetwork = limit.Limit{Count: 100, Per: 15 * time.Minute}
	}
	if err := limits.Check(cfg.PerNetwork); err != nil {
		mistake("Config.PerNetwork is %w", err)
	}
	h := &Handler{middleware: wk, store: wk.Store(), page: cfg.Page, providers: map[string]*provider{},
		perNetwork: cfg.PerNetwork, limits: limits.Limits{Limiter: wk.Limiter()}}
	issuers := map[string]bool{}
	for i, p := range cfg.Providers {
		for _, err := range p.mistakes() {
			mistake("Config.Providers[%d] %q: %w", i, p.Name, err)
		}
		if h.providers[p.Name] != nil {
			mistake("Config.Providers[%d] %q: there are two of that name", i, p.Name)
		}
		if issuers[p.Issuer] {
			// Which of two clients an identity came by must make no difference.
			mistake("Config.Providers[%d] %q: there are two of that issuer", i, p.Name)
		}
		issuers[p.Issuer] = true
		p.Scopes, p.Params = slices.Clone(p.Scopes), maps.Clone(p.Params)
		h.names = append(h.names, p.Name)
		h.providers[p.Name] = newProvider(p, cfg.Client, base.JoinPath("callback", p.Name).String())
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	h.inside = wk.Handler(http.HandlerFunc(h.serve))
	return h, nil
}

// ours are the parameters that only this package may set.
var ours = [...]string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce",
	"code_challenge", "code_challenge_method", "request", "request_uri", "max_age"}

func (p Provider) mistakes() (found []error) {
	mistake := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	if p.Name == "" || strings.Trim(p.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		mistake("Name is not of lower-case letters, digits and hyphens")
	}
	_, err := checkURL(p.Issuer)
	if err == nil && len(p.Issuer) > 255 {
		err = errors.New("it has more than 255 bytes")
	}
	if err != nil {
		mistake("Issuer is not like https://accounts.example.com: %w", err)
	}
	if p.ClientID == "" {
		mistake("ClientID is required")
	}
	for _, name := range ours {
		if _, ok := p.Params[name]; ok {
			mistake("Params has %s, which is set here", name)
		}
	}
	switch {
	case p.Fetch == nil && (p.AuthURL != "" || p.TokenURL != ""):
		mistake("AuthURL and TokenURL are for a provider without OpenID, and Fetch is nil")
	case p.Fetch != nil:
		if _, err := checkURL(p.AuthURL); err != nil {
			mistake("AuthURL: %w", err)
		}
		if _, err := checkURL(p.TokenURL); err != nil {
			mistake("TokenURL: %w", err)
		}
	}
	return found
}

// checkURL tells what is wrong with a URL that a code or a secret goes to.
func checkURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("it is no URL") // the error quotes it
	case u.Host == "" || u.User != nil || u.Fragment != "":
		return nil, errors.New("it is no URL of a page")
	case u.Scheme == "http" && isLocal(u.Hostname()):
		return u, nil
	case u.Scheme != "https":
		return nil, errors.New("it is not https, and http is for localhost alone")
	}
	return u, nil
}

func isLocal(host string) bool {
	addr, _ := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || addr.IsLoopback()
}
