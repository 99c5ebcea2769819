package walkin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// A native app: it has no cookies, sends its token as a bearer, and keeps what the
// answer has.
type nativeApp struct {
	t     *testing.T
	site  http.Handler
	token string
}

// tokenOf reads an answer as a client does.
func tokenOf(t *testing.T, r *http.Response) (token string, expires time.Time) {
	t.Helper()
	var answer struct {
		Token     string `json:"access_token"`
		Type      string `json:"token_type"`
		ExpiresIn int    `json:"expires_in"`
		ExpiresAt int64  `json:"expires_at"`
	}
	if err := json.Unmarshal([]byte(body(t, r)), &answer); err != nil || answer.Token == "" || answer.Type != "bearer" {
		t.Fatalf("got %d %q, want a token", r.StatusCode, body(t, r))
	}
	if r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("Content-Type") != "application/json" || len(r.Cookies()) > 0 {
		t.Errorf("got header %v, want JSON, no-store and no cookie", r.Header)
	}
	expires = time.Unix(answer.ExpiresAt, 0)
	if left := time.Until(expires) - time.Duration(answer.ExpiresIn)*time.Second; left < -2*time.Second || left > 2*time.Second {
		t.Errorf("expires_in %d and expires_at %v disagree", answer.ExpiresIn, expires)
	}
	return answer.Token, expires
}

func (a *nativeApp) do(method, path string, form url.Values) *http.Response {
	a.t.Helper()
	r := httptest.NewRequest(method, "https://app.example"+path, strings.NewReader(form.Encode()))
	r.Header.Set("User-Agent", "app/1")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if a.token != "" {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	rec := httptest.NewRecorder()
	a.site.ServeHTTP(rec, r)
	return rec.Result()
}

// takes keeps the token of an answer.
func (a *nativeApp) takes(r *http.Response) *nativeApp {
	a.t.Helper()
	a.token, _ = tokenOf(a.t, r)
	return a
}

// gullible is a credential that believes a form, as no app's should.
type gullible struct{}

func (gullible) SignUp(r *http.Request) (walkin.Proof, error) { return proofOf(r), nil }
func (gullible) SignIn(r *http.Request) (walkin.Proof, error) {
	p := proofOf(r)
	p.Chosen = false
	return p, nil
}

// clients returns the routes of a site that native apps use, too.
func (s *site) clients() *http.ServeMux {
	mux := s.routes()
	answer := func(err error, w http.ResponseWriter, r *http.Request) {
		if err != nil {
			s.Refuse(w, r, err)
			return
		}
		if token, ok := walkin.IssuedToken(r.Context()); ok {
			token.ServeHTTP(w, r)
		}
	}
	mux.Handle("/exchange", s.TokenHandler())
	mux.Handle("/sign-up", s.UpgradeHandler(gullible{}, nil))
	mux.Handle("/sign-in", s.SignInHandler(gullible{}, nil))
	mux.HandleFunc("POST /continue", func(w http.ResponseWriter, r *http.Request) {
		_, err := s.Continue(w, r, proofOf(r))
		answer(err, w, r)
	})
	mux.HandleFunc("POST /remove", func(w http.ResponseWriter, r *http.Request) {
		answer(s.Unlink(w, r, "test", r.FormValue("name")), w, r)
	})
	mux.HandleFunc("POST /start", func(w http.ResponseWriter, r *http.Request) {
		_, err := s.Ensure(w, r)
		answer(err, w, r)
	})
	return mux
}

func credentialPaths(c *walkin.Config) {
	c.Paths.Credentials = []string{"/exchange", "/sign-up", "/sign-in", "/continue", "/remove"}
}

// TestBearersLive holds that a bearer who keeps coming lives as long as a browser
// does, in the token and in the store, and costs a write a day.
func TestBearersLive(t *testing.T) {
	for _, kind := range kinds {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, credentialPaths)
			replica := newSite(t, over(s), credentialPaths)
			c := resident(s, kind)
			id := body(t, c.Fetch("/"))
			app := &nativeApp{t, s.Handler(s.clients()), c.Cookie(cookieOf(kind))}
			other := replica.Handler(replica.clients())
			sweeper, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: s.store.Store})
			if err != nil {
				t.Fatal(err)
			}
			day0 := time.Now()
			s.store.count()
			_, expires := tokenOf(t, app.do(http.MethodPost, "/exchange", nil))
			const days = 40
			for hour := range days * 24 {
				time.Sleep(time.Hour)
				app.site, other = other, app.site
				r := app.do(http.MethodGet, "/", nil)
				if got := body(t, r); got != id {
					t.Fatalf("%s, hour %d: got %q, want %q", kind, hour, got, id)
				}
				if len(r.Cookies()) > 0 || r.Header.Get("Cache-Control") != "" || strings.Contains(body(t, r), "eyJ") {
					t.Fatalf("%s: something was put into an answer: %v", kind, r.Header)
				}
				if time.Until(expires) < 29*24*time.Hour {
					_, expires = tokenOf(t, app.takes(app.do(http.MethodPost, "/exchange", nil)).do(http.MethodPost, "/exchange", nil))
				}
				if hour%24 == 0 && kind == "anonymous" {
					if n, err := sweeper.Sweep(t.Context(), walkin.SweepOptions{}); err != nil || n > 0 {
						t.Fatalf("the sweep: got %d and %v", n, err)
					}
				}
			}
			if got := s.store.count("RenewSession"); kind == "provisional" && got != 0 || kind != "provisional" && (got < days-2 || got > 2*days) {
				t.Errorf("%s: got %d writes in %d days", kind, got, days)
			}
			if kind != "provisional" {
				user, err := s.store.LockUser(t.Context(), userOf(t, app.token))
				if err != nil || user.SeenAt.Before(day0.Add((days-2)*24*time.Hour)) {
					t.Errorf("%s: got %v and SeenAt %v, want yesterday at most", kind, err, user.SeenAt)
				}
			}
		})
	}
}

