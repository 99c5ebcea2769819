package docs

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestOIDCPage builds the handler of docs/oidc.md and presses its buttons: a press leads to
// the provider and makes no user.
func TestOIDCPage(t *testing.T) {
	googleID, googleSecret, gitHubID, gitHubSecret := "id", "secret", "id", "secret"
	mux := http.NewServeMux()
	var signInPage walkin.Page
	cfg := defaults()
	cfg.Paths = walkin.Config{
		Paths: walkin.Paths{Credentials: []string{"/auth/"}},
	}.Paths
	wk := newWalkin(t, cfg)

	sso, err := oidc.New(wk, oidc.Config{
		URL: "https://www.example.com/auth/",
		Providers: []oidc.Provider{
			{
				Name: "google", Issuer: "https://accounts.google.com",
				ClientID: googleID, ClientSecret: googleSecret,
				VerifiesEmail: true,
			},
			oidc.GitHub(gitHubID, gitHubSecret),
		},
		Page: signInPage, // shows what went wrong, beside the buttons
	})
	ok(t, err)
	mux.Handle("/auth/", sso)

	form := formsOf(t, "oidc.md")[0]
	c := walkintest.NewClient(t, wk.Handler(mux))
	r := mustBe(t, c.Post(form.action, form.filled(t, "provider", "github")), http.StatusSeeOther)
	if to, err := url.Parse(r.Header.Get("Location")); err != nil || to.Host != "github.com" {
		t.Errorf("the button leads to %v, %v", to, err)
	}
	if c.Cookie("__Host-walkin-anon") != "" {
		t.Error("the button made a user")
	}
}

// TestForgePage signs up at the provider without OpenID of docs/oidc.md, whose hook keeps
// the name.
func TestForgePage(t *testing.T) {
	db, store := openSQLite(t)
	_, err := db.ExecContext(t.Context(), `CREATE TABLE profiles (user_id blob PRIMARY KEY REFERENCES walkin_users (id) ON DELETE CASCADE, name text, email text)`)
	ok(t, err)
	cfg := defaults()
	cfg.Store = store
	cfg.Hooks = walkin.Config{
		Hooks: walkin.Hooks{OnUpgrade: func(ctx context.Context, c walkin.Change) error {
			p, ok := oidc.ProfileFrom(ctx)
			if !ok {
				return nil // they came by another way
			}
			tx, _ := sqlstore.Tx(ctx)
			_, err := tx.ExecContext(ctx, `INSERT INTO profiles (user_id, name, email) VALUES (?, ?, ?)`, c.UserID[:], p.Name, p.Email)
			return err
		}},
	}.Hooks
	wk := newWalkin(t, cfg)
	id, secret := "client", "secret"

	forge := oidc.Provider{
		Name: "forge", Issuer: "https://forge.example",
		ClientID: id, ClientSecret: secret, Scopes: []string{"read:user"},
		AuthURL: "https://forge.example/oauth/authorize", TokenURL: "https://forge.example/oauth/token",
		Fetch: func(ctx context.Context, client *http.Client) (oidc.Profile, error) {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://forge.example/api/user", nil)
			if err != nil {
				return oidc.Profile{}, err
			}
			response, err := client.Do(r)
			if err != nil {
				return oidc.Profile{}, err
			}
			defer response.Body.Close()
			var user struct {
				ID   int
				Name string
			}
			if err := json.NewDecoder(response.Body).Decode(&user); err != nil {
				return oidc.Profile{}, err
			}
			return oidc.Profile{Subject: strconv.Itoa(user.ID), Name: user.Name}, nil
		},
	}

	sso, err := oidc.New(wk, oidc.Config{URL: "https://app.example/auth/", Providers: []oidc.Provider{forge}, Client: &http.Client{Transport: forgeSite{t}}})
	ok(t, err)
	protection := http.NewCrossOriginProtection()
	protection.AddInsecureBypassPattern("POST /auth/callback/apple")
	mux := http.NewServeMux()
	mux.Handle("/auth/", sso)
	mux.HandleFunc("/whoami", whoami)
	c := walkintest.NewClient(t, protection.Handler(wk.Handler(mux)))
	c.Visit("/whoami")
	before, _ := is(t, c)
	to, err := url.Parse(mustBe(t, c.Post("/auth/start", url.Values{"provider": {"forge"}}), http.StatusSeeOther).Header.Get("Location"))
	ok(t, err)
	mustBe(t, c.Visit("/auth/callback/forge?code=1&state="+to.Query().Get("state")), http.StatusSeeOther)
	if after, kind := is(t, c); after != before || kind != "permanent" {
		t.Errorf("got %v %s, want %v", after, kind, before)
	}
	var name string
	ok(t, db.QueryRowContext(t.Context(), `SELECT name FROM profiles WHERE user_id = ?`, before[:]).Scan(&name))
	if name != "Ann" {
		t.Errorf("got %q", name)
	}
}

// A forgeSite is a provider without OpenID, on no network.
type forgeSite struct{ t *testing.T }

func (s forgeSite) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == "/oauth/token":
		rec.WriteString(`{"access_token":"t","token_type":"Bearer"}`)
	case r.Header.Get("Authorization") == "Bearer t":
		rec.WriteString(`{"id":7,"name":"Ann"}`)
	default:
		s.t.Errorf("asked %s without its token", r.URL.Path)
		rec.WriteHeader(http.StatusForbidden)
	}
	return rec.Result(), nil
}
