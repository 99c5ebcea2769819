package walkin_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

func link(t *testing.T, to, path string) string {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// jwks returns what a site publishes.
func jwks(t *testing.T, s *site) string {
	t.Helper()
	return body(t, walkintest.NewClient(t, s.JWKSHandler()).Fetch("/.well-known/jwks.json"))
}

// TestRotation holds that a new key takes over without anybody noticing, and that
// removing an old one leaves its visitors without a user, and that nothing is minted or
// cleared over them.
func TestRotation(t *testing.T) {
	var line []walkin.Key // the newest first
	for i, alg := range []string{"HS256", "EdDSA", "ES256", "RS256", "HS256"} {
		k := keyOf(t, alg, i/4)
		if i == 0 {
			line = []walkin.Key{k}
			continue
		}
		old := line[0]
		t.Run(alg, func(t *testing.T) {
			home := newSite(t, signedBy(old))
			announced := newSite(t, signedBy(old, k), over(home)) // known, and does not sign yet
			rotated := newSite(t, signedBy(append([]walkin.Key{k}, line...)...), over(home))
			removed := newSite(t, signedBy(k), over(home))

			for _, kind := range kinds {
				c := resident(home, kind)
				token := c.Cookie(cookieOf(kind))
				id := body(t, c.Fetch("/"))
				for name, s := range map[string]*site{"announced": announced, "rotated": rotated} {
					if got := body(t, c.On(s.Handler(s.routes())).Fetch("/")); got != id {
						t.Errorf("%s, an old token where the key is %s: got %q, want %q", kind, name, got, id)
					}
				}
				if c.Cookie(cookieOf(kind)) != token {
					t.Errorf("%s: the cookie was replaced before it was due", kind)
				}
				home.store.count()
				removed.told()
				removed.turnsAway(t, cookieOf(kind), mutation{token: token, ours: true}, userOf(t, token))
				if got := body(t, c.Post("/", nil)); got != id {
					t.Errorf("%s, on the site again: got %q, want %q", kind, got, id)
				}
			}

			// The visitor who comes first now has a token of the new key, which is good
			// wherever that key is known.
			for _, kind := range kinds {
				c := resident(rotated, kind)
				if got, want := headerOf(t, c.Cookie(cookieOf(kind))), headerOf(t, mintedBy(removed)); got != want {
					t.Errorf("%s: got header %s, want %s", kind, got, want)
				}
				id := body(t, c.Fetch("/"))
				for name, s := range map[string]*site{"announced": announced, "removed": removed} {
					if got := body(t, c.On(s.Handler(s.routes())).Fetch("/")); got != id {
						t.Errorf("%s, a new token where the key is %s: got %q, want %q", kind, name, got, id)
					}
				}
			}
		})
		line = append([]walkin.Key{k}, line...)
	}

	t.Run("a renewal signs with the new key", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			home := newSite(t)
			rotated := newSite(t, over(home), signedBy(keyOf(t, "EdDSA", 0), walkin.Key{Secret: siteSecret}))
			for _, kind := range kinds {
				c := resident(home, kind)
				id := body(t, c.Fetch("/"))
				time.Sleep(day)
				c = c.On(rotated.Handler(rotated.routes()))
				for _, path := range []string{"/", "/renewed"} {
					if got := body(t, c.Visit(path)); got != id {
						t.Errorf("%s, %s: got %q, want %q", kind, path, got, id)
					}
				}
				if got := headerOf(t, c.Cookie(cookieOf(kind))); !strings.Contains(got, "EdDSA") {
					t.Errorf("%s: got header %s, want the new key's", kind, got)
				}
			}
		})
	})
}

// TestRotationInTwoSteps holds that no visitor of two replicas loses their user
// while a key is rotated as docs/keys.md says: every step reaches one replica
// first, and visitors and newcomers go back and forth all the time.
func TestRotationInTwoSteps(t *testing.T) {
	old, k := walkin.Key{Secret: siteSecret}, keyOf(t, "EdDSA", 0)
	steps := []struct {
		name string
		keys []walkin.Key
		stay time.Duration // before the next step
	}{
		{"before", []walkin.Key{old}, time.Hour},
		{"announced", []walkin.Key{old, k}, time.Hour},
		{"rotated", []walkin.Key{k, old}, 31 * day},
		{"removed", []walkin.Key{k}, 31 * day},
	}
	synctest.Test(t, func(t *testing.T) {
		home := newSite(t, unlimited)
		open := func(keys []walkin.Key) *site { return newSite(t, over(home), unlimited, signedBy(keys...)) }
		replicas := [2]*site{open(steps[0].keys), open(steps[0].keys)}
		type somebody struct {
			*walkintest.Client
			what, id string
		}
		var all []somebody
		for _, step := range steps {
			for i := range replicas {
				replicas[i] = open(step.keys)
				for on, s := range replicas {
					for _, kind := range kinds {
						c := s.browser(s.routes().ServeHTTP)
						c.Visit("/")
						if kind != "provisional" {
							c.Post("/note", nil)
						}
						if kind == "permanent" {
							s.prove(c, fmt.Sprint("user", len(all)))
						}
						all = append(all, somebody{c, fmt.Sprintf("%s of replica %d when %s was on %d", kind, on, step.name, i+1), body(t, c.Fetch("/"))})
					}
				}
				for range 2 {
					for on, s := range replicas {
						for _, c := range all {
							at := c.On(s.Handler(s.routes()))
							for _, r := range []*http.Response{at.Visit("/"), at.Post("/", nil)} {
								if got := body(t, r); got != c.id {
									t.Fatalf("%s, on replica %d: %s, got %q, want %q", step.name, on, c.what, got, c.id)
								}
							}
						}
					}
					for left := step.stay / 4; left > 0; left -= 7 * day { // and they come once a week
						time.Sleep(min(left, 7*day))
						for _, c := range all {
							c.On(replicas[0].Handler(replicas[0].routes())).Visit("/")
						}
					}
				}
			}
		}
	})
}