// TestBearerSeen holds that use alone moves SeenAt and the session's end, without an
// exchange, and that a failing store or an ended session changes nothing for others.
func TestBearerSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		c := resident(s, "anonymous")
		id := body(t, c.Fetch("/"))
		app := &nativeApp{t, s.Handler(s.clients()), c.Cookie(anonName)}
		claims := s.claims(c)
		session := func() store.Session {
			session, err := s.store.LookupSession(t.Context(), claims.UserID, claims.SessionID)
			if err != nil {
				t.Fatal(err)
			}
			return session
		}
		before := session()
		app.do(http.MethodGet, "/", nil)
		if got := session(); got != before {
			t.Errorf("on the first day: got %v, want %v", got, before)
		}
		time.Sleep(25 * time.Hour)
		s.told()
		s.store.failAt("RenewSession", errDown)
		if got := body(t, app.do(http.MethodGet, "/", nil)); got != id {
			t.Errorf("while it cannot be written: got %q, want %q", got, id)
		}
		if got := s.outcomes(); got != "failed:renewal" {
			t.Errorf("while it cannot be written: got events %q, want failed:renewal", got)
		}
		s.store.be(nil)
		app.do(http.MethodGet, "/", nil)
		if got := s.outcomes(); got != "" {
			t.Errorf("when it can be written: got events %q, want none", got)
		}
		if got := session(); !got.ExpiresAt.After(before.ExpiresAt.Add(24 * time.Hour)) {
			t.Errorf("a day later: got %v, want the end moved from %v", got.ExpiresAt, before.ExpiresAt)
		}
		time.Sleep(25 * time.Hour)
		if err := s.SignOutEverywhere(t.Context(), claims.UserID); err != nil {
			t.Fatal(err)
		}
		if got := body(t, app.do(http.MethodGet, "/", nil)); got != "nobody" {
			t.Errorf("after the session's end: got %q", got)
		}
		if r := app.do(http.MethodPost, "/exchange", nil); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("an exchange after it: got %d, want 401", r.StatusCode)
		}
	})
}

// TestExchange holds which clients get a token for a token.
func TestExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, credentialPaths)
		c := resident(s, "permanent")
		old := c.Cookie(permName)
		app := &nativeApp{t, s.Handler(s.clients()), old}
		if got, _ := tokenOf(t, app.do(http.MethodPost, "/exchange", nil)); got != old {
			t.Error("a fresh token was exchanged")
		}
		access := body(t, app.do(http.MethodGet, "/token", nil))
		refused := func(what string, want int, r *http.Response) {
			t.Helper()
			if r.StatusCode != want || strings.Contains(body(t, r), "access_token\"") || len(r.Cookies()) > 0 {
				t.Errorf("%s: got %d %q, want %d", what, r.StatusCode, body(t, r), want)
			}
		}
		refused("a GET", http.StatusMethodNotAllowed, app.do(http.MethodGet, "/exchange", nil))
		refused("a cookie", http.StatusUnauthorized, c.On(app.site).Do(c.NewRequest(http.MethodPost, "/exchange", nil)))
		refused("nothing", http.StatusUnauthorized, (&nativeApp{t, app.site, ""}).do(http.MethodPost, "/exchange", nil))
		refused("a bearer of nobody's", http.StatusUnauthorized, (&nativeApp{t, app.site, "x"}).do(http.MethodPost, "/exchange", nil))
		refused("an access token", http.StatusForbidden, (&nativeApp{t, app.site, access}).do(http.MethodPost, "/exchange", nil))
		time.Sleep(25 * time.Hour)
		s.store.be(errDown)
		refused("while the store is down", http.StatusServiceUnavailable, app.do(http.MethodPost, "/exchange", nil))
		s.store.be(nil)
		time.Sleep(2 * time.Second)
		next, expires := tokenOf(t, app.do(http.MethodPost, "/exchange", nil))
		if next == old || time.Until(expires) < 29*24*time.Hour || userOf(t, next) != userOf(t, old) {
			t.Errorf("got a token until %v, want a new one of that user", expires)
		}
		for _, token := range []string{old, next} { // an answer may get lost
			if r := (&nativeApp{t, app.site, token}).do(http.MethodPost, "/members", nil); r.StatusCode != http.StatusOK {
				t.Errorf("got %d, want both tokens good", r.StatusCode)
			}
		}
	})
}

