package walkin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestTokenMutators holds that of a token which was tampered with nothing
// counts, in the cookie it belongs into and as a bearer, for every algorithm.
func TestTokenMutators(t *testing.T) {
	for _, tt := range []struct{ alg, kind string }{
		{"HS256", "anonymous"}, {"HS256", "permanent"}, {"EdDSA", "anonymous"}, {"ES256", "permanent"}, {"RS256", "anonymous"},
	} {
		var log bytes.Buffer
		s, v := aVictim(t, tt.alg, tt.kind, func(c *walkin.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		for _, carrier := range []string{cookieOf(tt.kind), "bearer"} {
			r := s.request(http.MethodGet, "/")
			brings(r, carrier, v.token)
			if met := s.meet(t, r); met.claims.UserID != v.user {
				t.Fatalf("%s, %s, %s: the token itself: got %v, want %s", tt.alg, tt.kind, carrier, met.claims, v.user)
			}
		}
		for _, m := range mutations(t, v) {
			t.Run(tt.alg+"/"+tt.kind+"/"+m.name, func(t *testing.T) {
				s.turnsAway(t, cookieOf(tt.kind), m, v.user)
				s.turnsAway(t, "bearer", m, v.user)
			})
		}
		if log.Len() > 0 {
			t.Errorf("%s, %s: strangers' tokens made the log say %.200q", tt.alg, tt.kind, log.String())
		}
	}
}

// TestMintOverMutants holds which cookies a page view may replace: what is
// nothing of ours, and never what may be.
func TestMintOverMutants(t *testing.T) {
	s := newSite(t)
	v := s.victim(resident(s, "anonymous").Cookie(anonName))
	s.store.count()
	for _, m := range []mutation{
		{"garbage", "garbage", false},
		{"empty", "", false},
		{"forged", v.h + "." + v.p + "." + b64(make([]byte, 32)), false},
		{"of another service", seal(t, v.key, v.header, strings.Replace(v.payload, `"iss":"walkin"`, `"iss":"x"`, 1)), false},
		{"of a key that is not here", seal(t, v.key, strings.Replace(v.header, v.kid, "other", 1), v.payload), true},
		{"of a clock that is ahead", seal(t, v.key, v.header, strings.Replace(v.payload, `"iat":`, `"iat":9999999999,"x":`, 1)), true},
	} {
		t.Run(m.name, func(t *testing.T) { s.turnsAway(t, anonName, m, v.user) })
	}
}

// TestEmptyBearer holds that a client which says it has a token, and has none, is
// whose cookie it sends, and gets no user without one. The blank behind the scheme
// does not survive the way.
func TestEmptyBearer(t *testing.T) {
	s := newSite(t)
	token := resident(s, "anonymous").Cookie(anonName)
	for _, value := range []string{"Bearer", "bearer", "Bearer ", "Bearer  "} {
		for _, cookie := range []string{"", anonName + "=" + token} {
			r := with(s.navigation("/"), "Authorization", value, "Cookie", cookie)
			if met := s.meet(t, r); met.known != (cookie != "") || len(met.Header["Set-Cookie"]) > 0 {
				t.Errorf("%q and cookie %.20q: got %v and %v, want the cookie's user or none, and no new cookie", value, cookie, met.claims, met.Header["Set-Cookie"])
			}
		}
	}
}

// TestTokenJunkIsCheap holds that what is too long for a token of ours, or has
// none of our headers, is refused before anything is decoded.
func TestTokenJunkIsCheap(t *testing.T) {
	s := newSite(t)
	for name, token := range map[string]string{
		"dots":     strings.Repeat(".", 1<<20),
		"letters":  strings.Repeat("A", 1<<20),
		"brackets": b64(strings.Repeat("[", 1000)) + ".e30.AAAA",
		"a header": b64(`{"alg":"HS256","typ":"JWT"}`) + "." + strings.Repeat("A", 3000) + ".AAAA",
	} {
		if _, err := s.Verify(token, true, time.Now()); err == nil {
			t.Errorf("%s: accepted", name)
		}
		cost := testing.AllocsPerRun(10, func() { s.Verify(token, true, time.Now()) })
		if cost > 3 { // the error of the test's own
			t.Errorf("%s: got %v allocations, want none", name, cost)
		}
	}
}

// TestTokenClaims holds what a token must say, when one of our keys signed it: another
// service may have the key.
func TestTokenClaims(t *testing.T) {
	s := newSite(t)
	c := resident(s, "permanent")
	permanent := s.victim(c.Cookie(permName))
	c = resident(s, "anonymous")
	anonymous := s.victim(c.Cookie(anonName))
	now := time.Now().Unix()
	s.store.count()

	tests := []struct {
		name   string
		change map[string]any // nil removes a member
		want   string         // "user", "nobody", or "hands off": no user, and nothing is minted over it
	}{
		{"nothing", map[string]any{}, "user"},
		{"another member", map[string]any{"jti": "x", "nbf": now + 3600, "email": "a@b.example"}, "user"},
		{"no exp", map[string]any{"exp": nil}, "nobody"},
		{"exp 0", map[string]any{"exp": 0}, "nobody"},
		{"exp a string", map[string]any{"exp": fmt.Sprint(now + 3600)}, "nobody"},
		{"exp a fraction", map[string]any{"exp": float64(now) + 3600.5}, "nobody"},
		{"exp with an exponent", map[string]any{"exp": json.Number("1e10")}, "nobody"},
		{"exp too large for a number", map[string]any{"exp": json.Number("9223372036854775808")}, "nobody"},
		{"exp too large for a time", map[string]any{"exp": json.Number("9223372036854775807")}, "nobody"},
		{"exp negative", map[string]any{"exp": -1}, "nobody"},
		{"exp a list", map[string]any{"exp": []int64{now + 3600}}, "nobody"},
		{"exp true", map[string]any{"exp": true}, "nobody"},
		{"exp long ago", map[string]any{"exp": now - 3600}, "nobody"},
		{"no iat", map[string]any{"iat": nil}, "nobody"},
		{"iat 0", map[string]any{"iat": 0}, "nobody"},
		{"iat a string", map[string]any{"iat": fmt.Sprint(now)}, "nobody"},
		{"iat a fraction", map[string]any{"iat": float64(now) - 10.5}, "nobody"},
		{"iat ahead", map[string]any{"iat": now + 300}, "hands off"},
		{"no iss", map[string]any{"iss": nil}, "nobody"},
		{"iss empty", map[string]any{"iss": ""}, "nobody"},
		{"another iss", map[string]any{"iss": "walkin2"}, "nobody"},
		{"iss in upper case", map[string]any{"iss": "Walkin"}, "nobody"},
		{"iss a list", map[string]any{"iss": []string{"walkin"}}, "nobody"},
		{"no aud", map[string]any{"aud": nil}, "nobody"},
		{"aud empty", map[string]any{"aud": ""}, "nobody"},
		{"another aud", map[string]any{"aud": "postgrest"}, "nobody"},
		{"aud a list", map[string]any{"aud": []string{"walkin"}}, "nobody"},
		{"no sub", map[string]any{"sub": nil}, "nobody"},
		{"sub empty", map[string]any{"sub": ""}, "nobody"},
		{"sub not a UUID", map[string]any{"sub": "1"}, "nobody"},
		{"sub an address", map[string]any{"sub": "ann@example.com"}, "nobody"},
		{"sub a number", map[string]any{"sub": 1}, "nobody"},
		{"sub the zero UUID", map[string]any{"sub": uuid.Nil}, "nobody"},
		{"no session_id", map[string]any{"session_id": nil}, "nobody"},
		{"session_id not a UUID", map[string]any{"session_id": "x"}, "nobody"},
		{"session_id the zero UUID", map[string]any{"session_id": uuid.Nil}, "nobody"},
		{"another session_id", map[string]any{"session_id": uuid.New()}, "nobody"},
		{"no is_anonymous", map[string]any{"is_anonymous": nil}, "nobody"},
		{"is_anonymous null", map[string]any{"is_anonymous": json.RawMessage("null")}, "nobody"},
		{"is_anonymous a string", map[string]any{"is_anonymous": "false"}, "nobody"},
		{"is_anonymous a number", map[string]any{"is_anonymous": 0}, "nobody"},
		{"prov a string", map[string]any{"prov": "true"}, "nobody"},
		{"no amr", map[string]any{"amr": nil}, "nobody"},
		{"amr empty", map[string]any{"amr": []string{}}, "nobody"},
		{"amr as in RFC 8176", map[string]any{"amr": []string{"pwd"}}, "nobody"},
		{"amr twice", map[string]any{"amr": []map[string]any{{"method": "pwd", "timestamp": now}, {"method": "otp", "timestamp": now}}}, "nobody"},
		{"amr with a time in words", map[string]any{"amr": []map[string]any{{"method": "pwd", "timestamp": "today"}}}, "nobody"},
	}
	for _, tt := range tests {
		for carrier, v := range map[string]*victim{anonName: anonymous, permName: permanent} {
			t.Run(tt.name+"/"+carrier, func(t *testing.T) {
				var payload map[string]any
				decoder := json.NewDecoder(strings.NewReader(v.payload))
				decoder.UseNumber()
				if err := decoder.Decode(&payload); err != nil {
					t.Fatal(err)
				}
				for name, value := range tt.change {
					if payload[name] = value; value == nil {
						delete(payload, name)
					}
				}
				s.wantToken(t, carrier, seal(t, v.key, v.header, toJSON(t, payload)), v, tt.want)
			})
		}
	}
	// prov and is_anonymous must agree with each other and with the cookie.
	t.Run("permanent and provisional", func(t *testing.T) {
		text := strings.Replace(permanent.payload, `"is_anonymous":false`, `"is_anonymous":false,"prov":true`, 1)
		s.wantToken(t, permName, seal(t, permanent.key, permanent.header, text), permanent, "nobody")
	})

	good := strings.TrimSuffix(anonymous.payload, "}")
	for _, tt := range []struct{ name, payload, want string }{
		{"itself", anonymous.payload, "user"},
		{"white space", " \n" + anonymous.payload + "\n ", "user"},
		{"empty", "", "nobody"},
		{"null", "null", "nobody"},
		{"an empty object", "{}", "nobody"},
		{"a list", "[" + anonymous.payload + "]", "nobody"},
		{"a string", fmt.Sprintf("%q", anonymous.payload), "nobody"},
		{"a number", "1", "nobody"},
		{"cut off", good, "nobody"},
		{"something behind", anonymous.payload + "x", "nobody"},
		{"two objects", anonymous.payload + anonymous.payload, "nobody"},
		{"a BOM", "\ufeff" + anonymous.payload, "nobody"},
		{"a comma behind the last member", good + ",}", "nobody"},
		{"a comment", good + "/**/}", "nobody"},
		{"1,500 brackets", good + `,"x":` + strings.Repeat("[", 1500) + "}", "nobody"},
	} {
		t.Run("payload/"+tt.name, func(t *testing.T) {
			s.wantToken(t, anonName, seal(t, anonymous.key, anonymous.header, tt.payload), anonymous, tt.want)
		})
	}
}

// victim returns the victim of a token of a site whose key is siteSecret.
func (s *site) victim(token string) *victim {
	s.t.Helper()
	v := newVictim(s.t, "HS256", token)
	v.key = walkin.Key{Secret: siteSecret}
	return v
}

// wantToken holds what a token makes of its bearer: "user", "nobody", or
// "hands off".
func (s *site) wantToken(t *testing.T, carrier, token string, v *victim, want string) {
	t.Helper()
	if want != "user" {
		m := mutation{token: token, ours: want == "hands off"}
		s.turnsAway(t, carrier, m, v.user)
		s.turnsAway(t, "bearer", m, v.user)
		return
	}
	for _, carrier := range []string{carrier, "bearer"} {
		r := s.request(http.MethodGet, "/")
		brings(r, carrier, token)
		if met := s.meet(t, r); met.claims.UserID != v.user || len(met.Cookies()) > 0 {
			t.Errorf("%s: got %v and %v, want the user and no cookie", carrier, met.claims, met.Cookies())
		}
	}
}

// TestTokenExpiry holds that a token lives to its last second and the leeway,
// from the cache as without it.
func TestTokenExpiry(t *testing.T) {
	for _, kind := range kinds {
		synctest.Test(t, func(t *testing.T) {
			short := func(c *walkin.Config) { c.Tokens.Lifetime = 10 * time.Minute }
			s := newSite(t, short)
			token := resident(s, kind).Cookie(cookieOf(kind))
			known := newSite(t, short, over(s))
			image := func(s *site, carrier string) meeting {
				r := with(s.request(http.MethodGet, "/"), "Sec-Fetch-Dest", "image") // renews nothing
				brings(r, carrier, token)
				return s.meet(t, r)
			}
			want := func(want bool) {
				t.Helper()
				for name, s := range map[string]*site{"fresh": newSite(t, short, over(s)), "cached": known} {
					for _, carrier := range []string{cookieOf(kind), "bearer"} {
						if got := image(s, carrier).known; got != want {
							t.Errorf("%s, %s, %s, at %v: got a user: %t, want %t", kind, name, carrier, time.Now().UTC(), got, want)
						}
					}
				}
			}
			want(true)
			time.Sleep(10 * time.Minute)
			want(true)
			time.Sleep(time.Minute)
			want(true)
			time.Sleep(time.Second)
			want(false)
			if !known.Remembers(token) {
				t.Error("the token is not in the cache; this test has looked at nothing")
			}
			// Over an expired one a page view mints, as over none.
			r := known.navigation("/")
			brings(r, cookieOf(kind), token)
			if met := known.meet(t, r); !met.known || len(met.Cookies()) != 1 {
				t.Errorf("%s: the next page: got %v, want a new user", kind, met.claims)
			}
		})
	}
}

// claiming lets a site's app say something in every token.
func claiming(say func(walkin.Claims) (map[string]any, error)) func(*walkin.Config) {
	return func(c *walkin.Config) {
		c.Tokens.AppClaims = func(_ context.Context, c walkin.Claims) (map[string]any, error) { return say(c) }
	}
}

// TestAppClaims holds that what the app says in a token comes back as it was, on every
// replica, and is said again when the token is renewed.
func TestAppClaims(t *testing.T) {
	t.Run("round trip", func(t *testing.T) {
		for _, tt := range []struct {
			name string
			app  map[string]any
			want string
		}{
			{"nil", nil, ""},
			{"empty", map[string]any{}, ""},
			{"a word", map[string]any{"plan": "free"}, `{"plan":"free"}`},
			{"all kinds", map[string]any{"a": 1, "b": 1.5, "c": true, "d": nil, "e": []int{1}, "f": map[string]int{"g": 1}},
				`{"a":1,"b":1.5,"c":true,"d":null,"e":[1],"f":{"g":1}}`},
			{"a large number", map[string]any{"id": int64(1) << 60}, `{"id":1152921504606846976}`},
			{"a name of no kind", map[string]any{"": 1, "https://example.com/claim": 2, `x":0,"admin`: true}, `{"":1,"https://example.com/claim":2,"x\":0,\"admin":true}`},
			{"nearly a name of ours", map[string]any{"Sub": 1, "is_anonymous ": false, "email": "x"}, `{"Sub":1,"email":"x","is_anonymous ":false}`},
			{"our names further inside", map[string]any{"x": map[string]any{"sub": 1, "is_anonymous": false}}, `{"x":{"is_anonymous":false,"sub":1}}`},
			{"what HTML and cookies mind", map[string]any{"x": "<a&b>;\"\\\x00\n\u2028ü💡"}, `{"x":"\u003ca\u0026b\u003e;\"\\\u0000\n\u2028ü💡"}`},
			{"not UTF-8", map[string]any{"x": "\xff"}, `{"x":"\ufffd"}`},
		} {
			t.Run(tt.name, func(t *testing.T) {
				say := claiming(func(walkin.Claims) (map[string]any, error) { return tt.app, nil })
				s := newSite(t, say)
				replica := newSite(t, over(s)) // whose own claims do not matter
				for _, kind := range kinds {
					token := resident(s, kind).Cookie(cookieOf(kind))
					for name, s := range map[string]*site{"here": s, "on the replica": replica} {
						r := s.request(http.MethodGet, "/")
						brings(r, cookieOf(kind), token)
						if met := s.meet(t, r); met.claims.App != tt.want || met.claims.Anonymous != (kind != "permanent") {
							t.Errorf("%s, %s: got %q of an anonymous user: %t; want %q", kind, name, met.claims.App, met.claims.Anonymous, tt.want)
						}
					}
				}
			})
		}
	})

	t.Run("asked about the user as they are", func(t *testing.T) {
		s := newSite(t, claiming(func(c walkin.Claims) (map[string]any, error) {
			return map[string]any{"user": c.UserID, "session": c.SessionID, "anonymous": c.Anonymous, "provisional": c.Provisional}, nil
		}))
		for _, kind := range kinds {
			r := s.request(http.MethodGet, "/")
			brings(r, cookieOf(kind), resident(s, kind).Cookie(cookieOf(kind)))
			c := s.meet(t, r).claims
			want := fmt.Sprintf(`{"anonymous":%t,"provisional":%t,"session":%q,"user":%q}`, c.Anonymous, c.Provisional, c.SessionID, c.UserID)
			if c.App != want {
				t.Errorf("%s: got %s, want %s", kind, c.App, want)
			}
		}
	})

	t.Run("renewed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			plan := "free"
			s := newSite(t, claiming(func(walkin.Claims) (map[string]any, error) { return map[string]any{"plan": plan}, nil }))
			for _, kind := range kinds {
				plan = "free"
				c := resident(s, kind)
				app := func() string { return appOf(t, c.Cookie(cookieOf(kind))) }
				plan = "pro"
				time.Sleep(day - time.Second)
				if c.Visit("/"); app() != `{"plan":"free"}` {
					t.Errorf("%s, before the renewal: got %s", kind, app())
				}
				time.Sleep(time.Second)
				if c.Visit("/"); app() != `{"plan":"pro"}` {
					t.Errorf("%s, after the renewal: got %s", kind, app())
				}
			}
		})
	})
}

