package walkin_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// A shelf is what a store of session data keeps.
type shelf struct {
	mu    sync.Mutex
	items map[string]shelved
	fail  map[string]error // by what is done: "find", "commit", "delete"
	calls int
}

type shelved struct {
	text   []byte
	expiry time.Time
}

func (s *shelf) find(key string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	item, ok := s.items[key]
	if !ok || time.Now().After(item.expiry) {
		return nil, false, s.fail["find"]
	}
	return item.text, true, s.fail["find"]
}

func (s *shelf) commit(key string, b []byte, expiry time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if err := s.fail["commit"]; err != nil {
		return err
	}
	s.items[key] = shelved{b, expiry}
	return nil
}

func (s *shelf) delete(key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	delete(s.items, key)
	return s.fail["delete"]
}

// keys returns the keys of what is there, and forgets the calls so far.
func (s *shelf) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = 0
	return slices.Sorted(maps.Keys(s.items))
}

// A plainShelf is a scs.Store of old, a ctxShelf one of today: its methods
// without a context panic, as those of several real ones do.
type (
	plainShelf struct{ *shelf }
	ctxShelf   struct{ *shelf }
)

func (s plainShelf) Find(key string) ([]byte, bool, error)           { return s.find(key) }
func (s plainShelf) Commit(key string, b []byte, at time.Time) error { return s.commit(key, b, at) }
func (s plainShelf) Delete(key string) error                         { return s.delete(key) }

func (s ctxShelf) Find(string) ([]byte, bool, error)      { panic("Find without a context") }
func (s ctxShelf) Commit(string, []byte, time.Time) error { panic("Commit without a context") }
func (s ctxShelf) Delete(string) error                    { panic("Delete without a context") }

func (s ctxShelf) FindCtx(ctx context.Context, key string) ([]byte, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	return s.find(key)
}

func (s ctxShelf) CommitCtx(ctx context.Context, key string, b []byte, at time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.commit(key, b, at)
}

func (s ctxShelf) DeleteCtx(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.delete(key)
}

// A scsSite is a site that uses scs.
type scsSite struct {
	*hookedSite
	sm *scs.SessionManager
	*shelf
}

// An opener opens such a site.
type opener func(t *testing.T, changes ...func(*walkin.Config)) *scsSite

// eachStore runs a test on a site with each kind of store of session data.
func eachStore(t *testing.T, test func(t *testing.T, open opener)) {
	for _, kind := range []string{"Store", "CtxStore"} {
		for _, hash := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, hashed %t", kind, hash), func(t *testing.T) {
				test(t, func(t *testing.T, changes ...func(*walkin.Config)) *scsSite {
					return newSCSSite(t, kind, hash, changes...)
				})
			})
		}
	}
}

func newSCSSite(t *testing.T, kind string, hash bool, changes ...func(*walkin.Config)) *scsSite {
	t.Helper()
	return newSCSSiteOf(t, scs.New(), kind, hash, changes...)
}

// newSCSSiteOf is for bubbles of synctest: scs.New starts a goroutine.
func newSCSSiteOf(t *testing.T, sm *scs.SessionManager, kind string, hash bool, changes ...func(*walkin.Config)) *scsSite {
	t.Helper()
	s := &scsSite{hookedSite: newHookedSite(t, changes...), sm: sm, shelf: &shelf{items: make(map[string]shelved), fail: make(map[string]error)}}
	s.sm.Store = plainShelf{s.shelf}
	if kind == "CtxStore" {
		s.sm.Store = ctxShelf{s.shelf}
	}
	s.sm.HashTokenInStore = hash
	return s
}

// inside wraps a handler that uses the session's data.
func (s *scsSite) inside(h http.HandlerFunc) http.Handler { return s.LoadAndSave(s.sm)(h) }

// app returns the site: everything below /in/ has session data around it.
func (s *scsSite) app() http.Handler {
	mux := s.routes()
	mux.Handle("/in/put", s.inside(func(w http.ResponseWriter, r *http.Request) {
		s.sm.Put(r.Context(), r.FormValue("key"), r.FormValue("value"))
		fmt.Fprint(w, "put")
	}))
	mux.Handle("/in/get", s.inside(func(w http.ResponseWriter, r *http.Request) {
		var all []string
		for _, key := range s.sm.Keys(r.Context()) {
			all = append(all, key+"="+s.sm.GetString(r.Context(), key))
		}
		fmt.Fprint(w, strings.Join(all, " "))
	}))
	// What apps that use scs do when a user signs in, and some more.
	mux.Handle("/in/prove", s.inside(func(w http.ResponseWriter, r *http.Request) {
		habit := r.FormValue("habit")
		if strings.Contains(habit, "put before") {
			s.sm.Put(r.Context(), "before", "1")
		}
		if strings.Contains(habit, "renew before") {
			if err := s.sm.RenewToken(r.Context()); err != nil {
				s.t.Error(err)
			}
		}
		outcome, err := s.Continue(w, r, proofOf(r))
		if err != nil {
			s.Refuse(w, r, err)
			return
		}
		if strings.Contains(habit, "renew after") {
			if err := s.sm.RenewToken(r.Context()); err != nil {
				s.t.Error(err)
			}
		}
		if strings.Contains(habit, "put after") {
			s.sm.Put(r.Context(), "after", "1")
		}
		fmt.Fprint(w, outcome)
	}))
	mux.Handle("/in/out", s.inside(func(w http.ResponseWriter, r *http.Request) {
		habit := r.FormValue("habit")
		if strings.Contains(habit, "destroy before") {
			if err := s.sm.Destroy(r.Context()); err != nil {
				s.t.Error(err)
			}
		}
		if err := s.SignOut(w, r); err != nil {
			s.Refuse(w, r, err)
			return
		}
		if strings.Contains(habit, "renew after") {
			if err := s.sm.RenewToken(r.Context()); err != nil {
				s.t.Error(err)
			}
		}
		if strings.Contains(habit, "put after") {
			s.sm.Put(r.Context(), "flash", "bye")
		}
	}))
	return s.Handler(mux)
}

