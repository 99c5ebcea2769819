package walkin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// A spy is a handler that remembers whether it ran.
type spy struct{ ran bool }

func (s *spy) ServeHTTP(http.ResponseWriter, *http.Request) { s.ran = true }

// TestGuards is the table of which requests pass, and of what browsers and API clients
// get that do not.
func TestGuards(t *testing.T) {
	rule := func(c walkin.Claims) error {
		if c.Anonymous {
			return errors.New("secret: anonymous users see the news of today alone")
		}
		return &walkin.Refusal{Status: http.StatusPaymentRequired, Reason: "secret: unpaid", Message: "Please renew your plan.", RetryAfter: 1500 * time.Millisecond, Err: errors.New("secret: invoice 7")}
	}
	guards := map[string]func(*site) func(http.Handler) http.Handler{
		"user":        func(s *site) func(http.Handler) http.Handler { return s.RequireUser() },
		"permanent":   func(s *site) func(http.Handler) http.Handler { return s.RequirePermanent() },
		"recent":      func(s *site) func(http.Handler) http.Handler { return s.RequireRecent(time.Hour) },
		"more recent": func(s *site) func(http.Handler) http.Handler { return s.RequireRecent(-time.Second) },
		"rule":        func(s *site) func(http.Handler) http.Handler { return s.Require(rule) },
		"no rule": func(s *site) func(http.Handler) http.Handler {
			return s.Require(func(walkin.Claims) error { return nil })
		},
	}
	tests := []struct {
		guard, visitor string
		status         int    // 200: let through
		page           string // where a person is sent: "sign-in", "sign-up" or nowhere
		reason         walkin.Reason
		detail         string // a part of what the visitor reads
	}{
		{"user", "nobody", 401, "sign-in", "no_user", "sign in"},
		{"user", "provisional", 200, "", "", ""},
		{"user", "anonymous", 200, "", "", ""},
		{"user", "permanent", 200, "", "", ""},
		{"permanent", "nobody", 401, "sign-in", "no_user", "sign in"},
		{"permanent", "provisional", 403, "sign-up", "anonymous", "account"},
		{"permanent", "anonymous", 403, "sign-up", "anonymous", "account"},
		{"permanent", "permanent", 200, "", "", ""},
		{"recent", "nobody", 401, "sign-in", "no_user", "sign in"},
		{"recent", "anonymous", 403, "sign-up", "anonymous", "account"},
		{"recent", "permanent", 200, "", "", ""},
		{"more recent", "nobody", 401, "sign-in", "no_user", "sign in"},
		{"more recent", "provisional", 403, "sign-up", "anonymous", "account"},
		{"more recent", "permanent", 403, "sign-in", "not_recent", "sign in again"},
		{"rule", "nobody", 401, "sign-in", "no_user", "sign in"},
		{"rule", "anonymous", 403, "", "rule", "may not"},
		{"rule", "permanent", 402, "", "secret: unpaid", "Please renew your plan."},
		{"no rule", "nobody", 401, "sign-in", "no_user", "sign in"},
		{"no rule", "anonymous", 200, "", "", ""},
	}
	people := map[string]func(*http.Request){
		"browser":         func(*http.Request) {},
		"old browser":     func(r *http.Request) { with(r, noSFS...) },
		"script for HTML": func(r *http.Request) { with(r, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty") },
	}
	programs := map[string]func(*http.Request){
		"script":                   func(r *http.Request) { with(r, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", "*/*") },
		"JSON client":              func(r *http.Request) { with(with(r, noSFS...), "Accept", "application/json", "User-Agent", "curl/8") },
		"client that says nothing": func(r *http.Request) { with(with(r, noSFS...), "Accept", "", "User-Agent", "curl/8") },
	}
	for _, urls := range [][2]string{{"/sign-in", "/sign-up"}, {"", "/sign-up"}, {"/sign-in?x=1", ""}, {"", ""}} {
		s := newSite(t, minting(walkin.MintOff), func(c *walkin.Config) { c.Paths.SignIn, c.Paths.Upgrade = urls[0], urls[1] })
		minter := newSite(t, over(s))
		visitors := map[string]*walkintest.Client{"nobody": s.browser(who)}
		for _, kind := range kinds {
			visitors[kind] = resident(minter, kind)
		}
		for _, tt := range tests {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead} {
				if tt.visitor == "provisional" && method == http.MethodPost {
					continue // the write makes them anonymous
				}
				next := new(spy)
				h := s.Handler(guards[tt.guard](s)(next))
				send := func(who string, change func(*http.Request)) (*http.Response, string) {
					r := s.form("/guarded?a=1", nil)
					if r.Method = method; method != http.MethodPost {
						r.Header.Del("Origin")
					}
					r.Header.Set("Referer", "https://app.example/from?b=2")
					change(r)
					next.ran = false
					s.told()
					answer := visitors[tt.visitor].On(h).Do(r)
					what := fmt.Sprintf("%s, %s, %s %s, %v", tt.guard, tt.visitor, method, who, urls)
					if next.ran != (tt.status == http.StatusOK) {
						t.Errorf("%s: next ran: %t", what, next.ran)
					}
					events := slices.DeleteFunc(s.told(), func(e walkin.Event) bool { return e.Outcome == walkin.Skipped })
					if tt.status == http.StatusOK {
						if len(events) > 0 || answer.StatusCode != http.StatusOK {
							t.Errorf("%s: got %d and events %v, want 200 and none", what, answer.StatusCode, events)
						}
						return answer, what
					}
					if len(events) != 1 || events[0].Outcome != walkin.Refused || events[0].Reason != tt.reason || (events[0].UserID.Version() == 7) != (tt.visitor != "nobody") {
						t.Errorf("%s: got events %v, want one: refused, %s", what, events, tt.reason)
					}
					if (tt.guard == "rule" && tt.visitor != "nobody") != (events[0].Err != nil) {
						t.Errorf("%s: got cause %v in the event", what, events[0].Err)
					}
					if got := answer.Header.Get("Cache-Control"); got != "no-store" {
						t.Errorf("%s: got Cache-Control %q, want no-store", what, got)
					}
					if got := answer.Header.Get("Retry-After"); (got == "2") != (tt.status == 402) {
						t.Errorf("%s: got Retry-After %q", what, got)
					}
					if text := body(t, answer) + fmt.Sprint(answer.Header); strings.Contains(text, "secret") || strings.Contains(text, "no_user") {
						t.Errorf("%s: the visitor is told %q", what, text)
					}
					return answer, what
				}
				for name, change := range people {
					answer, what := send(name, change)
					if tt.status == http.StatusOK {
						continue
					}
					target := map[string]string{"sign-in": urls[0], "sign-up": urls[1]}[tt.page]
					if tt.status == http.StatusUnauthorized && target == "" {
						target = urls[1]
					}
					if target != "" {
						back := "/guarded?a=1"
						if method == http.MethodPost {
							back = "/from?b=2" // a post cannot be repeated
						}
						separator := "?"
						if strings.Contains(target, "?") {
							separator = "&"
						}
						want := target + separator + "return_to=" + url.QueryEscape(back)
						if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != want || answer.Header.Get("WWW-Authenticate") != "" {
							t.Errorf("%s: got %d to %q, want 303 to %q", what, answer.StatusCode, answer.Header.Get("Location"), want)
						}
						continue
					}
					if answer.StatusCode != tt.status || answer.Header.Get("Content-Type") != "text/html; charset=utf-8" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
						t.Errorf("%s: got %d %v, want a page with %d", what, answer.StatusCode, answer.Header, tt.status)
					}
					if text := body(t, answer); !strings.Contains(text, tt.detail) || !strings.Contains(text, "<h1>") {
						t.Errorf("%s: got %q, want %q in it", what, text, tt.detail)
					}
					wantChallenge(t, what, answer)
				}
				for name, change := range programs {
					answer, what := send(name, change)
					if tt.status == http.StatusOK {
						continue
					}
					if answer.StatusCode != tt.status || answer.Header.Get("Location") != "" {
						t.Errorf("%s: got %d %v, want %d", what, answer.StatusCode, answer.Header, tt.status)
					}
					if detail := problem(t, what, answer); !strings.Contains(detail, tt.detail) {
						t.Errorf("%s: got detail %q, want %q in it", what, detail, tt.detail)
					}
					wantChallenge(t, what, answer)
				}
			}
		}
	}
}

// wantChallenge checks for the header that a 401 must have, RFC 9110.
func wantChallenge(t *testing.T, what string, r *http.Response) {
	t.Helper()
	if got := r.Header.Get("WWW-Authenticate"); (got == "Bearer") != (r.StatusCode == http.StatusUnauthorized) {
		t.Errorf("%s: got WWW-Authenticate %q with %d", what, got, r.StatusCode)
	}
}

// problem checks that an answer is a problem document, RFC 9457, and returns
// its detail.
func problem(t *testing.T, what string, r *http.Response) string {
	t.Helper()
	if r.Header.Get("Content-Type") != "application/problem+json" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: got header %v, want a problem document", what, r.Header)
	}
	var fields map[string]any
	if err := json.NewDecoder(r.Body).Decode(&fields); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	detail, _ := fields["detail"].(string)
	code, _ := fields["code"].(string)
	want := map[string]any{"code": code, "type": "about:blank", "title": http.StatusText(r.StatusCode), "status": float64(r.StatusCode), "detail": detail}
	if fmt.Sprint(fields) != fmt.Sprint(want) || detail == "" || code == "" {
		t.Errorf("%s: got %v, want %v", what, fields, want)
	}
	return detail
}

// TestGuardWayBack holds where a visitor comes back to who was redirected to sign in.
func TestGuardWayBack(t *testing.T) {
	s := newSite(t, minting(walkin.MintOff), func(c *walkin.Config) { c.Paths.SignIn = "/sign-in" })
	for _, tt := range []struct{ method, path, referer, want string }{
		{"GET", "/a?b=c&d=e", "", "/sign-in?return_to=%2Fa%3Fb%3Dc%26d%3De"},
		{"GET", "/a?next=https://evil.example", "", "/sign-in?return_to=%2Fa%3Fnext%3Dhttps%3A%2F%2Fevil.example"},
		{"GET", "//evil.example/a", "", "/sign-in"},
		{"GET", "/%5cevil.example", "", "/sign-in"},
		{"POST", "/a", "https://app.example/form?x=y#z", "/sign-in?return_to=%2Fform%3Fx%3Dy"},
		{"POST", "/a", "https://evil.example/form", "/sign-in"},
		{"POST", "/a", "https://app.example//evil.example", "/sign-in"},
		{"POST", "/a", "", "/sign-in"},
		{"POST", "/a", "::", "/sign-in"},
	} {
		next := new(spy)
		r := with(s.form("/", nil), "Referer", tt.referer)
		r.Method = tt.method
		u, err := url.ParseRequestURI(tt.path)
		if err != nil {
			t.Fatal(err)
		}
		r.URL, r.RequestURI = u, tt.path
		rec := httptest.NewRecorder()
		s.Handler(s.RequireUser()(next)).ServeHTTP(rec, r)
		if got := rec.Header().Get("Location"); got != tt.want || next.ran {
			t.Errorf("%s %s from %q: got %q, want %q; next ran: %t", tt.method, tt.path, tt.referer, got, tt.want, next.ran)
		}
	}
	// A visitor behind a guard on the sign-in page itself is not sent in circles.
	next := new(spy)
	if r := s.browser(s.RequireUser()(next).ServeHTTP).Visit("/sign-in"); r.StatusCode != http.StatusUnauthorized || next.ran {
		t.Errorf("guarding the sign-in page: got %d, want 401", r.StatusCode)
	}
}

// TestGuardOfTheFirstPage holds that a first page behind a guard mints, refuses,
// and is not cached.
func TestGuardOfTheFirstPage(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.Paths.Upgrade = "/sign-up" })
	next := new(spy)
	r := s.browser(s.RequirePermanent()(next).ServeHTTP).Visit("/members")
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/sign-up?return_to=%2Fmembers" || next.ran {
		t.Errorf("got %d to %q, want 303 to the sign-up page", r.StatusCode, r.Header.Get("Location"))
	}
	if len(r.Cookies()) != 1 || !slices.Equal(r.Header["Cache-Control"], []string{"private, no-store"}) {
		t.Errorf("got %v, want a cookie that is not cached", r.Header)
	}
}

// TestGuardWithoutHandler holds that a guard which no Handler stands around
// refuses everyone.
func TestGuardWithoutHandler(t *testing.T) {
	s := newSite(t)
	for _, kind := range kinds {
		c := resident(s, kind)
		for name, guard := range map[string]func(http.Handler) http.Handler{
			"user": s.RequireUser(), "permanent": s.RequirePermanent(), "rule": s.Require(func(walkin.Claims) error { return nil }),
		} {
			next := new(spy)
			if r := c.On(guard(next)).Fetch("/"); r.StatusCode != http.StatusUnauthorized || next.ran {
				t.Errorf("%s, %s: got %d, want 401; next ran: %t", name, kind, r.StatusCode, next.ran)
			}
		}
	}
}

// TestGuardWithNewContext holds that handlers behind guards can be tested on
// their own.
func TestGuardWithNewContext(t *testing.T) {
	s := newSite(t)
	anonymous, permanent := walkintest.Anonymous(t), walkintest.Permanent(t)
	for _, tt := range []struct {
		name   string
		guard  func(http.Handler) http.Handler
		claims walkin.Claims
		status int
	}{
		{"user, anonymous", s.RequireUser(), anonymous, 200},
		{"user, permanent", s.RequireUser(), permanent, 200},
		{"permanent, anonymous", s.RequirePermanent(), anonymous, 403},
		{"permanent, permanent", s.RequirePermanent(), permanent, 200},
	} {
		next := new(spy)
		rec := httptest.NewRecorder()
		r := s.request(http.MethodPost, "/")
		tt.guard(next).ServeHTTP(rec, r.WithContext(walkin.NewContext(r.Context(), tt.claims)))
		if rec.Code != tt.status || next.ran != (tt.status == 200) {
			t.Errorf("%s: got %d, want %d; next ran: %t", tt.name, rec.Code, tt.status, next.ran)
		}
	}
	// But nothing that writes believes it.
	r := s.request(http.MethodGet, "/")
	r = r.WithContext(walkin.NewContext(r.Context(), permanent))
	if c, err := s.Ensure(httptest.NewRecorder(), r); err != nil || c.UserID == permanent.UserID {
		t.Errorf("Ensure: got %v, %v, want a new user", c, err)
	}
	if err := s.Unlink(httptest.NewRecorder(), with(r, "Sec-Fetch-Site", "same-origin"), "test", "ann"); err == nil {
		t.Error("Unlink: got no error, want one")
	}
}

// TestRefuse holds what visitors learn of errors, and what the operator does.
func TestRefuse(t *testing.T) {
	secret := errors.New("secret: the database is at 10.0.0.7")
	tests := []struct {
		name   string
		err    error
		status int
		reason walkin.Reason
	}{
		{"any error", secret, 500, "internal"},
		{"taken", store.ErrIdentityTaken, 409, "identity_taken"},
		{"taken, wrapped", fmt.Errorf("secret: %w", store.ErrIdentityTaken), 409, "identity_taken"},
		{"session_ended", store.ErrSessionEnded, 401, "session_ended"},
		{"not found", store.ErrNotFound, 401, "session_ended"},
		{"a refusal", &walkin.Refusal{Status: 429, Reason: "secret: too many", Err: secret}, 429, "secret: too many"},
		{"a refusal, wrapped", fmt.Errorf("secret: %w", &walkin.Refusal{Status: 429, Reason: "many"}), 429, "many"},
		{"a refusal without a status", &walkin.Refusal{Reason: "why"}, 403, "why"},
	}
	for _, tt := range tests {
		for _, page := range []bool{true, false} {
			s := newSite(t)
			r := s.request(http.MethodGet, "/")
			if page {
				r = s.navigation("/")
			}
			rec := httptest.NewRecorder()
			s.Refuse(rec, r, tt.err)
			if rec.Code != tt.status || strings.Contains(rec.Body.String(), "secret") || rec.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s: got %d %v %q, want %d and no word of the cause", tt.name, rec.Code, rec.Header(), rec.Body, tt.status)
			}
			if !page {
				problem(t, tt.name, rec.Result())
			}
			if events := s.told(); len(events) != 1 || events[0].Outcome != walkin.Refused || events[0].Reason != tt.reason {
				t.Errorf("%s: got events %v, want refused: %s", tt.name, events, tt.reason)
			}
		}
	}
	for _, tt := range []struct {
		after time.Duration
		want  string
	}{{0, ""}, {-1, ""}, {1, "1"}, {time.Second, "1"}, {90*time.Second + 1, "91"}} {
		rec := httptest.NewRecorder()
		s := newSite(t)
		s.Refuse(rec, s.request(http.MethodGet, "/"), &walkin.Refusal{Status: 429, RetryAfter: tt.after})
		if got := rec.Header().Get("Retry-After"); got != tt.want {
			t.Errorf("after %v: got Retry-After %q, want %q", tt.after, got, tt.want)
		}
	}
	// A message is text, also on a page.
	rec := httptest.NewRecorder()
	s := newSite(t)
	s.Refuse(rec, s.navigation("/"), &walkin.Refusal{Message: "<script>alert(1)</script>"})
	if strings.Contains(rec.Body.String(), "<script>") {
		t.Errorf("got %q, want the message escaped", rec.Body)
	}
}

// TestOnRefuse holds that the app may answer instead, for guards and for
// Handler itself.
func TestOnRefuse(t *testing.T) {
	var got []string
	s := newSite(t, minting(walkin.MintOff), func(c *walkin.Config) {
		c.Paths.SignIn = "/sign-in"
		c.OnRefuse = func(w http.ResponseWriter, r *http.Request, refusal *walkin.Refusal) {
			got = append(got, fmt.Sprint(refusal.Status, " ", refusal.Reason, " ", errors.Unwrap(refusal)))
			w.WriteHeader(refusal.Status + 50)
		}
	})
	next := new(spy)
	c := s.browser(s.RequireUser()(next).ServeHTTP)
	for _, r := range []*http.Response{c.Visit("/"), c.Fetch("/")} {
		if r.StatusCode != 451 || len(body(t, r)) > 0 || r.Header.Get("Location") != "" || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("got %d %v %q, want the app's answer alone", r.StatusCode, r.Header, body(t, r))
		}
	}
	ann := s.browser(next.ServeHTTP)
	s.prove(ann, "ann")
	s.store.be(errDown)
	if r := ann.Post("/", nil); r.StatusCode != 553 || r.Header.Get("Retry-After") != "5" {
		t.Errorf("got %d %v, want the app's answer, with Retry-After", r.StatusCode, r.Header)
	}
	want := []string{"401 no_user <nil>", "401 no_user <nil>", "503 store_down walkin: store unavailable: the store is down"}
	if !slices.Equal(got, want) || next.ran {
		t.Errorf("got %q, want %q; next ran: %t", got, want, next.ran)
	}
}

// A terminal is a writer that takes refusals.
type terminal struct {
	http.ResponseWriter
	got []*walkin.Refusal
}

func (w *terminal) Refuse(refusal *walkin.Refusal) { w.got = append(w.got, refusal) }

// TestRefusalTaken holds that a writer of another transport gets the refusal
// itself, of the guards and of Handler, and the app's answer is not asked for.
func TestRefusalTaken(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) {
		c.OnRefuse = func(http.ResponseWriter, *http.Request, *walkin.Refusal) { t.Error("OnRefuse was asked") }
	})
	next := new(spy)
	guarded := s.Handler(s.RequirePermanent()(next))
	c := s.browser(next.ServeHTTP)
	s.prove(c, "ann")
	r := s.request(http.MethodPost, "/")
	signedIn := s.request(http.MethodPost, "/")
	c.Carry(signedIn)
	w := &terminal{ResponseWriter: httptest.NewRecorder()}
	guarded.ServeHTTP(w, r)
	s.store.be(errDown)
	guarded.ServeHTTP(w, signedIn)
	if next.ran || len(w.got) != 2 || w.got[0].Status != http.StatusForbidden || w.got[0].Message != "An account is needed for this." ||
		w.got[1].Status != http.StatusServiceUnavailable || w.got[1].RetryAfter != 5*time.Second || w.got[1].Message == "" {
		t.Errorf("got %+v, want a 403 and a 503, filled in; next ran: %t", w.got, next.ran)
	}
	told := s.told()
	if e := told[len(told)-1]; e.Outcome != walkin.Refused || e.Reason != "store_down" {
		t.Errorf("the owner is told %+v", e)
	}
}

// TestRefusalAnswers holds that a refusal of the app's own answers as a guard's does,
// by itself too, and redirects where it says.
func TestRefusalAnswers(t *testing.T) {
	plain := &walkin.Refusal{Message: "Not today."}
	elsewhere := &walkin.Refusal{Status: http.StatusPaymentRequired, Message: "Not today.", Page: "/plans?from=wall"}
	s := newSite(t)
	for _, tt := range []struct {
		name    string
		refusal *walkin.Refusal
		path    string
		person  bool
		status  int
		target  string
	}{
		{"program", plain, "/a", false, 403, ""},
		{"person", plain, "/a", true, 403, ""},
		{"program, a page", elsewhere, "/a", false, 402, ""},
		{"person, a page", elsewhere, "/a?b=c", true, 303, "/plans?from=wall&return_to=%2Fa%3Fb%3Dc"},
	} {
		for how, answer := range map[string]func(http.ResponseWriter, *http.Request){
			"Refuse":    func(w http.ResponseWriter, r *http.Request) { s.Refuse(w, r, tt.refusal) },
			"ServeHTTP": tt.refusal.ServeHTTP,
		} {
			r := s.request(http.MethodGet, tt.path)
			if tt.person {
				r = s.navigation(tt.path)
			}
			rec := httptest.NewRecorder()
			answer(rec, r)
			if rec.Code != tt.status || rec.Header().Get("Location") != tt.target {
				t.Errorf("%s, %s: got %d to %q, want %d to %q", tt.name, how, rec.Code, rec.Header().Get("Location"), tt.status, tt.target)
			}
			if tt.status != http.StatusSeeOther && !strings.Contains(rec.Body.String(), "Not today.") {
				t.Errorf("%s, %s: got %q, want the message", tt.name, how, rec.Body)
			}
		}
	}
	if plain.Status != 0 {
		t.Errorf("got status %d in the app's refusal, want it left alone", plain.Status)
	}
}

// A nameCredential recognizes users by a name and a word, both in the clear. It is for
// tests alone.
type nameCredential struct {
	store store.Store

	mu    sync.Mutex
	asked int
	fail  error // of SignIn
}

func (c *nameCredential) read(r *http.Request) (name, word string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return "", "", &walkin.Refusal{Status: http.StatusRequestEntityTooLarge, Reason: "too_large"}
		}
		return "", "", err
	}
	return r.PostFormValue("name"), r.PostFormValue("word"), nil
}

func (c *nameCredential) SignUp(r *http.Request) (walkin.Proof, error) {
	name, word, err := c.read(r)
	if err == nil && len(word) < 4 {
		err = &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: "short", Message: "Four letters at least."}
	}
	return walkin.Proof{Provider: "name", Subject: name, Method: "pwd", Secret: []byte(word), Chosen: true}, err
}

func (c *nameCredential) SignIn(r *http.Request) (walkin.Proof, error) {
	name, word, err := c.read(r)
	if err == nil {
		err = c.fail
	}
	if err != nil {
		return walkin.Proof{}, err
	}
	identity, err := c.store.Identity(r.Context(), "name", name)
	if errors.Is(err, store.ErrNotFound) || err == nil && string(identity.Secret) != word {
		err = &walkin.Refusal{Status: http.StatusUnauthorized, Reason: "wrong", Message: "That is not it."}
	}
	return walkin.Proof{Provider: "name", Subject: name, Method: "pwd"}, err
}

// forms returns the site's forms, and what they were last shown with.
func (s *site) forms(c *nameCredential) (http.Handler, *walkin.Form) {
	shown := new(walkin.Form)
	page := func(w http.ResponseWriter, r *http.Request, form walkin.Form) {
		*shown = form
		message := ""
		if form.Refusal != nil {
			message = form.Refusal.Message
		}
		w.WriteHeader(form.Status)
		fmt.Fprintf(w, "form name=%q %s", r.PostFormValue("name"), message)
	}
	mux := s.routes()
	mux.Handle("/sign-up", s.UpgradeHandler(c, page))
	mux.Handle("/sign-in", s.SignInHandler(c, page))
	mux.Handle("/api/sign-up", s.UpgradeHandler(c, nil))
	return mux, shown
}

func words(pairs ...string) url.Values {
	form := make(url.Values)
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

// TestLoginCSRF holds that a page from elsewhere cannot make a visitor sign up,
// in or out, or change who they are in any other way.
func TestLoginCSRF(t *testing.T) {
	elsewhere := map[string][]string{
		"cross-site":                        {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
		"cross-site, another scheme":        {"Sec-Fetch-Site", "cross-site", "Origin", "http://app.example"},
		"a sibling":                         {"Sec-Fetch-Site", "same-site", "Origin", "https://other.example"},
		"no Sec-Fetch-Site, another Origin": append([]string{"Origin", "https://evil.example"}, noSFS...),
		"another port":                      append([]string{"Origin", "https://app.example:8443"}, noSFS...),
		"a sandboxed frame":                 append([]string{"Origin", "null"}, noSFS...),
	}
	for name, header := range elsewhere {
		for _, kind := range append([]string{"nobody"}, kinds...) {
			for _, path := range []string{"/sign-up", "/sign-in", "/api/sign-up", "/out", "/prove", "/unlink"} {
				s := newSite(t, func(c *walkin.Config) { c.Paths.Upgrade, c.Paths.SignIn = "/sign-up", "/sign-in" })
				credential := &nameCredential{store: s.store}
				site, shown := s.forms(credential)
				attacker := s.browser(site.ServeHTTP)
				if r := attacker.Post("/sign-up", words("name", "mallory", "word", "evil")); r.StatusCode != http.StatusSeeOther {
					t.Fatalf("the attacker's own sign-up: got %d", r.StatusCode)
				}
				c := resident(s, kind)
				id := body(t, c.Fetch("/"))
				jar := fmt.Sprint(c.Cookies())
				credential.asked = 0
				s.store.count()

				r := with(s.form(path, words("name", "mallory", "word", "evil", "new", "1", "state", "1")), header...)
				answer := c.On(s.Handler(site)).Do(r)
				what := fmt.Sprintf("%s, %s posts to %s", name, kind, path)
				if answer.StatusCode != http.StatusForbidden || len(answer.Header["Set-Cookie"]) > 0 {
					t.Errorf("%s: got %d and cookies %q, want 403 and none", what, answer.StatusCode, answer.Header["Set-Cookie"])
				}
				if n := s.store.count(writes...); n > 0 || credential.asked > 0 || shown.Status != 0 {
					t.Errorf("%s: got %d writes and %d looks at the form, want none", what, n, credential.asked)
				}
				if got := fmt.Sprint(c.Cookies()); got != jar {
					t.Errorf("%s: the jar: got %v, want %v", what, got, jar)
				}
				if got := body(t, c.Fetch("/")); got != id {
					t.Errorf("%s: got %q afterwards, want %q", what, got, id)
				}
			}
		}
	}
	t.Run("a trusted origin", func(t *testing.T) {
		trusting := http.NewCrossOriginProtection()
		trusting.SetDenyHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the deny handler was called") }))
		if err := trusting.AddTrustedOrigin("https://login.example"); err != nil {
			t.Fatal(err)
		}
		s := newSite(t, func(c *walkin.Config) { c.CrossOrigin = trusting })
		h, _ := s.forms(&nameCredential{store: s.store})
		for origin, status := range map[string]int{"https://login.example": 303, "https://evil.example": 403} {
			r := with(s.form("/sign-up", words("name", "ann", "word", "word")), "Sec-Fetch-Site", "cross-site", "Origin", origin)
			if got := s.browser(h.ServeHTTP).Do(r); got.StatusCode != status {
				t.Errorf("%s: got %d, want %d", origin, got.StatusCode, status)
			}
		}
	})
}

// TestMethods holds that identities change by POST alone.
func TestMethods(t *testing.T) {
	s := newSite(t)
	h, shown := s.forms(&nameCredential{store: s.store})
	for _, tt := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/out", 405, "POST"},
		{"HEAD", "/out", 405, "POST"},
		{"PUT", "/out", 405, "POST"},
		{"DELETE", "/out", 405, "POST"},
		{"OPTIONS", "/out", 405, "POST"},
		{"GET", "/sign-up", 200, ""},
		{"HEAD", "/sign-up", 200, ""},
		{"PUT", "/sign-up", 405, "GET, HEAD, POST"},
		{"DELETE", "/sign-in", 405, "GET, HEAD, POST"},
		{"OPTIONS", "/sign-in", 405, "GET, HEAD, POST"},
		{"GET", "/api/sign-up", 405, "POST"},
		{"GET", "/callback?name=ann", 405, "POST"}, // without a state
	} {
		for _, kind := range []string{"nobody", "anonymous"} {
			c := resident(s, kind).On(s.Handler(h))
			id := body(t, c.Fetch("/"))
			s.store.count()
			*shown = walkin.Form{}
			r := c.Do(c.NewRequest(tt.method, tt.path, nil))
			if r.StatusCode != tt.status || r.Header.Get("Allow") != tt.allow || shown.Status != map[int]int{200: 200}[tt.status] {
				t.Errorf("%s %s by %s: got %d, Allow %q, form %v, want %d, %q", tt.method, tt.path, kind, r.StatusCode, r.Header.Get("Allow"), shown, tt.status, tt.allow)
			}
			if kind == "nobody" && tt.method != "GET" && tt.method != "HEAD" {
				continue // a write gives them a user
			}
			if got := body(t, c.Fetch("/")); got != id || s.store.count(writes...) > 0 {
				t.Errorf("%s %s by %s: got %q afterwards, want %q", tt.method, tt.path, kind, got, id)
			}
		}
	}
}

// TestForms holds what a visitor goes through at the sign-up and sign-in pages.
func TestForms(t *testing.T) {
	type step struct {
		path   string
		form   url.Values
		status int
		says   string // a part of the page, or where it leads
	}
	good := words("name", "ann", "word", "open", "return_to", "/notes?page=2")
	tests := []struct {
		name  string
		kind  string
		steps []step
		want  string // events of identity, in order
	}{
		{"a short word, then a good one", "anonymous", []step{
			{"/sign-up", words("name", "ann", "word", "x"), 422, `form name="ann" Four letters at least.`},
			{"/sign-up", good, 303, "/notes?page=2"},
		}, "upgraded"},
		{"nobody signs up", "nobody", []step{{"/sign-up", good, 303, "/notes?page=2"}}, "signed_up"},
		{"no way back", "provisional", []step{{"/sign-up", words("name", "ann", "word", "open"), 303, "/"}}, "upgraded"},
		{"a way elsewhere", "provisional", []step{{"/sign-up", words("name", "ann", "word", "open", "return_to", "//evil.example"), 303, "/"}}, "upgraded"},
		{"twice", "anonymous", []step{{"/sign-up", good, 303, "/notes?page=2"}, {"/sign-up", good, 303, "/notes?page=2"}}, "upgraded signed_in"},
		{"a name that is taken", "nobody", []step{{"/sign-up", words("name", "bob", "word", "open"), 409, `form name="bob" That already belongs`}}, ""},
		{"a name that is taken, by a guest", "anonymous", []step{{"/sign-up", words("name", "bob", "word", "open"), 409, `form name="bob" That already belongs`}}, ""},
		{"forgot that they had signed up", "nobody", []step{{"/sign-up", words("name", "bob", "word", "builder"), 303, "/"}}, "signed_in"},
		{"forgot, and has only looked around since", "provisional", []step{{"/sign-up", words("name", "bob", "word", "builder"), 409, `form name="bob" That already belongs`}}, ""},
		{"forgot, and would lose a guest", "anonymous", []step{{"/sign-up", words("name", "bob", "word", "builder"), 409, `form name="bob" That already belongs`}}, ""},
		{"a wrong word, then the right one", "nobody", []step{
			{"/sign-in", words("name", "bob", "word", "open"), 401, `form name="bob" That is not it.`},
			{"/sign-in", words("name", "bob", "word", "builder", "return_to", "/a"), 303, "/a"},
		}, "signed_in"},
		{"an unknown name", "nobody", []step{{"/sign-in", words("name", "carol", "word", "open"), 401, "That is not it."}}, ""},
		{"a guest signs in", "anonymous", []step{{"/sign-in", words("name", "bob", "word", "builder"), 303, "/"}}, "signed_in"},
		{"an empty name", "anonymous", []step{{"/sign-up", words("word", "open"), 422, `form name=""`}}, ""},
		{"a name of 256 bytes", "anonymous", []step{{"/sign-up", words("name", strings.Repeat("n", 256), "word", "open"), 422, `form`}}, ""},
		{"a form of 65 KB", "anonymous", []step{{"/sign-up", words("name", strings.Repeat("n", 65<<10), "word", "open"), 413, `form`}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, func(c *walkin.Config) { c.Paths.Upgrade, c.Paths.SignIn = "/sign-up", "/sign-in" })
			h, shown := s.forms(&nameCredential{store: s.store})
			bob := s.browser(h.ServeHTTP)
			bob.Post("/sign-up", words("name", "bob", "word", "builder"))
			c := resident(s, tt.kind).On(s.Handler(h))
			id := body(t, c.Fetch("/"))
			s.told()
			for _, step := range tt.steps {
				r := c.Post(step.path, step.form)
				if says := body(t, r) + r.Header.Get("Location"); r.StatusCode != step.status || !strings.Contains(says, step.says) {
					t.Errorf("%s: got %d %q, want %d %q", step.path, r.StatusCode, says, step.status, step.says)
				}
				if got := r.Header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
					t.Errorf("%s: got Cache-Control %q, want no-store", step.path, got)
				}
				if step.status == http.StatusSeeOther {
					continue
				}
				if shown.Refusal == nil || shown.Status != step.status || len(r.Header["Set-Cookie"]) > 0 {
					t.Errorf("%s: the form was shown with %+v and cookies %q", step.path, shown, r.Header["Set-Cookie"])
				}
				if got := body(t, c.Fetch("/")); got != id {
					t.Errorf("%s: refused, and now %q, want %q", step.path, got, id)
				}
			}
			var got []string
			for _, e := range s.told() {
				switch e.Outcome {
				case walkin.Upgraded, walkin.SignedUp, walkin.SignedIn, walkin.Merged, walkin.Linked:
					got = append(got, string(e.Outcome))
				case walkin.Minted, walkin.Failed:
					t.Errorf("got event %v", e)
				}
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("got events %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("the first time", func(t *testing.T) {
		s := newSite(t)
		h, shown := s.forms(&nameCredential{store: s.store})
		c := s.browser(h.ServeHTTP)
		for target, want := range map[string]string{"/sign-up?return_to=/a%3Fb=c": "/a?b=c", "/sign-up": "/", "/sign-up?return_to=https://evil.example": "/"} {
			if r := c.Visit(target); r.StatusCode != http.StatusOK || *shown != (walkin.Form{Status: 200, ReturnTo: want}) {
				t.Errorf("%s: got %d, form %+v, want to return to %q", target, r.StatusCode, shown, want)
			}
		}
	})
	t.Run("programs and the app without a page", func(t *testing.T) {
		s := newSite(t)
		h, shown := s.forms(&nameCredential{store: s.store})
		for _, tt := range []struct{ path, accept string }{{"/sign-up", "application/json"}, {"/api/sign-up", "application/json"}, {"/api/sign-up", "*/*"}} {
			r := with(s.form(tt.path, words("name", "ann", "word", "x")), "Accept", tt.accept, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty")
			answer := s.browser(h.ServeHTTP).Do(r)
			if detail := problem(t, tt.path, answer); answer.StatusCode != 422 || detail != "Four letters at least." || shown.Status != 0 {
				t.Errorf("%s %s: got %d %q, form %+v, want a problem", tt.path, tt.accept, answer.StatusCode, detail, shown)
			}
		}
	})
	t.Run("too many tries", func(t *testing.T) {
		s := newSite(t)
		credential := &nameCredential{store: s.store, fail: &walkin.Refusal{Status: 429, Reason: "tries", RetryAfter: time.Minute}}
		h, _ := s.forms(credential)
		bob := s.browser(h.ServeHTTP)
		bob.Post("/sign-up", words("name", "bob", "word", "builder"))
		r := s.browser(h.ServeHTTP).Post("/sign-in", words("name", "bob", "word", "builder"))
		if r.StatusCode != 429 || r.Header.Get("Retry-After") != "60" {
			t.Errorf("sign-in: got %d, Retry-After %q, want 429, 60", r.StatusCode, r.Header.Get("Retry-After"))
		}
		// Signing up with a name that is taken is no more than that.
		if r := s.browser(h.ServeHTTP).Post("/sign-up", words("name", "bob", "word", "builder")); r.StatusCode != 409 {
			t.Errorf("sign-up: got %d, want 409", r.StatusCode)
		}
	})
	t.Run("a failure of ours", func(t *testing.T) {
		s := newSite(t)
		h, shown := s.forms(&nameCredential{store: s.store, fail: errors.New("secret: a bug")})
		r := s.browser(h.ServeHTTP).Post("/sign-in", words("name", "bob", "word", "builder"))
		if text := body(t, r); r.StatusCode != 500 || shown.Status != 500 || strings.Contains(text, "secret") {
			t.Errorf("got %d %q, want 500 and no word of it", r.StatusCode, text)
		}
	})
	t.Run("the body is limited before the credential reads it", func(t *testing.T) {
		s := newSite(t)
		read := make(chan int64, 1)
		h := s.SignInHandler(readAll(read), nil)
		r := s.request(http.MethodPost, "/")
		r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<20)))
		s.browser(h.ServeHTTP).Do(r)
		if n := <-read; n > 64<<10 {
			t.Errorf("got %d bytes, want 64 KB at most", n)
		}
	})
}