// appOf returns the app's claims in the text of a token.
func appOf(t *testing.T, token string) string {
	t.Helper()
	var payload struct{ App json.RawMessage }
	if err := json.Unmarshal(unb64(t, strings.Split(token, ".")[1]), &payload); err != nil {
		t.Fatal(err)
	}
	return string(payload.App)
}

// reserved are the names that only walkin gives.
var reserved = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "session_id", "role", "is_anonymous", "amr", "prov", "app"}

// TestAppClaimsRefused holds that claims which cannot be said cost the visitor nothing:
// pages are served, without a user or to who they were, no cookie is set and no row
// made, and the operator is told each time.
func TestAppClaimsRefused(t *testing.T) {
	broken := map[string]func() (map[string]any, error){
		"an error":  func() (map[string]any, error) { return nil, errors.New("a bug") },
		"too large": func() (map[string]any, error) { return map[string]any{"x": strings.Repeat("x", 3000)}, nil },
		"huge":      func() (map[string]any, error) { return map[string]any{"x": strings.Repeat("x", 1<<16)}, nil },
		"not JSON":  func() (map[string]any, error) { return map[string]any{"x": make(chan int)}, nil },
	}
	for _, name := range reserved {
		broken["a claim named "+name] = func() (map[string]any, error) { return map[string]any{"plan": "free", name: "x"}, nil }
	}
	for name, say := range broken {
		t.Run(name, func(t *testing.T) {
			reason := "internal"
			if name == "too large" || name == "huge" {
				reason = "token_too_large"
			}
			for _, persist := range []bool{false, true} {
				s := newSite(t, claiming(func(walkin.Claims) (map[string]any, error) { return say() }), func(c *walkin.Config) { c.NewUsers.PersistOnMint = persist })
				c := s.browser(s.routes().ServeHTTP)
				for range 3 { // each page asks again, and none makes anything
					r := c.Visit("/")
					if body(t, r) != "nobody" || len(r.Header["Set-Cookie"]) > 0 {
						t.Fatalf("a page: got %q and %v, want nobody and no cookie", body(t, r), r.Header["Set-Cookie"])
					}
					if got, want := s.outcomes(), "failed:"+reason; got != want {
						t.Errorf("a page: got events %q, want %q", got, want)
					}
				}
				for _, path := range []string{"/note", "/ensure"} {
					r := c.Post(path, nil)
					if r.StatusCode != http.StatusInternalServerError || len(r.Header["Set-Cookie"]) > 0 {
						t.Errorf("%s: got %d and %v, want 500 and no cookie", path, r.StatusCode, r.Header["Set-Cookie"])
					}
					if got, want := s.outcomes(), "refused:"+reason; got != want {
						t.Errorf("%s: got events %q, want %q", path, got, want)
					}
				}
				if n := s.store.count(writes...); n > 0 {
					t.Errorf("%d writes to the store", n)
				}
				s.wantRows(0)
			}
		})
		if strings.HasPrefix(name, "a claim named ") && name != "a claim named sub" {
			continue
		}
		t.Run(name+"/at the renewal", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ok := true
				s := newSite(t, claiming(func(walkin.Claims) (map[string]any, error) {
					if ok {
						return nil, nil
					}
					return say()
				}))
				for _, kind := range kinds {
					ok = true
					c := resident(s, kind)
					id, jar := body(t, c.Fetch("/")), fmt.Sprint(c.Cookies())
					time.Sleep(2 * day)
					ok = false
					s.told()
					for range 3 {
						r := c.Visit("/")
						if got := body(t, r); got != id || len(r.Header["Set-Cookie"]) > 0 || fmt.Sprint(c.Cookies()) != jar {
							t.Errorf("%s: got %q and %v, want %q with the old cookie", kind, got, r.Header["Set-Cookie"], id)
						}
						if got := s.outcomes(); got != "failed:renewal" {
							t.Errorf("%s: got events %q, want the failed renewal", kind, got)
						}
					}
					ok = true
					if r := c.Visit("/"); body(t, r) != id || len(r.Cookies()) != 1 {
						t.Errorf("%s, repaired: got %q and %v, want the renewal", kind, body(t, r), r.Cookies())
					}
				}
			})
		})
	}
}

