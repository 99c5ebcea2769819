package oidc_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store/memstore"
)

func fine(t testing.TB) (*walkin.Middleware, oidc.Config) {
	t.Helper()
	store := memstore.New()
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: store})
	if err != nil {
		t.Fatal(err)
	}
	return wk, oidc.Config{URL: "https://app.example/auth/", Providers: []oidc.Provider{
		{Name: "op", Issuer: issuer, ClientID: "client"}, oidc.GitHub("client", "secret"),
	}}
}

// issuerOf returns an issuer of n bytes.
func issuerOf(n int) string { return issuer + "/" + strings.Repeat("x", n-len(issuer)-1) }

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*oidc.Config)
		want   string // in the error; empty: there is none
	}{
		{"fine", func(*oidc.Config) {}, ""},
		{"localhost", func(c *oidc.Config) {
			c.URL, c.Providers[0].Issuer = "http://localhost:8080/auth", "http://127.0.0.1:9998/"
		}, ""},
		{"localhost of IPv6, and below localhost", func(c *oidc.Config) {
			c.URL, c.Providers[0].Issuer = "http://[::1]:8080/auth", "http://op.localhost:9998/"
		}, ""},
		{"another address", func(c *oidc.Config) { c.URL = "http://192.0.2.1/auth/" }, "http is for localhost alone"},
		{"a name that ends like localhost", func(c *oidc.Config) { c.URL = "http://notlocalhost/auth/" }, "http is for localhost alone"},
		{"no scheme of the web", func(c *oidc.Config) { c.URL = "ftp://localhost/auth/" }, "it is not https"},
		{"no URL", func(c *oidc.Config) { c.URL = "" }, "Config.URL"},
		{"a path", func(c *oidc.Config) { c.URL = "/auth/" }, "Config.URL"},
		{"http", func(c *oidc.Config) { c.URL = "http://app.example/auth/" }, "http is for localhost alone"},
		{"no host", func(c *oidc.Config) { c.URL = "https:///auth/" }, "it is no URL of a page"},
		{"an opaque URL", func(c *oidc.Config) { c.URL = "https:app.example/auth/" }, "it is no URL of a page"},
		{"what cannot be parsed", func(c *oidc.Config) { c.URL = "https://app.example/%zz" }, "it is no URL"},
		{"a fragment", func(c *oidc.Config) { c.URL += "#x" }, "it is no URL of a page"},
		{"a query", func(c *oidc.Config) { c.URL += "?x" }, "it has a query"},
		{"no providers", func(c *oidc.Config) { c.Providers = nil }, "Config.Providers is required"},
		{"no name", func(c *oidc.Config) { c.Providers[0].Name = "" }, "Name"},
		{"a path as name", func(c *oidc.Config) { c.Providers[0].Name = "../op" }, "Name"},
		{"no client", func(c *oidc.Config) { c.Providers[0].ClientID = "" }, "ClientID is required"},
		{"no issuer", func(c *oidc.Config) { c.Providers[0].Issuer = "" }, "Issuer"},
		{"an http issuer", func(c *oidc.Config) { c.Providers[0].Issuer = "http://op.example" }, "Issuer"},
		{"a user in the issuer", func(c *oidc.Config) { c.Providers[0].Issuer = "https://op.example@evil.example" }, "Issuer"},
		{"an issuer of 255 bytes", func(c *oidc.Config) { c.Providers[0].Issuer = issuerOf(255) }, ""},
		{"an issuer of 256 bytes", func(c *oidc.Config) { c.Providers[0].Issuer = issuerOf(256) }, "it has more than 255 bytes"},
		{"an issuer that is long and wrong", func(c *oidc.Config) { c.Providers[0].Issuer = "http" + issuerOf(300)[len("https"):] }, "it is not https"},
		{"a limit without a time", func(c *oidc.Config) { c.PerNetwork.Count = 1 }, "Config.PerNetwork is 1 in 0s"},
		{"a limit of one's own", func(c *oidc.Config) { c.PerNetwork = limit.Limit{Count: 1, Per: time.Hour} }, ""},
		{"two of a name", func(c *oidc.Config) { c.Providers[0].Name = "github" }, "two of that name"},
		{"two of an issuer", func(c *oidc.Config) { c.Providers[0].Issuer = "https://github.com" }, "two of that issuer"},
		{"a state of one's own", func(c *oidc.Config) { c.Providers[0].Params = map[string]string{"state": "x"} }, "Params has state"},
		{"a max_age of one's own", func(c *oidc.Config) { c.Providers[0].Params = map[string]string{"max_age": "0"} }, "Params has max_age"},
		{"an AuthURL and a TokenURL without Fetch", func(c *oidc.Config) { c.Providers[1].Fetch = nil }, "Fetch is nil"},
		{"an AuthURL without Fetch", func(c *oidc.Config) { c.Providers[0].AuthURL = issuer + "/authorize" }, "Fetch is nil"},
		{"a TokenURL without Fetch", func(c *oidc.Config) { c.Providers[0].TokenURL = issuer + "/token" }, "Fetch is nil"},
		{"an http TokenURL", func(c *oidc.Config) { c.Providers[1].TokenURL = "http://github.com/" }, "TokenURL"},
		{"no AuthURL", func(c *oidc.Config) { c.Providers[1].AuthURL = "" }, "AuthURL"},
	} {
		wk, cfg := fine(t)
		c.change(&cfg)
		h, err := oidc.New(wk, cfg)
		switch {
		case c.want == "" && (err != nil || h == nil):
			t.Errorf("%s: got %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "walkin: oidc: ") || strings.Contains(err.Error(), "%!")):
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	wk, cfg := fine(t)
	if _, err := oidc.New(nil, cfg); err == nil || !strings.HasPrefix(err.Error(), "walkin: oidc: ") {
		t.Errorf("without a middleware: got %v", err)
	}
	_, err := oidc.New(wk, oidc.Config{Providers: []oidc.Provider{{}}})
	if n := strings.Count(err.Error(), "\n"); n < 3 {
		t.Errorf("got %v, want every mistake", err)
	}
}

// TestConfigIsCopied holds that a change to what New was given changes nothing.
func TestConfigIsCopied(t *testing.T) {
	params := map[string]string{"hd": "app.example", "prompt": "select_account"}
	scopes := []string{"email"}
	s := newSite(t, provider(func(p *oidc.Provider) { p.Params, p.Scopes = params, scopes }))
	params["state"], scopes[0] = "x", "everything"
	c, _ := s.anonymous()
	q := s.press(c, "op").Query()
	if q.Get("hd") != "app.example" || q.Get("prompt") != "select_account" || q.Get("state") == "x" || q.Get("scope") != "openid email" {
		t.Errorf("got %v", q)
	}
	if got := s.press(c, "op", "reproof", "1").Query()["prompt"]; len(got) != 1 || got[0] != "login" {
		t.Errorf("got prompt %q for a re-proof", got)
	}
}

// TestNames holds what pages learn about the providers, for their buttons.
func TestNames(t *testing.T) {
	wk, cfg := fine(t)
	h, err := oidc.New(wk, cfg)
	if err != nil {
		t.Fatal(err)
	}
	names := h.Names()
	if !slices.Equal(names, []string{"op", "github"}) {
		t.Errorf("got %q", names)
	}
	names[0] = "changed"
	if got := h.Names(); got[0] != "op" {
		t.Errorf("after a change of the copy: got %q", got)
	}
	for _, tt := range []struct{ name, title, issuer string }{
		{"op", "Op", issuer},
		{"github", "GitHub", "https://github.com"},
		{"unheard-of", "", ""},
		{"", "", ""},
	} {
		if title, from := h.Title(tt.name), h.Issuer(tt.name); title != tt.title || from != tt.issuer {
			t.Errorf("%q: got %q of %q, want %q of %q", tt.name, title, from, tt.title, tt.issuer)
		}
	}
}
