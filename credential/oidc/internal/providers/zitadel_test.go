package providers_test

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

var (
	ann = url.Values{"username": {"test-user@127.0.0.1"}, "password": {"verysecure"}}
	bea = url.Values{"username": {"test-user2"}, "password": {"verysecure"}}
)

// zitadel starts the example server of zitadel/oidc, for the site at base.
func zitadel(t *testing.T, base string) (issuer string) {
	t.Helper()
	// It logs every request to slog's default.
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	t.Cleanup(func() { slog.SetDefault(before) })

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	issuer = "http://" + l.Addr().String() + "/"
	clients := map[string]*storage.Client{}
	for _, name := range []string{"query", "posted"} {
		clients[name] = storage.WebClient(name, "secret", base+"/auth/callback/"+name)
	}
	kept := storage.NewStorageWithClients(storage.NewUserStore(issuer), clients)
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: exampleop.SetupServer(issuer, kept, nil, false)}}
	server.Start()
	t.Cleanup(server.Close)
	return issuer
}

func TestZitadel(t *testing.T) {
	for name, posts := range map[string]bool{"query": false, "posted": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, oidc.Provider{Name: name, Issuer: zitadel(t, base), ClientID: name, ClientSecret: "secret", FormPost: posts, VerifiesEmail: true})
			s.walk(name, posts, ann, bea)
			if p := s.profiles[0]; p.Subject != "id1" || p.Email != "test-user@zitadel.ch" || p.UnverifiedEmail != "" || p.Name != "Test User" {
				t.Errorf("got %+v", p)
			}

			one := s.person(ann)
			one.prove(name)
			if r := one.Fetch("/danger"); r.StatusCode != http.StatusOK {
				t.Errorf("right after it asked for the password: got %d", r.StatusCode)
			}
			one.prove(name, "reproof", "1")

			// No sign-in there.
			before := one.who()
			to := one.press(name)
			q := to.Query()
			q.Set("prompt", "none")
			to.RawQuery = q.Encode()
			one.wantRefused(one.comeBack(one.goThrough(to)), before, "oidc_denied")

			// PKCE: with another challenge the provider gives no token.
			to = one.press(name)
			q = to.Query()
			q.Set("code_challenge", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
			to.RawQuery = q.Encode()
			one.wantRefused(one.comeBack(one.goThrough(to)), before, "oidc_not_believed")
		})
	}
}