// readAll is a credential that reads whatever it is sent.
type readAll chan int64

func (c readAll) SignUp(r *http.Request) (walkin.Proof, error) { return c.SignIn(r) }

func (c readAll) SignIn(r *http.Request) (walkin.Proof, error) {
	n, err := io.Copy(io.Discard, r.Body)
	c <- n
	return walkin.Proof{}, &walkin.Refusal{Err: err}
}

// TestSeveralVisitorsOfAGuard holds that claims are never another's.
func TestSeveralVisitorsOfAGuard(t *testing.T) {
	s := newSite(t)
	h := s.Handler(s.RequireUser()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		again, ok := walkin.FromContext(context.WithoutCancel(r.Context()))
		if !ok || again != c {
			t.Errorf("got %v, want %v", again, c)
		}
		who(w, r)
	})))
	var wg sync.WaitGroup
	for range 16 {
		c := resident(s, "anonymous").On(h)
		wg.Go(func() {
			id := body(t, c.Fetch("/"))
			for range 50 {
				if got := body(t, c.Fetch("/")); got != id {
					t.Errorf("got %q, want %q", got, id)
				}
			}
		})
	}
	wg.Wait()
}

// TestRefusalOfItsOwnPage holds that no visitor is sent from a page to itself.
func TestRefusalOfItsOwnPage(t *testing.T) {
	for page, want := range map[string]int{
		"/sign-in": http.StatusUnauthorized, "/sign-in?plan=pro": http.StatusUnauthorized, "/sign-in/now": http.StatusSeeOther, "/": http.StatusSeeOther,
	} {
		s := newSite(t, minting(walkin.MintOff), func(c *walkin.Config) { c.Paths.SignIn = page })
		c := s.browser(func(w http.ResponseWriter, r *http.Request) { s.RequireUser()(new(spy)).ServeHTTP(w, r) })
		if r := c.Visit("/sign-in?a=1"); r.StatusCode != want {
			t.Errorf("%s: got %d to %q, want %d", page, r.StatusCode, r.Header.Get("Location"), want)
		}
	}
}