// visitor returns a browser of a kind in front of the app.
func (s *scsSite) visitor(kind string) *walkintest.Client {
	return resident(s.site, kind).On(s.app())
}

func (s *scsSite) put(c *walkintest.Client, key, value string) {
	s.t.Helper()
	if r := c.Post("/in/put", words("key", key, "value", value)); r.StatusCode != http.StatusOK {
		s.t.Fatalf("putting %q: got %d %q", key, r.StatusCode, body(s.t, r))
	}
}

func (s *scsSite) wantData(c *walkintest.Client, want string) {
	s.t.Helper()
	if got := body(s.t, c.Fetch("/in/get")); got != want {
		s.t.Errorf("got data %q, want %q", got, want)
	}
}

// wantKeys checks under which sessions there is data.
func (s *scsSite) wantKeys(of ...walkin.Claims) {
	s.t.Helper()
	want := []string{}
	for _, c := range of {
		key := c.SessionID.String()
		if s.sm.HashTokenInStore {
			sum := sha256.Sum256([]byte(key))
			key = base64.RawURLEncoding.EncodeToString(sum[:])
		}
		want = append(want, key)
	}
	slices.Sort(want)
	if got := s.keys(); !slices.Equal(got, want) {
		s.t.Errorf("got data under %q, want %q", got, want)
	}
}

// TestSessionLikeSCS holds that code which uses scs works as it did: the same
// answers to the same requests, without the second cookie.
func TestSessionLikeSCS(t *testing.T) {
	steps := []func(sm *scs.SessionManager, ctx context.Context) any{
		func(sm *scs.SessionManager, ctx context.Context) any { return sm.GetString(ctx, "a") },
		func(sm *scs.SessionManager, ctx context.Context) any { sm.Put(ctx, "a", "1"); return sm.Status(ctx) },
		func(sm *scs.SessionManager, ctx context.Context) any { return sm.GetString(ctx, "a") },
		func(sm *scs.SessionManager, ctx context.Context) any { return sm.Status(ctx) },
		func(sm *scs.SessionManager, ctx context.Context) any {
			sm.Put(ctx, "n", 7)
			sm.Put(ctx, "pi", 3.14)
			return nil
		},
		func(sm *scs.SessionManager, ctx context.Context) any {
			return []any{sm.GetInt(ctx, "n"), sm.GetFloat(ctx, "pi"), sm.Keys(ctx)}
		},
		func(sm *scs.SessionManager, ctx context.Context) any { return sm.PopString(ctx, "a") },
		func(sm *scs.SessionManager, ctx context.Context) any {
			return []any{sm.PopString(ctx, "a"), sm.Exists(ctx, "n"), sm.Exists(ctx, "x")}
		},
		func(sm *scs.SessionManager, ctx context.Context) any { return sm.RenewToken(ctx) },
		func(sm *scs.SessionManager, ctx context.Context) any { return sm.Keys(ctx) },
		func(sm *scs.SessionManager, ctx context.Context) any { sm.Remove(ctx, "n"); return sm.Keys(ctx) },
		func(sm *scs.SessionManager, ctx context.Context) any { return sm.Keys(ctx) },
		func(sm *scs.SessionManager, ctx context.Context) any { return sm.Clear(ctx) },
		func(sm *scs.SessionManager, ctx context.Context) any { return sm.Keys(ctx) },
		func(sm *scs.SessionManager, ctx context.Context) any { sm.Put(ctx, "b", []byte("2")); return nil },
		func(sm *scs.SessionManager, ctx context.Context) any {
			err := sm.Destroy(ctx)
			sm.Put(ctx, "c", true)
			return err
		},
		func(sm *scs.SessionManager, ctx context.Context) any {
			return []any{sm.GetBytes(ctx, "b"), sm.GetBool(ctx, "c")}
		},
		func(sm *scs.SessionManager, ctx context.Context) any { return sm.Destroy(ctx) },
		func(sm *scs.SessionManager, ctx context.Context) any { return []any{sm.Keys(ctx), sm.Status(ctx)} },
	}
	handler := func(sm *scs.SessionManager) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var i int
			_, _ = fmt.Sscan(r.FormValue("step"), &i)
			fmt.Fprint(w, steps[i](sm, r.Context()))
		}
	}
	eachStore(t, func(t *testing.T, open opener) {
		for _, kind := range []string{"anonymous", "permanent", "provisional"} {
			s := open(t)
			theirs := scs.New()
			reference := walkintest.NewClient(t, theirs.LoadAndSave(handler(theirs)))
			c := resident(s.site, kind).On(s.Handler(s.inside(handler(s.sm))))
			for i := range steps {
				path := fmt.Sprint("/?step=", i)
				r := c.Fetch(path)
				if got, want := body(t, r), body(t, reference.Fetch(path)); got != want {
					t.Errorf("%s, step %d: got %q, want %q as with scs's own cookie", kind, i, got, want)
				}
				for _, cookie := range r.Cookies() {
					if cookie.Name != anonName {
						t.Errorf("%s, step %d: got cookie %v", kind, i, cookie)
					}
				}
				if len(r.Cookies()) == 0 && (r.Header.Get("Vary") != "" || r.Header.Get("Cache-Control") != "") {
					t.Errorf("%s, step %d: got header %v, want nothing of ours or of scs's", kind, i, r.Header)
				}
			}
			s.wantKeys()
		}
	})
}

