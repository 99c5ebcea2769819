package oidc_test

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
)

// A gitHub is a stand-in for github.com and its API. It is reached without a
// network.
type gitHub struct {
	*op
	user, emails any
	status       map[string]int // by path; what is missing is 200
}

func (g *gitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/login/oauth/access_token":
		g.mu.Lock()
		_, ok := g.codes[r.FormValue("code")]
		delete(g.codes, r.FormValue("code"))
		g.mu.Unlock()
		if !ok || r.FormValue("code_verifier") == "" {
			_, _ = w.Write([]byte(`{"error":"bad_verification_code","error_description":"ann@example.com"}`)) // with a 200, as there
			return
		}
		_, _ = w.Write([]byte(`{"access_token":"` + accessToken + `","token_type":"bearer","scope":"user:email"}`))
	case "/user", "/user/emails":
		if r.Header.Get("Authorization") != "Bearer "+accessToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Header.Get("Accept") != "application/vnd.github+json" || r.Header.Get("X-GitHub-Api-Version") == "" {
			w.WriteHeader(http.StatusUnsupportedMediaType)
			return
		}
		if status := g.status[r.URL.Path]; status != 0 {
			w.WriteHeader(status)
		}
		if r.URL.Path == "/user" {
			_ = json.NewEncoder(w).Encode(g.user)
			return
		}
		_ = json.NewEncoder(w).Encode(g.emails)
	default:
		http.NotFound(w, r)
	}
}

func TestGitHub(t *testing.T) {
	type object = map[string]any
	addresses := []object{{"email": "old@example.com", "primary": false, "verified": true}, {"email": "ann@example.com", "primary": true, "verified": true}}
	for _, c := range []struct {
		name         string
		user, emails any
		listed       bool
		status       map[string]int
		want         oidc.Profile
		cause        string // that the operator is told; empty: it goes through
	}{
		{"listed", object{"id": 7, "login": "ann", "name": "Ann"}, addresses, true, nil, oidc.Profile{Email: "ann@example.com", Name: "Ann"}, ""},
		{"the primary one first", object{"id": 7, "name": "Ann"}, []object{addresses[1], addresses[0]}, true, nil, oidc.Profile{Email: "ann@example.com", Name: "Ann"}, ""},
		{"not listed", object{"id": 7, "login": "ann", "name": "Ann"}, addresses, false, nil, oidc.Profile{UnverifiedEmail: "ann@example.com", Name: "Ann"}, ""},
		{"not verified", object{"id": 7, "login": "ann"}, []object{{"email": "ann@example.com", "primary": true}}, true, nil, oidc.Profile{UnverifiedEmail: "ann@example.com", Name: "ann"}, ""},
		{"no address", object{"id": 7, "login": "ann", "email": "public@example.com"}, []object{}, true, nil, oidc.Profile{Name: "ann"}, ""},
		{"no number", object{"login": "ann"}, addresses, true, nil, oidc.Profile{}, "GitHub named no account"},
		{"a text for a number", object{"id": "7"}, addresses, true, nil, oidc.Profile{}, "GitHub's answer for /user is malformed"},
		{"no addresses to be had", object{"id": 7}, object{"message": "ann@example.com"}, true, nil, oidc.Profile{}, "GitHub's answer for /user/emails is malformed"},
		{"number one", object{"id": 1, "login": "ann"}, addresses, true, nil, oidc.Profile{Subject: "1", Email: "ann@example.com", Name: "ann"}, ""},
		{"number zero", object{"id": 0}, addresses, true, nil, oidc.Profile{}, "GitHub named no account"},
		{"fails", object{"id": 7}, addresses, true, map[string]int{"/user": 502}, oidc.Profile{}, "GitHub answered 502 for /user"},
		{"fails to tell the addresses", object{"id": 7}, addresses, true, map[string]int{"/user/emails": 403}, oidc.Profile{}, "GitHub answered 403 for /user/emails"},
		{"is down", nil, nil, true, nil, oidc.Profile{}, "the provider cannot be reached: dial tcp: connection to api.github.com refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			hub := &gitHub{op: newOP(t, "https://github.com"), user: c.user, emails: c.emails, status: c.status}
			s := newSite(t, func(_ *walkin.Config, sso *oidc.Config) {
				p := oidc.GitHub("client", "secret")
				p.VerifiesEmail = c.listed
				sso.Providers[0] = p
				net := web{"github.com": hub, "api.github.com": hub}
				if c.user == nil {
					delete(net, "api.github.com")
				}
				sso.Client = &http.Client{Transport: net}
			})
			b, before := s.anonymous()
			to := s.press(b, "github")
			q := to.Query()
			if to.Host != "github.com" || q.Get("code_challenge_method") != "S256" || q.Get("scope") != "user:email" || q.Has("nonce") {
				t.Errorf("got %s", to)
			}
			answer := hub.answer(to, "")
			answer.Set("iss", "https://github.com/login/oauth") // not what identities have
			r := s.back(b, "github", answer)
			if c.cause != "" {
				s.refused(b, r, before, http.StatusServiceUnavailable, "oidc_provider_down")
				if !strings.HasSuffix(s.cause(), c.cause) {
					t.Errorf("the operator is told %q, want %q", s.cause(), c.cause)
				}
				return
			}
			if r.StatusCode != http.StatusSeeOther {
				t.Fatalf("got %d for %q", r.StatusCode, s.cause())
			}
			c.want.Provider, c.want.Subject = "https://github.com", cmp.Or(c.want.Subject, "7")
			if got := s.profiles[0]; got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if identity, err := s.store.Identity(t.Context(), "https://github.com", c.want.Subject); err != nil || identity.UserID != before.ID {
				t.Errorf("got %+v, %v", identity, err)
			}
			if r := b.Fetch("/danger"); r.StatusCode != http.StatusForbidden {
				t.Errorf("a sign-in of nobody knows when: got %d", r.StatusCode)
			}
		})
	}
	t.Run("a guessed code", func(t *testing.T) {
		hub := &gitHub{op: newOP(t, "https://github.com")}
		s := newSite(t, func(_ *walkin.Config, sso *oidc.Config) {
			sso.Providers[0] = oidc.GitHub("client", "secret")
			sso.Client = &http.Client{Transport: web{"github.com": hub, "api.github.com": hub}}
		})
		b, before := s.anonymous()
		state := s.press(b, "github").Query().Get("state")
		r := s.back(b, "github", url.Values{"state": {state}, "code": {"guessed"}})
		s.refused(b, r, before, http.StatusForbidden, "oidc_not_believed")
	})
}