// TestCookieSize holds that the largest cookie is what browsers keep, and that
// what fits comes back, from every kind of cookie and as an access token.
func TestCookieSize(t *testing.T) {
	for name, change := range map[string]func(*walkin.Config){
		"HS256":    func(*walkin.Config) {},
		"RS256":    signedBy(keyOf(t, "RS256", 0)),
		"Insecure": func(c *walkin.Config) { c.Cookies.Insecure = true },
		"Domain":   func(c *walkin.Config) { c.Cookies.Domain = "app.example" },
	} {
		t.Run(name, func(t *testing.T) {
			size := 0
			s := newSite(t, change, claiming(func(walkin.Claims) (map[string]any, error) {
				return map[string]any{"x": strings.Repeat("x", size)}, nil
			}))
			visit := func() []*http.Cookie {
				rec := httptest.NewRecorder()
				s.Handler(http.HandlerFunc(who)).ServeHTTP(rec, s.navigation("/"))
				return rec.Result().Cookies()
			}
			first := sort.Search(5000, func(n int) bool { size = n; return len(visit()) == 0 })
			size = first - 1
			largest := visit()
			length := len(largest[0].Name) + 1 + len(largest[0].Value)
			if length > 3800 || length < 3796 {
				t.Errorf("the largest cookie has %d bytes, want at most 3,800 and nearly as much", length)
			}
			replica := newSite(t, change, over(s))
			var access string
			r := replica.request(http.MethodGet, "/")
			r.Header.Set("Cookie", largest[0].Name+"="+largest[0].Value)
			rec := httptest.NewRecorder()
			replica.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, _ := walkin.FromContext(r.Context())
				if got, want := len(c.App), len(`{"x":""}`)+size; got != want {
					t.Errorf("got %d bytes of app claims, want %d", got, want)
				}
				var err error
				if access, err = replica.AccessToken(r.Context(), "walkin", 0); err != nil {
					t.Error(err)
				}
			})).ServeHTTP(rec, r)
			r = replica.request(http.MethodGet, "/")
			brings(r, "bearer", access)
			if !replica.meet(t, r).known {
				t.Errorf("its access token of %d bytes is not taken", len(access))
			}
		})
	}
}