// TestSessionUpgrade holds that a visitor's data goes along when they become
// permanent, link or merge, whatever the app does on the way, and that nothing
// is left under the old session.
func TestSessionUpgrade(t *testing.T) {
	eachStore(t, func(t *testing.T, open opener) {
		for _, tt := range []struct{ kind, name, want string }{
			{"provisional", "new", "upgraded"},
			{"anonymous", "new", "upgraded"},
			{"anonymous", "bob", "merged"},
			{"permanent", "new", "linked"},
			{"permanent", "ann", "signed_in"},
		} {
			for _, path := range []string{"/prove", "/in/prove"} {
				for _, habit := range []string{"", "put before", "put after", "renew before", "renew after", "put before, renew before, put after", "put before, renew after, put after"} {
					if path == "/prove" && habit != "" {
						continue
					}
					t.Run(fmt.Sprint(tt.kind, " ", tt.want, " at ", path, ", ", habit), func(t *testing.T) {
						s := open(t, merging)
						s.prove(s.browser(who), "bob")
						c := s.visitor(tt.kind)
						s.put(c, "cart", "1 book")
						old := s.claims(c)
						s.wantKeys(old)

						r := c.Post(path, words("name", tt.name, "habit", habit))
						if got := body(t, r); got != tt.want {
							t.Fatalf("got %d %q, want %q", r.StatusCode, got, tt.want)
						}
						want := "cart=1 book"
						if strings.Contains(habit, "put before") {
							want = "before=1 " + want
						}
						if strings.Contains(habit, "put after") {
							want = "after=1 " + want
						}
						s.wantData(c, want)
						s.wantKeys(s.claims(c))
						if n := len(named(r, permName)); n != 1 || len(r.Cookies()) != 2 {
							t.Errorf("got cookies %v, want the permanent one and the end of the other", r.Cookies())
						}
						// And it goes on.
						s.put(c, "cart", "2 books")
						s.wantData(c, strings.Replace(want, "1 book", "2 books", 1))
						s.wantKeys(s.claims(c))
						thief := carrying(s.site, anonName, "").On(s.app())
						if old.Anonymous {
							s.wantData(thief, "")
						}
					})
				}
			}
		}
	})
}

// TestSessionSignIn holds that an anonymous user's data does not follow into the account
// that they sign in to, whatever the app does on the way.
func TestSessionSignIn(t *testing.T) {
	eachStore(t, func(t *testing.T, open opener) {
		for _, kind := range []string{"provisional", "anonymous"} {
			for _, path := range []string{"/prove", "/in/prove"} {
				for _, habit := range []string{"", "put before", "put after", "renew before", "renew after", "renew before, put after"} {
					for _, idle := range []time.Duration{0, time.Hour} {
						if path == "/prove" && (habit != "" || idle > 0) {
							continue
						}
						t.Run(fmt.Sprint(kind, " at ", path, ", ", habit, ", idle ", idle), func(t *testing.T) {
							s := open(t)
							s.sm.IdleTimeout = idle
							owner := s.visitor("nobody")
							s.prove(owner, "ann")
							s.put(owner, "cart", "Ann's")
							c := s.visitor(kind)
							s.put(c, "cart", "the guest's")
							if got := body(t, c.Post(path, words("name", "ann", "conflict", "sign-in", "habit", habit))); got != "signed_in" {
								t.Fatalf("got %q, want signed_in", got)
							}
							want := ""
							if strings.Contains(habit, "put after") {
								want = "after=1"
							}
							s.wantData(c, want)
							s.wantData(owner, "cart=Ann's")
							if n := len(s.keys()); n > 2 {
								t.Errorf("got data of %d sessions, want the guest's gone", n)
							}
						})
					}
				}
			}
		}
	})
}