// TestBearersChangeIdentity holds that a client that changes its user by a bearer token
// gets the new token in the answer, and that the old one has ended.
func TestBearersChangeIdentity(t *testing.T) {
	for _, path := range []string{"/sign-up", "/sign-in", "/continue"} {
		for _, kind := range kinds {
			s := newSite(t, credentialPaths)
			c := resident(s, kind)
			old := c.Cookie(cookieOf(kind))
			name := map[string]string{"permanent": "ann"}[kind] // a proof of their own
			if name == "" {
				name = "new"
			}
			app := &nativeApp{t, s.Handler(s.clients()), old}
			r := app.do(http.MethodPost, path, words("name", name))
			token, expires := tokenOf(t, r)
			if time.Until(expires) < 29*24*time.Hour || strings.Contains(headerOf(t, token), "at+jwt") {
				t.Errorf("%s, %s: got a token until %v with header %s, want one of the session", path, kind, expires, headerOf(t, token))
			}
			app.takes(r)
			if r := app.do(http.MethodPost, "/members", nil); r.StatusCode != http.StatusOK || userOf(t, app.token) != userOf(t, old) {
				t.Errorf("%s, %s: got %d with the new token, want the same user", path, kind, r.StatusCode)
			}
			if r := (&nativeApp{t, app.site, old}).do(http.MethodPost, "/note", nil); r.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s, %s: got %d with the old token, want 401", path, kind, r.StatusCode)
			}
			// Also where the form does not stand behind Handler.
			if path == "/continue" {
				continue
			}
			bare := &nativeApp{t, s.clients(), app.token}
			bare.takes(bare.do(http.MethodPost, "/sign-in", words("name", name)))
		}
	}
	t.Run("unlink", func(t *testing.T) {
		s := newSite(t, credentialPaths)
		c := resident(s, "permanent")
		s.prove(c, "second")
		app := &nativeApp{t, s.Handler(s.clients()), c.Cookie(permName)}
		app.takes(app.do(http.MethodPost, "/remove", words("name", "second")))
		if r := app.do(http.MethodPost, "/members", nil); r.StatusCode != http.StatusOK {
			t.Errorf("got %d with the new token", r.StatusCode)
		}
		// A token with a short life stays one, since nothing was proven.
		app.takes(app.do(http.MethodPost, "/continue", words("name", "third")))
		access := body(t, app.do(http.MethodGet, "/token", nil))
		short := &nativeApp{t, app.site, access}
		s.told()
		r := short.do(http.MethodPost, "/remove", words("name", "third"))
		if token, expires := tokenOf(t, r); time.Until(expires) > 5*time.Minute || !strings.Contains(headerOf(t, token), "at+jwt") {
			t.Errorf("got a token until %v with header %s, want an access token", expires, headerOf(t, token))
		}
		if got := s.outcomes(); got != "unlinked" {
			t.Errorf("got events %q, want one of the removal", got)
		}
		r = short.takes(r).do(http.MethodPost, "/continue", words("name", "ann"))
		if token, expires := tokenOf(t, r); time.Until(expires) < 29*24*time.Hour || strings.Contains(headerOf(t, token), "at+jwt") {
			t.Errorf("after a proof: got a token until %v with header %s, want one of the session", expires, headerOf(t, token))
		}
	})
}