// headerOf returns the text of a token's first segment.
func headerOf(t *testing.T, token string) string {
	t.Helper()
	first, _, _ := strings.Cut(token, ".")
	return string(unb64(t, first))
}

// userOf returns whom a token is for.
func userOf(t *testing.T, token string) uuid.UUID {
	t.Helper()
	var payload struct{ Sub uuid.UUID }
	if err := json.Unmarshal(unb64(t, strings.Split(token, ".")[1]), &payload); err != nil {
		t.Fatal(err)
	}
	return payload.Sub
}

// mintedBy returns the token of a new visitor.
func mintedBy(s *site) string {
	s.t.Helper()
	return resident(s, "provisional").Cookie(anonName)
}

// TestJWKS holds that what is published verifies the tokens, and is nothing
// that signs them.
func TestJWKS(t *testing.T) {
	keys := []walkin.Key{{ID: "secret", Secret: siteSecret}}
	for _, alg := range algorithms {
		keys = append(keys, keyOf(t, alg, 0))
	}
	keys = append(keys, walkin.Key{ID: "named", Private: keyOf(t, "EdDSA", 1).Private})
	s := newSite(t, signedBy(keys...))

	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(jwks(t, s)), &set); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range set.Keys {
		got = append(got, fmt.Sprint(k["alg"], " ", k["kty"], " ", k["use"], ": ", slices.Sorted(maps.Keys(k))))
	}
	want := []string{
		"EdDSA OKP sig: [alg crv kid kty use x]",
		"ES256 EC sig: [alg crv kid kty use x y]",
		"RS256 RSA sig: [alg e kid kty n use]",
		"EdDSA OKP sig: [alg crv kid kty use x]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for i, k := range keys[2:] {
		// A token of that key names one that is published, with its values.
		var header struct{ Kid string }
		if err := json.Unmarshal([]byte(headerOf(t, mintedBy(newSite(t, signedBy(k))))), &header); err != nil {
			t.Fatal(err)
		}
		if set.Keys[i]["kid"] != header.Kid {
			t.Errorf("got kid %v, want %s", set.Keys[i]["kid"], header.Kid)
		}
		for name, value := range members(t, k, false) {
			if set.Keys[i][name] != value {
				t.Errorf("%s: got %s %v, want %s", header.Kid, name, set.Keys[i][name], value)
			}
		}
	}
	if got := set.Keys[len(set.Keys)-1]["kid"]; got != "named" {
		t.Errorf("got kid %v, want the key's own", got)
	}

	if got := jwks(t, newSite(t)); got != `{"keys":[]}` {
		t.Errorf("with a secret alone: got %s, want an empty set", got)
	}
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
		c := walkintest.NewClient(t, s.JWKSHandler())
		r := c.Do(c.NewRequest(method, "/jwks", nil))
		if method == "POST" || method == "DELETE" {
			if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" || strings.Contains(body(t, r), "kty") {
				t.Errorf("%s: got %d, want 405", method, r.StatusCode)
			}
			continue
		}
		if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/jwk-set+json" || !strings.Contains(r.Header.Get("Cache-Control"), "max-age=") {
			t.Errorf("%s: got %d and %v", method, r.StatusCode, r.Header)
		}
	}
}