// TestSessionSignOut holds that the data ends with the session, and cannot be
// read or written under its ID again.
func TestSessionSignOut(t *testing.T) {
	eachStore(t, func(t *testing.T, open opener) {
		for _, kind := range []string{"anonymous", "permanent"} {
			for _, path := range []string{"/out", "/in/out"} {
				for _, habit := range []string{"", "destroy before", "renew after", "put after", "destroy before, put after"} {
					if path == "/out" && habit != "" {
						continue
					}
					s := open(t)
					c := s.visitor(kind)
					s.put(c, "cart", "1 book")
					token := c.Cookie(cookieOf(kind))
					s.told()
					if r := c.Post(path, words("habit", habit)); r.StatusCode >= 400 || len(c.Cookies()) > 0 {
						t.Errorf("%s at %s, %s: got %d and jar %v", kind, path, habit, r.StatusCode, c.Cookies())
					}
					if got := s.outcomes(); got != "signed_out" {
						t.Errorf("%s at %s, %s: got events %q, want signed_out", kind, path, habit, got)
					}
					s.wantKeys()
					old := carrying(s.site, cookieOf(kind), token).On(s.app())
					s.wantData(old, "")
					old.Do(with(old.NewRequest(http.MethodPost, "/in/put?key=x&value=y", nil)))
					s.wantKeys()
				}
			}
		}
		t.Run("with both cookies", func(t *testing.T) {
			s := open(t)
			guest, c := s.visitor("anonymous"), s.visitor("permanent")
			s.put(guest, "cart", "the guest's")
			s.put(c, "cart", "Ann's")
			c.SetCookie(anonName, guest.Cookie(anonName))
			c.Post("/out", nil)
			s.wantKeys()
		})
	})
}

// TestSessionOfProvisional holds that the first thing a visitor saves makes
// them a row and a cookie, before the header goes out.
func TestSessionOfProvisional(t *testing.T) {
	eachStore(t, func(t *testing.T, open opener) {
		for name, answer := range map[string]http.HandlerFunc{
			"Write":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "text") },
			"WriteHeader": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) },
			"WriteString": func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.(interface{ WriteString(string) (int, error) }).WriteString("x")
			},
			"nothing":  func(http.ResponseWriter, *http.Request) {},
			"Flush":    func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); fmt.Fprint(w, "text") },
			"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusSeeOther) },
			"public": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Control", "public, max-age=600")
				fmt.Fprint(w, "text")
			},
		} {
			for _, first := range []bool{true, false} { // this very page mints, or an earlier one did
				s := open(t)
				c := s.visitor("nobody")
				if !first {
					c = s.visitor("provisional")
				}
				r := c.On(s.Handler(s.inside(func(w http.ResponseWriter, r *http.Request) {
					s.sm.Put(r.Context(), "cart", "1 book")
					answer(w, r)
				}))).Visit("/")
				if len(r.Cookies()) != 1 || len(named(r, anonName)) != 1 {
					t.Errorf("%s, first %t: got cookies %v, want one", name, first, r.Cookies())
				}
				if got := r.Header["Cache-Control"]; !slices.Equal(got, []string{"private, no-store"}) {
					t.Errorf("%s, first %t: got Cache-Control %q, want private, no-store", name, first, got)
				}
				s.wantRows(1)
				if got := s.claims(c); got.Provisional || !got.Anonymous {
					t.Errorf("%s, first %t: got %+v, want an anonymous user with a row", name, first, got)
				}
				s.wantKeys(s.claims(c))
				s.wantData(c.On(s.app()), "cart=1 book")
			}
		}
	})
	t.Run("readers", func(t *testing.T) {
		for _, idle := range []time.Duration{0, time.Hour} {
			s := newSCSSite(t, "CtxStore", false)
			s.sm.IdleTimeout = idle
			c := s.visitor("nobody")
			c.Visit("/in/get")
			c.Fetch("/in/get")
			s.wantRows(0)
			s.wantKeys()
		}
	})
}

// TestSessionOfNobody holds that what a handler puts without a user is not kept, and
// that the operator hears of it.
func TestSessionOfNobody(t *testing.T) {
	eachStore(t, func(t *testing.T, open opener) {
		s := open(t, minting(walkin.MintOff))
		c := s.visitor("nobody")
		for range 2 {
			s.told()
			if r := c.Do(c.NewRequest(http.MethodPost, "/in/put?key=a&value=b", nil)); body(t, r) != "put" || len(r.Header["Set-Cookie"]) > 0 {
				t.Errorf("got %q and header %v, want the handler's answer and no cookie", body(t, r), r.Header)
			}
			if got := s.outcomes(); got != "skipped:mint_off failed:session_without_user" {
				t.Errorf("got events %q, want failed: session_without_user", got)
			}
			s.wantData(c, "")
		}
		s.wantKeys()
		s.wantRows(0)
	})
	t.Run("until Ensure", func(t *testing.T) {
		for _, handler := range []bool{true, false} { // LoadAndSave may stand alone, too
			s := newSCSSite(t, "CtxStore", true)
			h := s.inside(func(w http.ResponseWriter, r *http.Request) {
				s.sm.Put(r.Context(), "cart", "1 book")
				if _, err := s.Ensure(w, r); err != nil {
					t.Error(err)
				}
			})
			if handler {
				h = s.Handler(h)
			}
			c := s.visitor("nobody")
			if r := c.On(h).Fetch("/"); len(r.Cookies()) != 1 {
				t.Errorf("got cookies %v, want one", r.Cookies())
			}
			s.wantData(c, "cart=1 book")
			s.wantRows(1)
		}
	})
}