// TestAccessToken holds what a token for another service says, how long it
// lives, and where it counts here: as a bearer, when it is for us, and never in
// a cookie, not even one that is known from a bearer.
func TestAccessToken(t *testing.T) {
	ask := func(t *testing.T, s *site, carrier, token, audience string, ttl time.Duration) (access string, err error) {
		t.Helper()
		r := s.request(http.MethodGet, "/")
		brings(r, carrier, token)
		s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			access, err = s.AccessToken(r.Context(), audience, ttl)
		})).ServeHTTP(httptest.NewRecorder(), r)
		return access, err
	}
	comes := func(t *testing.T, s *site, carrier, token string) meeting {
		t.Helper()
		r := s.navigation("/")
		brings(r, carrier, token)
		return s.meet(t, r)
	}

	for _, alg := range algorithms {
		s := newSite(t, signedBy(keyOf(t, alg, 0)), claiming(func(walkin.Claims) (map[string]any, error) { return map[string]any{"plan": "pro"}, nil }))
		for _, kind := range kinds {
			t.Run(alg+"/"+kind, func(t *testing.T) {
				token := resident(s, kind).Cookie(cookieOf(kind))
				user := userOf(t, token)
				ours, err := ask(t, s, cookieOf(kind), token, "walkin", 0)
				if err != nil {
					t.Fatal(err)
				}
				theirs, err := ask(t, s, cookieOf(kind), token, "postgrest", time.Hour)
				if err != nil {
					t.Fatal(err)
				}

				// What another service reads: the claims of the cookie.
				for access, aud := range map[string]string{ours: "walkin", theirs: "postgrest"} {
					v := newVictim(t, alg, token)
					if got, want := headerOf(t, access), strings.Replace(v.header, `"JWT"`, `"at+jwt"`, 1); got != want {
						t.Errorf("got header %s, want %s", got, want)
					}
					var got, want map[string]any
					if err := errors.Join(json.Unmarshal(unb64(t, strings.Split(access, ".")[1]), &got), json.Unmarshal([]byte(v.payload), &want)); err != nil {
						t.Fatal(err)
					}
					life := map[string]float64{"walkin": 300, "postgrest": 3600}[aud]
					if got["aud"] != aud || got["exp"].(float64)-got["iat"].(float64) != life {
						t.Errorf("got %v, want aud %s and a life of %v s", got, aud, life)
					}
					for _, name := range []string{"iss", "sub", "session_id", "role", "is_anonymous", "prov", "app"} {
						if fmt.Sprint(got[name]) != fmt.Sprint(want[name]) {
							t.Errorf("got %s %v, want %v as in the cookie", name, got[name], want[name])
						}
					}
				}

				for name, s := range map[string]*site{"here": s, "on a replica": newSite(t, signedBy(keyOf(t, alg, 0)), over(s))} {
					// In a cookie before anybody knows it, and after it came as a bearer.
					for _, when := range []string{"unknown", "known"} {
						for _, cookie := range []string{anonName, permName} {
							for _, access := range []string{ours, theirs} {
								if met := comes(t, s, cookie, access); met.claims.UserID == user {
									t.Errorf("%s, %s, in %s: got the user, want nobody", name, when, cookie)
								}
							}
						}
						if met := comes(t, s, "bearer", ours); met.claims.UserID != user || len(met.Header["Set-Cookie"]) > 0 || met.claims.App != `{"plan":"pro"}` {
							t.Errorf("%s, %s, as a bearer: got %v and %v, want the user and no cookie", name, when, met.claims, met.Header["Set-Cookie"])
						}
						if met := comes(t, s, "bearer", theirs); met.known || len(met.Header["Set-Cookie"]) > 0 {
							t.Errorf("%s, %s, for another service: got %v and %v, want nobody and no cookie", name, when, met.claims, met.Header["Set-Cookie"])
						}
					}
				}

				// A bearer may ask for the next one.
				if next, err := ask(t, s, "bearer", ours, "postgrest", 0); err != nil || userOf(t, next) != user {
					t.Errorf("asked by a bearer: got %v", err)
				}
			})
		}
	}

	t.Run("limits", func(t *testing.T) {
		s := newSite(t)
		token := resident(s, "anonymous").Cookie(anonName)
		for _, tt := range []struct {
			audience string
			ttl      time.Duration
			ok       bool
		}{
			{"", 0, false}, {"", time.Minute, false}, {"a", -1, false}, {"a", -time.Hour, false},
			{"a", time.Hour + 1, false}, {"a", 400 * day, false}, {"a", time.Hour, true}, {"a", time.Second, true}, {"a", 1, true},
		} {
			access, err := ask(t, s, anonName, token, tt.audience, tt.ttl)
			if (err == nil) != tt.ok || (access != "") != tt.ok {
				t.Errorf("audience %q for %v: got %q and %v, want a token: %t", tt.audience, tt.ttl, access, err, tt.ok)
			}
		}
		if access, err := ask(t, s, anonName, "x", "a", 0); !errors.Is(err, store.ErrNotFound) || access != "" {
			t.Errorf("nobody: got %q and %v, want ErrNotFound", access, err)
		}
		if _, err := s.AccessToken(t.Context(), "a", 0); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("outside of a request: got %v, want ErrNotFound", err)
		}
	})

	t.Run("ends", func(t *testing.T) {
		for _, kind := range kinds {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				c := resident(s, kind)
				access, err := ask(t, s, cookieOf(kind), c.Cookie(cookieOf(kind)), "walkin", time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Minute) // and the leeway
				if !comes(t, s, "bearer", access).known || !comes(t, newSite(t, over(s)), "bearer", access).known {
					t.Errorf("%s: dead before its time", kind)
				}
				time.Sleep(time.Second)
				if comes(t, s, "bearer", access).known || comes(t, newSite(t, over(s)), "bearer", access).known {
					t.Errorf("%s: alive after its time", kind)
				}
				if access, err = ask(t, s, cookieOf(kind), c.Cookie(cookieOf(kind)), "walkin", time.Hour); err != nil {
					t.Fatal(err)
				}
				if r := c.Post("/out", nil); r.StatusCode != http.StatusSeeOther {
					t.Fatalf("signing out: got %d", r.StatusCode)
				}
				act := s.request(http.MethodPost, "/")
				brings(act, "bearer", access)
				if s.meet(t, act).known || comes(t, newSite(t, over(s)), "bearer", access).known {
					t.Errorf("%s: alive after its session", kind)
				}
			})
		}
	})
}