// TestKeySkew holds that a replica whose keys are others, in a deploy or by mistake,
// takes no visitor's identity away: the visitor has no user there, is refused where
// they write, and is intact where they were.
func TestKeySkew(t *testing.T) {
	main, ed := []byte("the main secret of this little site"), keyOf(t, "EdDSA", 0)
	for name, tt := range map[string]struct{ home, away []walkin.Key }{
		"another secret":                     {[]walkin.Key{{Secret: siteSecret}}, []walkin.Key{{Secret: main}}},
		"another secret under the same ID":   {[]walkin.Key{{ID: "main", Secret: siteSecret}}, []walkin.Key{{ID: "main", Secret: main}}},
		"a secret that is a byte longer":     {[]walkin.Key{{ID: "main", Secret: siteSecret}}, []walkin.Key{{ID: "main", Secret: append(slices.Clone(siteSecret), '\n')}}},
		"the same secret under another ID":   {[]walkin.Key{{ID: "a", Secret: siteSecret}}, []walkin.Key{{ID: "b", Secret: siteSecret}}},
		"another private key":                {[]walkin.Key{ed}, []walkin.Key{keyOf(t, "EdDSA", 1)}},
		"another kind of key":                {[]walkin.Key{ed}, []walkin.Key{keyOf(t, "ES256", 0)}},
		"the replica has not rotated yet":    {[]walkin.Key{ed, {Secret: siteSecret}}, []walkin.Key{{Secret: siteSecret}}},
		"the replica has forgotten too soon": {[]walkin.Key{{Secret: siteSecret}}, []walkin.Key{ed}},
	} {
		t.Run(name, func(t *testing.T) {
			home := newSite(t, signedBy(tt.home...))
			away := newSite(t, signedBy(tt.away...), over(home), func(c *walkin.Config) { c.Paths.SignIn = "/sign-in" })
			site := away.Handler(away.routes())
			for _, kind := range kinds {
				c := resident(home, kind)
				id, jar := body(t, c.Fetch("/")), fmt.Sprint(c.Cookies())
				home.store.count()
				away.told()
				away.turnsAway(t, cookieOf(kind), mutation{token: c.Cookie(cookieOf(kind)), ours: true}, userOf(t, c.Cookie(cookieOf(kind))))

				there := c.On(site)
				for _, path := range []string{"/note", "/members", "/ensure"} {
					for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
						if r := there.Do(there.NewRequest(method, path, nil)); r.StatusCode != http.StatusUnauthorized || len(r.Header["Set-Cookie"]) > 0 {
							t.Errorf("%s, %s %s: got %d and %v, want 401 and no cookie", kind, method, path, r.StatusCode, r.Header["Set-Cookie"])
						}
					}
				}
				if r := there.Visit("/note"); r.StatusCode != http.StatusSeeOther || len(r.Header["Set-Cookie"]) > 0 {
					t.Errorf("%s, behind a guard: got %d and %v, want the way to sign in", kind, r.StatusCode, r.Header["Set-Cookie"])
				}
				for _, e := range away.told() {
					if e.Outcome != walkin.Skipped && e.Outcome != walkin.Refused || e.Reason != "unknown_key" && e.Token != "unknown_key" {
						t.Errorf("%s: got event %+v, want unknown_key", kind, e)
					}
				}
				if n := home.store.count(writes...); n > 0 {
					t.Errorf("%s: %d writes", kind, n)
				}
				if got := fmt.Sprint(c.Cookies()); got != jar {
					t.Errorf("%s: the jar: got %v, want %v", kind, got, jar)
				}
				if got := body(t, c.Post("/note", nil)); got != id {
					t.Errorf("%s, at home again: got %q, want %q", kind, got, id)
				}
			}
		})
	}
}

// TestClocksApart holds that replicas whose clocks differ by less than a minute
// take each other's tokens, and that by more they do no harm.
func TestClocksApart(t *testing.T) {
	// Each bubble has its own clock, and all start at the same time.
	at := func(t *testing.T, ahead time.Duration, store *faultyStore, run func(*site)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(ahead)
			run(newSite(t, func(c *walkin.Config) { c.Store = store }))
		})
	}
	for _, kind := range kinds {
		for _, tt := range []struct {
			ahead time.Duration
			taken bool
		}{
			{0, true}, {30 * time.Second, true}, {time.Minute, true},
			{61 * time.Second, false}, {5 * time.Minute, false}, {24 * time.Hour, false},
		} {
			t.Run(fmt.Sprint(kind, "/", tt.ahead), func(t *testing.T) {
				store := &faultyStore{Store: memstore.New()}
				var token, id string
				at(t, tt.ahead, store, func(fast *site) {
					c := resident(fast, kind)
					token, id = c.Cookie(cookieOf(kind)), body(t, c.Fetch("/"))
				})
				at(t, 0, store, func(slow *site) {
					slow.store.count()
					c := carrying(slow, cookieOf(kind), token)
					if !tt.taken {
						slow.turnsAway(t, cookieOf(kind), mutation{token: token, ours: true}, userOf(t, token))
						if r := c.Post("/note", nil); r.StatusCode != http.StatusUnauthorized || len(r.Header["Set-Cookie"]) > 0 {
							t.Errorf("an act: got %d and %v, want 401 and no cookie", r.StatusCode, r.Header["Set-Cookie"])
						}
						return
					}
					for _, r := range []*http.Response{c.Visit("/"), c.Fetch("/"), c.Post("/note", nil), c.Visit("/")} {
						if got := body(t, r); got != id {
							t.Errorf("got %q, want %q", got, id)
						}
					}
					token = c.Cookie(cookieOf(kind))
				})
				at(t, tt.ahead, store, func(fast *site) { // what the slow one issued, and that nothing was lost
					c := carrying(fast, cookieOf(kind), token)
					for _, r := range []*http.Response{c.Visit("/"), c.Post("/note", nil)} {
						if got := body(t, r); got != id {
							t.Errorf("on the fast replica again: got %q, want %q", got, id)
						}
					}
				})
			})
		}
	}
}