// TestSessionSaveFails holds that an answer whose data could not be saved is
// not given: a whole 503 instead, without a trace of it.
func TestSessionSaveFails(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"Write": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "saved!") },
		"with the header of a file": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Content-Disposition", "attachment")
			http.ServeContent(w, r, "file.gz", time.Unix(1e9, 0), strings.NewReader("saved!"))
		},
		"Content-Length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "6")
			w.Header().Set("Content-Encoding", "identity")
			fmt.Fprint(w, "saved!")
		},
		"Flush": func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); fmt.Fprint(w, "saved!") },
		"WriteHeader": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, "saved!")
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/saved", http.StatusSeeOther) },
		"nothing":  func(http.ResponseWriter, *http.Request) {},
	}
	for _, proto := range protocols {
		for name, answer := range answers {
			for _, mode := range []string{"navigate", "cors"} {
				t.Run(proto+" "+name+" "+mode, func(t *testing.T) {
					s := newSCSSite(t, "CtxStore", false)
					v := serve(t, s.Handler(s.inside(func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path == "/save" {
							s.sm.Put(r.Context(), "a", "b")
						}
						answer(w, r)
					})), proto)
					v.visit("/")
					v.do(v.act("/"))
					s.fail["commit"] = errors.New("the disk is full")
					s.told()
					got := v.visit("/save", "Sec-Fetch-Mode", mode) // reads the whole body
					if text := body(t, got); got.StatusCode != http.StatusServiceUnavailable || strings.Contains(text, "saved") || len(text) < 20 {
						t.Errorf("got %d %q, want a whole 503", got.StatusCode, text)
					}
					for _, field := range []string{"ETag", "Last-Modified", "Content-Encoding", "Content-Disposition", "Location", "Set-Cookie"} {
						if value := got.Header.Get(field); value != "" {
							t.Errorf("got %s %q of the answer that was not given", field, value)
						}
					}
					if got.Header.Get("Retry-After") == "" || got.Header.Get("Cache-Control") != "no-store" {
						t.Errorf("got header %v, want Retry-After and no-store", got.Header)
					}
					if got := s.outcomes(); got != "refused:store_down" {
						t.Errorf("got events %q, want refused: store_down", got)
					}
				})
			}
		}
	}
	t.Run("the user's row", func(t *testing.T) {
		s := newSCSSite(t, "CtxStore", false)
		c := s.visitor("provisional")
		s.store.failAt("CreateAnonymous", errDown)
		if r := c.Visit("/in/put?key=a&value=b"); r.StatusCode != http.StatusServiceUnavailable || len(r.Header["Set-Cookie"]) > 0 {
			t.Errorf("got %d and header %v, want 503 and no cookie", r.StatusCode, r.Header)
		}
		s.wantKeys()
		s.store.be(nil)
		c.Visit("/in/put?key=a&value=b")
		s.wantData(c, "a=b")
	})
	t.Run("what cannot be encoded", func(t *testing.T) {
		s := newSCSSite(t, "CtxStore", false)
		c := s.visitor("anonymous").On(s.Handler(s.inside(func(w http.ResponseWriter, r *http.Request) {
			s.sm.Put(r.Context(), "a", struct{ unregistered int }{1})
			fmt.Fprint(w, "saved!")
		})))
		if r := c.Fetch("/"); r.StatusCode < 500 || strings.Contains(body(t, r), "saved") {
			t.Errorf("got %d %q, want a failure", r.StatusCode, body(t, r))
		}
	})
	t.Run("loading", func(t *testing.T) {
		s := newSCSSite(t, "Store", false)
		c := s.visitor("anonymous")
		s.fail["find"] = errors.New("the disk is gone")
		next := new(spy)
		if r := c.On(s.Handler(s.inside(next.ServeHTTP))).Fetch("/"); r.StatusCode != http.StatusServiceUnavailable || next.ran {
			t.Errorf("got %d, want 503; next ran: %t", r.StatusCode, next.ran)
		}
	})
	t.Run("the upgrade", func(t *testing.T) {
		for _, step := range []string{"find", "commit"} {
			s := newSCSSite(t, "CtxStore", true)
			c := s.visitor("anonymous")
			s.put(c, "cart", "1 book")
			before := s.claims(c)
			s.fail[step] = errors.New("the disk is full")
			if r := c.Post("/prove", words("name", "ann")); r.StatusCode != http.StatusServiceUnavailable || len(r.Header["Set-Cookie"]) > 0 {
				t.Errorf("failing to %s: got %d, want 503", step, r.StatusCode)
			}
			delete(s.fail, step)
			s.wantData(c, "cart=1 book")
			s.wantKeys(before)
			if got := s.prove(c, "ann"); got != "upgraded" {
				t.Errorf("again: got %q, want upgraded", got)
			}
			s.wantData(c, "cart=1 book")
		}
	})
	t.Run("after the upgrade", func(t *testing.T) {
		// Who the visitor became is done and stays, so its cookie must not be
		// lost with the answer: their old token is invalid.
		for _, kind := range kinds {
			s := newSCSSite(t, "CtxStore", false)
			c := s.visitor(kind)
			r := c.On(s.Handler(s.inside(func(w http.ResponseWriter, r *http.Request) {
				if _, err := s.Continue(w, r, proofOf(r)); err != nil {
					t.Error(err)
				}
				s.fail["commit"] = errors.New("the disk is full")
				s.sm.Put(r.Context(), "flash", "welcome")
				w.Header().Set("Location", "/")
				w.WriteHeader(http.StatusSeeOther)
			}))).Post("/prove", words("name", "new"))
			if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Location") != "" {
				t.Errorf("%s: got %d %v, want 503", kind, r.StatusCode, r.Header)
			}
			if got := s.claims(c); got.Anonymous || got.UserID != s.userOf("new") {
				t.Errorf("%s: got %+v afterwards, want who they became", kind, got)
			}
		}
	})
	t.Run("the end of the old data", func(t *testing.T) {
		s := newSCSSite(t, "CtxStore", true)
		c := s.visitor("anonymous")
		s.put(c, "cart", "1 book")
		s.fail["delete"] = errors.New("the disk is full")
		s.told()
		if got := s.prove(c, "ann"); got != "upgraded" {
			t.Errorf("got %q, want upgraded", got)
		}
		if got := s.outcomes(); got != "failed:session_data upgraded" {
			t.Errorf("got events %q, want the failure told", got)
		}
		s.wantData(c, "cart=1 book")
	})
}

