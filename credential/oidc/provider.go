package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// algorithms are those that an ID token may be signed by: all of them have a
// public key, so nothing that is public signs one.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// A provider is a Provider with what it says about itself.
type provider struct {
	Provider
	client   *http.Client
	redirect string // its callback

	mu      sync.Mutex
	found   *endpoints // nil until it has answered
	looking *discovery // nil unless a request asks it now
}

// Endpoints are how to talk to a provider.
type endpoints struct {
	oauth    *oauth2.Config
	openid   *goidc.Provider        // nil for OAuth without OpenID
	verifier *goidc.IDTokenVerifier // the same
	sendsIss bool                   // with every answer, RFC 9207
}

// A discovery is one look at the provider, for all who wait for it.
type discovery struct {
	done  chan struct{} // closed when the rest is there
	found *endpoints
	err   error
}

func newProvider(p Provider, client *http.Client, redirect string) *provider {
	made := &provider{Provider: p, client: client, redirect: redirect}
	if p.Fetch != nil {
		made.found = &endpoints{oauth: made.oauth(oauth2.Endpoint{AuthURL: p.AuthURL, TokenURL: p.TokenURL})}
	}
	return made
}

func (p *provider) oauth(at oauth2.Endpoint) *oauth2.Config {
	return &oauth2.Config{ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: at, RedirectURL: p.redirect, Scopes: p.scopes()}
}

func (p *provider) scopes() []string {
	switch {
	case p.Fetch != nil:
		return p.Scopes
	case p.Scopes == nil:
		return []string{goidc.ScopeOpenID, goidc.ScopeProfile, goidc.ScopeEmail}
	case !slices.Contains(p.Scopes, goidc.ScopeOpenID):
		return append([]string{goidc.ScopeOpenID}, p.Scopes...)
	}
	return p.Scopes
}

// endpoints returns how to talk to the provider. What it said once is kept for
// good; one that did not answer is asked again by the next visitor. Of any
// number of visitors one asks and the others wait for the answer.
func (p *provider) endpoints(ctx context.Context) (*endpoints, error) {
	p.mu.Lock()
	if p.found != nil {
		defer p.mu.Unlock()
		return p.found, nil
	}
	d := p.looking
	if d == nil {
		d = &discovery{done: make(chan struct{})}
		p.looking = d
		p.mu.Unlock()
		p.discover(ctx, d)
		return d.found, d.err
	}
	p.mu.Unlock()
	select {
	case <-d.done:
		return d.found, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *provider) discover(ctx context.Context, d *discovery) {
	// Others wait for it, so it goes on when the visitor has gone away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	d.err = errors.New("walkin: oidc: the look at the provider was cut short") // by a panic of Client
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.found, p.looking = d.found, nil
		close(d.done)
	}()
	d.found, d.err = p.ask(ctx)
}

func (p *provider) ask(ctx context.Context) (*endpoints, error) {
	openid, err := goidc.NewProvider(goidc.ClientContext(ctx, p.client), p.Issuer)
	if err != nil {
		return nil, fmt.Errorf("walkin: oidc: discovery: %w", describe(err))
	}
	var more struct {
		Keys     string   `json:"jwks_uri"`
		Auth     []string `json:"token_endpoint_auth_methods_supported"`
		SendsIss bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := openid.Claims(&more); err != nil {
		return nil, errors.New("walkin: oidc: discovery: the document is malformed")
	}
	at := openid.Endpoint()
	for what, where := range map[string]string{"authorization_endpoint": at.AuthURL, "token_endpoint": at.TokenURL, "jwks_uri": more.Keys} {
		if _, err := checkURL(where); err != nil {
			return nil, fmt.Errorf("walkin: oidc: discovery: %s: %w", what, err)
		}
	}
	if where := openid.UserInfoEndpoint(); where != "" {
		if _, err := checkURL(where); err != nil {
			return nil, fmt.Errorf("walkin: oidc: discovery: userinfo_endpoint: %w", err)
		}
	}
	// If the document does not say, it is Basic. Trying out both would show a code
	// twice.
	at.AuthStyle = oauth2.AuthStyleInHeader
	if p.ClientSecret == "" || len(more.Auth) > 0 && !slices.Contains(more.Auth, "client_secret_basic") {
		at.AuthStyle = oauth2.AuthStyleInParams
	}
	return &endpoints{
		oauth:    p.oauth(at),
		openid:   openid,
		verifier: openid.Verifier(&goidc.Config{ClientID: p.ClientID, SupportedSigningAlgs: algorithms}),
		sendsIss: more.SendsIss,
	}, nil
}