// FuzzToken holds that no text but a token that was issued verifies, and that
// none breaks the verifier.
func FuzzToken(f *testing.F) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	issued := make(map[string]bool) // and whether it is for bearers alone
	var keys []walkin.Key
	for _, alg := range algorithms[:3] { // RSA keys are others in every process
		keys = append(keys, keyOf(f, alg, 0))
	}
	m, err := walkin.New(walkin.Config{Keys: keys, Store: memstore.New()})
	if err != nil {
		f.Fatal(err)
	}
	for i, alg := range algorithms[:3] {
		one, err := walkin.New(walkin.Config{Keys: keys[i : i+1], Store: memstore.New()})
		if err != nil {
			f.Fatal(err)
		}
		first, _, _ := strings.Cut(walkintest.NewClient(f, one.Handler(http.NotFoundHandler())).Visit("/").Cookies()[0].Value, ".")
		head := string(unb64(f, first))
		payload := fmt.Sprintf(`{"iss":"walkin","sub":"019b7c8e-5f4d-7000-8000-000000000001","aud":"walkin","exp":%d,"iat":%d,`+
			`"session_id":"d0c5d6a5-0b55-4e1b-9f0c-1e0ab0f0a001","role":"authenticated","is_anonymous":true,"amr":[{"method":"anonymous","timestamp":%d}],"prov":true}`,
			now.Unix()+3600, now.Unix(), now.Unix())
		session := seal(f, keys[i], head, payload)
		access := seal(f, keys[i], strings.Replace(head, `"JWT"`, `"at+jwt"`, 1), payload)
		issued[session], issued[access] = false, true
		for _, mutation := range mutations(f, newVictim(f, alg, session)) {
			// What does not belong there is the same for all: one has it.
			if len(mutation.token) < 10<<10 && (i == 0 || !strings.HasPrefix(mutation.name, `"`)) {
				f.Add(mutation.token)
			}
		}
	}
	for token := range issued {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		access, ok := issued[token]
		for _, bearer := range []bool{false, true} {
			c, err := m.Verify(token, bearer, now)
			if want := ok && (bearer || !access); (err == nil) != want {
				t.Errorf("bearer %t: got %v, want it accepted: %t", bearer, err, want)
			}
			if err != nil && c != (walkin.Claims{}) {
				t.Errorf("bearer %t: got %v with %v", bearer, c, err)
			}
		}
	})
}

// TestKeyHidesItself holds that printing a Config gives no key away.
func TestKeyHidesItself(t *testing.T) {
	secret := "a secret that nobody may ever see"
	cfg := walkin.Config{Keys: []walkin.Key{{ID: "mine", Secret: []byte(secret)}}}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", cfg.Keys[0], "config", cfg)
	for _, text := range []string{
		fmt.Sprint(cfg), fmt.Sprintf("%v", cfg), fmt.Sprintf("%+v", cfg), fmt.Sprintf("%#v", cfg), cfg.Keys[0].String(), log.String(),
	} {
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprint([]byte(secret))) || !strings.Contains(text, "mine") {
			t.Errorf("got %q", text)
		}
	}
}