// TestSessionHookFails holds that an upgrade which did not happen leaves the
// data where it was.
func TestSessionHookFails(t *testing.T) {
	eachStore(t, func(t *testing.T, open opener) {
		for _, path := range []string{"/prove", "/in/prove"} {
			for _, habit := range []string{"", "put before", "renew before"} {
				s := open(t)
				c := s.visitor("anonymous")
				s.put(c, "cart", "1 book")
				before := s.claims(c)
				s.refuse["OnUpgrade"] = errors.New("the app says no")
				if r := c.Post(path, words("name", "ann", "habit", habit)); r.StatusCode != http.StatusInternalServerError {
					t.Errorf("%s, %s: got %d, want 500", path, habit, r.StatusCode)
				}
				want := "cart=1 book"
				if path == "/in/prove" && habit == "put before" {
					want = "before=1 " + want
				}
				s.wantData(c, want)
				s.wantKeys(before)
			}
		}
	})
}

// TestSessionHeaders holds that data is saved with a 103, a 304, a flush or a
// HEAD, and that none of them carries what it must not.
func TestSessionHeaders(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			s := newSCSSite(t, "CtxStore", false)
			v := serve(t, s.Handler(s.inside(func(w http.ResponseWriter, r *http.Request) {
				ctx := r.Context()
				switch r.URL.Path {
				case "/get":
					fmt.Fprint(w, s.sm.PopString(ctx, "a"))
				case "/flush":
					s.sm.Put(ctx, "a", r.URL.Path)
					w.(http.Flusher).Flush()
					fmt.Fprint(w, "text")
				case "/controller":
					s.sm.Put(ctx, "a", r.URL.Path)
					if err := http.NewResponseController(w).Flush(); err != nil {
						t.Error(err)
					}
				case "/103":
					w.WriteHeader(http.StatusEarlyHints)
					s.sm.Put(ctx, "a", r.URL.Path)
					fmt.Fprint(w, "text")
				case "/103 after":
					s.sm.Put(ctx, "a", r.URL.Path)
					w.WriteHeader(http.StatusEarlyHints)
					fmt.Fprint(w, "text")
				case "/304":
					s.sm.Put(ctx, "a", r.URL.Path)
					w.Header().Set("Cache-Control", "public, max-age=60")
					w.WriteHeader(http.StatusNotModified)
				case "/head":
					s.sm.Put(ctx, "a", r.URL.Path)
				}
			})), proto)
			for _, kind := range []string{"provisional", "anonymous"} {
				for _, path := range []string{"/flush", "/controller", "/103", "/103 after", "/304", "/head"} {
					v.client.Jar.SetCookies(mustURL(t, v.url), []*http.Cookie{{Name: anonName, Path: "/", MaxAge: -1, Secure: true}})
					v.visit("/")
					if kind == "anonymous" {
						v.do(v.act("/"))
					}
					method := http.MethodGet
					if path == "/head" {
						method = http.MethodHead
					}
					trace := &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
						if len(h) > 0 {
							t.Errorf("%s: got %v in the 103, want nothing", path, h)
						}
						return nil
					}}
					r := v.request(method, strings.ReplaceAll(path, " ", "%20"))
					answer := v.do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
					want := 0
					if kind == "provisional" && path != "/304" {
						want = 1
					}
					if got := len(answer.Header["Set-Cookie"]); got != want {
						t.Errorf("%s, %s: got cookies %q, want %d", kind, path, answer.Header["Set-Cookie"], want)
					}
					if got := answer.Header.Get("Cache-Control"); path == "/304" && got != "public, max-age=60" || path != "/304" && want == 0 && got != "" {
						t.Errorf("%s, %s: got Cache-Control %q", kind, path, got)
					}
					if got := body(t, v.visit("/get")); got != path {
						t.Errorf("%s, %s: got %q saved, want %q", kind, path, got, path)
					}
				}
			}
		})
	}
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestSessionTooLate holds that what is put after the first byte or before a
// panic is lost, as with scs, and harms nothing.
func TestSessionTooLate(t *testing.T) {
	s := newSCSSite(t, "CtxStore", false)
	c := s.visitor("anonymous")
	h := s.Handler(s.inside(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			s.sm.Put(r.Context(), "a", "b")
			panic("a bug of the app")
		}
		fmt.Fprint(w, "text")
		s.sm.Put(r.Context(), "a", "b")
	}))
	if got := body(t, c.On(h).Fetch("/")); got != "text" {
		t.Errorf("got %q, want text", got)
	}
	r := c.NewRequest(http.MethodGet, "/panic", nil)
	c.Carry(r)
	if _, err := c.On(h).Serve(r); err == nil {
		t.Error("got no panic, want the handler's")
	}
	s.wantKeys()
}