// TestWithoutCookies holds that below it cookies do not exist: neither those of the
// request nor ours, and that a client without anything begins and goes on.
func TestWithoutCookies(t *testing.T) {
	s := newSite(t, credentialPaths)
	site := s.WithoutCookies(s.clients())
	app := &nativeApp{t, site, ""}
	if got := body(t, app.do(http.MethodPost, "/", nil)); got != "nobody" || s.store.rows(t) != 0 {
		t.Errorf("an act without anything: got %q and %d rows, want nobody and none", got, s.store.rows(t))
	}
	app.takes(app.do(http.MethodPost, "/start", nil))
	id := userOf(t, app.token)
	app.takes(app.do(http.MethodPost, "/sign-up", words("name", "ann")))
	if r := app.do(http.MethodPost, "/members", nil); r.StatusCode != http.StatusOK || userOf(t, app.token) != id {
		t.Errorf("got %d and user %v, want %v", r.StatusCode, userOf(t, app.token), id)
	}
	other := (&nativeApp{t, site, ""})
	other.takes(other.do(http.MethodPost, "/sign-in", words("name", "ann")))
	if userOf(t, other.token) != id {
		t.Errorf("signing in elsewhere: got %v, want %v", userOf(t, other.token), id)
	}
	c := resident(s, "permanent").On(site)
	if got := body(t, c.Post("/", nil)); got != "nobody" {
		t.Errorf("by a cookie: got %q, want nobody", got)
	}
}

// TestFlowsWithoutCookies holds that a login flow begins with a token where there are
// no cookies, or not at all: a cookie that cannot come back would end it at its last
// step.
func TestFlowsWithoutCookies(t *testing.T) {
	s := newSite(t)
	var name string
	var err error
	mux := http.NewServeMux()
	mux.HandleFunc("POST /begin", func(w http.ResponseWriter, r *http.Request) { name, err = s.StartFlow(w, r) })
	mux.Handle("/form", s.FormHandler(func(w http.ResponseWriter, _ *http.Request, form walkin.Form) { w.WriteHeader(form.Status) }, nil))
	site := s.WithoutCookies(mux)
	for _, c := range []struct {
		name, token string
		ok          bool
	}{{"without a token", "", false}, {"with one", resident(s, "anonymous").Cookie(anonName), true}} {
		name, err = "", nil
		r := (&nativeApp{t, site, c.token}).do(http.MethodPost, "/begin", nil)
		refusal, _ := errors.AsType[*walkin.Refusal](err)
		if (err == nil) != c.ok || (name != "") != c.ok || !c.ok && (refusal == nil || refusal.Status != http.StatusUnauthorized) {
			t.Errorf("%s: got %q and %v", c.name, name, err)
		}
		if len(r.Cookies()) > 0 {
			t.Errorf("%s: got the cookies %v", c.name, r.Cookies())
		}
	}
	if r := walkintest.NewClient(t, site).Visit("/form"); r.StatusCode != http.StatusOK || len(r.Cookies()) > 0 {
		t.Errorf("a form: got %d and the cookies %v", r.StatusCode, r.Cookies())
	}
}

// TestBearersClickTwice holds that the second half of a double click, which came in
// before the first half was done, hands a client without cookies the token of the
// first half's session, and sets no cookie.
func TestBearersClickTwice(t *testing.T) {
	s := newSite(t, credentialPaths)
	used := false
	var first func()
	mux := s.clients()
	mux.HandleFunc("POST /code", func(w http.ResponseWriter, r *http.Request) {
		if f := first; f != nil {
			first = nil
			f()
		}
		c, _ := walkin.FromContext(r.Context())
		_, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "ann", Method: "otp", FlowID: "session:" + c.SessionID.String(),
			Redeem: func(context.Context) error {
				if used {
					return &walkin.Refusal{Status: http.StatusUnauthorized, Reason: "used", Err: walkin.ErrRedeemed}
				}
				used = true
				return nil
			}})
		if err != nil {
			s.Refuse(w, r, err)
			return
		}
		token, _ := walkin.IssuedToken(r.Context())
		token.ServeHTTP(w, r)
	})
	for name, site := range map[string]http.Handler{"Handler": s.Handler(mux), "WithoutCookies": s.WithoutCookies(mux)} {
		s.forget("test", "ann")
		used = false
		app := &nativeApp{t, site, resident(s, "anonymous").Cookie(anonName)}
		first = func() {
			if lost := app.do(http.MethodPost, "/code", nil); lost.StatusCode != http.StatusOK {
				t.Fatalf("%s: got %d", name, lost.StatusCode)
			}
		}
		app.takes(app.do(http.MethodPost, "/code", nil))
		if r := app.do(http.MethodPost, "/members", nil); r.StatusCode != http.StatusOK {
			t.Errorf("%s: got %d with the token of the second half", name, r.StatusCode)
		}
	}
}

// TestSignOutWithoutCookies holds that a sign-out below WithoutCookies leaves the
// browser's cookies as they are: it has not ended their session.
func TestSignOutWithoutCookies(t *testing.T) {
	s := newSite(t, credentialPaths)
	c := resident(s, "permanent").On(s.WithoutCookies(s.clients()))
	if r := c.Post("/out", nil); len(r.Cookies()) > 0 || c.Cookie(permName) == "" {
		t.Errorf("got the cookies %v", r.Cookies())
	}
}
