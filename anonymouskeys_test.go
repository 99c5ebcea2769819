package walkin_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// TestAnonymousKeys holds that a service with the default set of keys accepts the tokens
// of permanent users alone, that one with the other set accepts both, and that the app
// accepts as bearers what it signed.
func TestAnonymousKeys(t *testing.T) {
	for _, alg := range []string{"EdDSA", "ES256", "RS256"} {
		t.Run(alg, func(t *testing.T) {
			own, other := keyOf(t, alg, 0), keyOf(t, alg, 1)
			s := newSite(t, signedBy(own), func(c *walkin.Config) { c.Tokens.AnonymousKeys = []walkin.Key{other} })
			// A service looks for the key that a token names.
			accepts := func(keys http.Handler, token string) bool {
				t.Helper()
				w := httptest.NewRecorder()
				keys.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
				if w.Header().Get("Content-Type") != "application/jwk-set+json" {
					t.Errorf("got %v", w.Header())
				}
				var header struct{ Kid string }
				var set struct{ Keys []struct{ Kid string } }
				if err := errors.Join(json.Unmarshal(w.Body.Bytes(), &set), json.Unmarshal([]byte(headerOf(t, token)), &header)); err != nil {
					t.Fatal(err)
				}
				return slices.ContainsFunc(set.Keys, func(k struct{ Kid string }) bool { return k.Kid == header.Kid })
			}
			tokens := func(c *walkintest.Client) (access, client string) {
				c.On(s.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					claims, ok := walkin.FromContext(r.Context())
					if !ok {
						t.Fatal("got no user")
					}
					var err error
					if access, err = s.AccessToken(r.Context(), "walkin", 0); err != nil {
						t.Fatal(err)
					}
					token, err := s.ClientToken(r.Context(), claims, walkin.ProfileClaims{}, time.Minute)
					if err != nil {
						t.Fatal(err)
					}
					client = token.Text
				}))).Do(s.request(http.MethodGet, "/"))
				return access, client
			}
			for _, kind := range []string{"anonymous", "permanent"} {
				c := resident(s, kind)
				if cookie := c.Cookie(cookieOf(kind)); !accepts(s.JWKSHandler(), cookie) {
					t.Errorf("%s: the cookie is signed by another key than the app's", kind)
				}
				access, client := tokens(c)
				for name, token := range map[string]string{"AccessToken": access, "ClientToken": client} {
					if got, want := accepts(s.JWKSHandler(), token), kind == "permanent"; got != want {
						t.Errorf("%s of an %s user: a service with the default keys accepts it: %t, want %t", name, kind, got, want)
					}
					if !accepts(s.AnonymousJWKSHandler(), token) {
						t.Errorf("%s of an %s user: a service with all keys refuses it", name, kind)
					}
					r := s.request(http.MethodGet, "/")
					brings(r, "bearer", token)
					if met := s.meet(t, r); met.claims.UserID != userOf(t, token) || met.claims.Anonymous != (kind == "anonymous") {
						t.Errorf("%s of an %s user as a bearer: got %v", name, kind, met.claims)
					}
				}
			}
		})
	}
}

// TestAnonymousKeysProveNoMore holds that a key of anonymous users' access tokens signs
// neither a permanent user's token nor a cookie.
func TestAnonymousKeysProveNoMore(t *testing.T) {
	own, other := keyOf(t, "EdDSA", 0), keyOf(t, "EdDSA", 1)
	s := newSite(t, signedBy(own), func(c *walkin.Config) { c.Tokens.AnonymousKeys = []walkin.Key{other} })
	thief := newSite(t, signedBy(other), over(s)) // has that key, and even the database
	for _, kind := range []string{"anonymous", "permanent"} {
		c := resident(s, kind)
		cookie := c.Cookie(cookieOf(kind))
		ask := s.request(http.MethodGet, "/")
		brings(ask, cookieOf(kind), cookie)
		claims := s.meet(t, ask).claims
		access, err := thief.AccessToken(walkin.NewContext(t.Context(), claims), "walkin", 0)
		if err != nil {
			t.Fatal(err)
		}
		r := s.request(http.MethodGet, "/")
		brings(r, "bearer", access)
		if met := s.meet(t, r); met.known != (kind == "anonymous") {
			t.Errorf("an access token of an %s user, signed with the other key: got %v", kind, met.claims)
		}
		forged := resident(thief, kind).Cookie(cookieOf(kind))
		for _, carrier := range []string{cookieOf(kind), "bearer"} {
			r := s.request(http.MethodGet, "/")
			brings(r, carrier, forged)
			if met := s.meet(t, r); met.known {
				t.Errorf("a cookie's token of an %s user in %s, signed with the other key: got %v", kind, carrier, met.claims)
			}
		}
	}
}

func TestAnonymousKeysAreOthers(t *testing.T) {
	key := keyOf(t, "EdDSA", 0)
	for name, c := range map[string]struct {
		keys, anonymous []walkin.Key
		want            string
	}{
		"the same key":                   {[]walkin.Key{key}, []walkin.Key{key}, "Config.Tokens.AnonymousKeys[0]"},
		"the same key by another name":   {[]walkin.Key{{ID: "a", Private: key.Private}}, []walkin.Key{{ID: "b", Private: key.Private}}, "is one of Config.Keys"},
		"the same secret, another name":  {[]walkin.Key{{Secret: siteSecret}}, []walkin.Key{{ID: "b", Secret: siteSecret}}, "is one of Config.Keys"},
		"an older key of the app's":      {[]walkin.Key{{Secret: siteSecret}, key}, []walkin.Key{{ID: "b", Private: key.Private}}, "is one of Config.Keys"},
		"one that is none":               {[]walkin.Key{key}, []walkin.Key{{}}, "Config.Tokens.AnonymousKeys[0]"},
		"two that are the same":          {[]walkin.Key{{Secret: siteSecret}}, []walkin.Key{key, key}, "Config.Tokens.AnonymousKeys[1]"},
		"another one, and that is right": {[]walkin.Key{{Secret: siteSecret}}, []walkin.Key{key}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := walkin.New(walkin.Config{Keys: c.keys, Store: newSite(t).store, Tokens: walkin.Tokens{AnonymousKeys: c.anonymous}})
			if got := ""; err != nil || c.want != "" {
				if err != nil {
					got = err.Error()
				}
				if c.want == "" || !strings.Contains(got, c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
			}
		})
	}
}