// TestSessionLazy holds that a page that changes nothing writes nothing.
func TestSessionLazy(t *testing.T) {
	s := newSCSSite(t, "CtxStore", false)
	c := s.visitor("anonymous")
	s.put(c, "cart", "1 book")
	s.keys()
	for range 10 {
		s.wantData(c, "cart=1 book")
	}
	if s.calls != 10 {
		t.Errorf("got %d calls of the store for 10 pages, want 10", s.calls)
	}
}

// TestSessionExpiry holds that the data's own time goes along with it.
func TestSessionExpiry(t *testing.T) {
	sm := scs.New()
	synctest.Test(t, func(t *testing.T) {
		s := newSCSSiteOf(t, sm, "CtxStore", false)
		s.sm.Lifetime = 10 * time.Hour
		c := s.visitor("anonymous")
		s.put(c, "cart", "1 book")
		time.Sleep(9 * time.Hour)
		s.prove(c, "ann")
		time.Sleep(59 * time.Minute)
		s.wantData(c, "cart=1 book")
		time.Sleep(2 * time.Minute)
		s.wantData(c, "")
		s.put(c, "cart", "another book") // the session itself goes on
		s.wantData(c, "cart=another book")
	})
}

// TestSessionRenewal holds that a renewed token finds the same data, also with
// a bearer.
func TestSessionRenewal(t *testing.T) {
	s := newSCSSite(t, "CtxStore", true, renewAlways)
	c := s.visitor("anonymous")
	s.put(c, "cart", "1 book")
	for range 3 {
		if r := c.Visit("/in/get"); len(r.Cookies()) != 1 || body(t, r) != "cart=1 book" {
			t.Errorf("got %q and %v, want the data and a renewal", body(t, r), r.Cookies())
		}
	}
	program := s.visitor("nobody")
	r := program.Do(with(program.NewRequest(http.MethodGet, "/in/get", nil), append(noSFS, "Authorization", "Bearer "+c.Cookie(anonName))...))
	if got := body(t, r); got != "cart=1 book" || len(r.Header["Set-Cookie"]) > 0 {
		t.Errorf("a bearer: got %q and header %v, want the data and no cookie", got, r.Header)
	}
}

// TestSessionManagers holds that several managers, and one on several routes,
// keep out of each other's way.
func TestSessionManagers(t *testing.T) {
	s := newSCSSite(t, "CtxStore", false)
	second, shelf2 := scs.New(), &shelf{items: make(map[string]shelved)}
	second.Store = plainShelf{shelf2}
	inside := s.LoadAndSave(second)
	both := s.Handler(s.inside(func(w http.ResponseWriter, r *http.Request) {
		inside(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/put" {
				s.sm.Put(r.Context(), "a", "first")
				second.Put(r.Context(), "a", "second")
			}
			fmt.Fprint(w, s.sm.GetString(r.Context(), "a"), " ", second.GetString(r.Context(), "a"))
		})).ServeHTTP(w, r)
	}))
	c := s.visitor("anonymous")
	c.On(both).Fetch("/put")
	s.wantData(c, "a=first") // another route of the first manager
	s.prove(c, "ann")
	if got := body(t, c.On(both).Fetch("/")); got != "first second" {
		t.Errorf("after the upgrade: got %q, want both", got)
	}
	if got := shelf2.keys(); len(got) != 1 {
		t.Errorf("got data under %q, want one session", got)
	}
	c.Post("/out", nil)
	s.wantKeys()
	if got := shelf2.keys(); len(got) != 0 {
		t.Errorf("after the sign-out: got data under %q, want none", got)
	}
}

// TestSessionOfOneVisitor holds that no visitor ever reads another's data, with many
// visitors at once.
func TestSessionOfOneVisitor(t *testing.T) {
	s := newSCSSite(t, "CtxStore", true)
	app := s.app()
	var wg sync.WaitGroup
	for i := range 8 {
		c := walkintest.NewClient(t, app)
		wg.Go(func() {
			mine := fmt.Sprint("visitor ", i)
			c.Visit("/")
			for range 20 {
				c.Post("/in/put", words("key", "me", "value", mine))
				if got := body(t, c.Fetch("/in/get")); got != "me="+mine {
					t.Errorf("got %q, want %q", got, mine)
				}
			}
			c.Post("/in/prove", words("name", mine, "habit", "renew before"))
			if got := body(t, c.Fetch("/in/get")); got != "me="+mine {
				t.Errorf("after the upgrade: got %q, want %q", got, mine)
			}
			var readers sync.WaitGroup
			for range 4 { // one visitor, several requests
				readers.Go(func() {
					if got := body(t, c.Fetch("/in/get")); got != "me="+mine {
						t.Errorf("at once: got %q, want %q", got, mine)
					}
				})
			}
			readers.Wait()
		})
	}
	wg.Wait()
}

// TestSessionMethodsWithoutContext holds that scs's store, asked past a request, knows
// no data.
func TestSessionMethodsWithoutContext(t *testing.T) {
	s := newSCSSite(t, "CtxStore", false)
	c := s.visitor("anonymous")
	s.put(c, "cart", "1 book")
	key := s.claims(c).SessionID.String()
	if _, found, err := s.sm.Store.Find(key); found || err != nil {
		t.Errorf("got %t, %v, want nothing", found, err)
	}
	if err := s.sm.Store.Delete(key); err != nil {
		t.Error(err)
	}
	ctx, err := s.sm.Load(httptest.NewRequest(http.MethodGet, "/", nil).Context(), key) // an ID out of a URL, say
	if err != nil {
		t.Fatal(err)
	}
	if got := s.sm.GetString(ctx, "cart"); got != "" {
		t.Errorf("got %q with an ID and no token, want nothing", got)
	}
	s.wantData(c, "cart=1 book")
}

// TestSessionOfEndedSession holds that what a session kept does not come along where it
// ended on the way: a visitor who signed out in another tab has left it.
func TestSessionOfEndedSession(t *testing.T) {
	eachStore(t, func(t *testing.T, open opener) {
		s := open(t)
		c := s.visitor("nobody")
		s.prove(c, "ann")
		s.put(c, "cart", "1 book")
		r := c.On(s.Handler(s.inside(func(w http.ResponseWriter, r *http.Request) {
			claims, _ := walkin.FromContext(r.Context())
			outcome, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "ann", Redeem: func(ctx context.Context) error {
				return s.store.DeleteSession(ctx, claims.UserID, claims.SessionID)
			}})
			if err != nil {
				s.Refuse(w, r, err)
			}
			fmt.Fprint(w, outcome)
		}))).Post("/", nil)
		if got := body(t, r); got != "signed_in" {
			t.Errorf("got %q, want signed_in", got)
		}
		s.wantData(c, "")
	})
}

// TestSessionUndecodable holds that data which the app can no longer read, as of a type
// that it renamed, keeps no user from signing in.
func TestSessionUndecodable(t *testing.T) {
	eachStore(t, func(t *testing.T, open opener) {
		s := open(t)
		c := s.visitor("anonymous")
		s.put(c, "cart", "1 book")
		s.shelf.mu.Lock()
		for key, item := range s.shelf.items {
			item.text = []byte("of another age")
			s.shelf.items[key] = item
		}
		s.shelf.mu.Unlock()
		e, err := s.Export(t.Context(), s.claims(c).UserID)
		if err != nil || fmt.Sprintf("%s", e.Sessions[0].Data) != "[of another age]" {
			t.Errorf("exported: got %s, %v, want it as it is", e.Sessions[0].Data, err)
		}
		s.told()
		if got := body(t, c.Post("/prove", words("name", "new"))); got != "upgraded" {
			t.Errorf("got %q, want upgraded", got)
		}
		if got := s.outcomes(); got != "failed:session_data upgraded" {
			t.Errorf("got events %q, want one of the data that was left", got)
		}
		s.wantKeys()
		s.wantData(c, "")
	})
}

// The second half of a double click does not write over what the first half has
// carried along to the new session.
func TestAgainKeepsSessionData(t *testing.T) {
	eachStore(t, func(t *testing.T, open opener) {
		s := open(t)
		used := false
		var first func()
		mux := http.NewServeMux()
		mux.Handle("/", s.app())
		mux.Handle("/in/click", s.Handler(s.inside(func(w http.ResponseWriter, r *http.Request) {
			if first != nil {
				f := first
				first = nil
				f() // the other half is faster; what this one has loaded is from before
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
			}
		})))
		c := resident(s.site, "anonymous").On(mux)
		s.put(c, "cart", "three")
		other := carrying(s.site, anonName, c.Cookie(anonName)).On(mux)
		first = func() {
			if r := other.Post("/in/click", nil); r.StatusCode != http.StatusOK {
				t.Fatalf("the first half: got %d %s", r.StatusCode, body(t, r))
			}
		}
		if r := c.Post("/in/click", nil); r.StatusCode != http.StatusOK {
			t.Fatalf("the second half: got %d %s", r.StatusCode, body(t, r))
		}
		s.wantData(other, "cart=three")
		s.wantData(c, "cart=three")
	})
}
