package walkin_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// TestJoinOverCookies holds what may be replaced by a session of another browser's
// user: nothing that is alive, could be alive, or has data, unless the visitor agreed to
// leave it.
func TestJoinOverCookies(t *testing.T) {
	home := newSite(t)
	giver := home.browser(home.routes().ServeHTTP)
	giver.Post("/note", nil)
	var from walkin.Claims
	home.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { from, _ = walkin.FromContext(r.Context()) })).
		ServeHTTP(httptest.NewRecorder(), with(home.navigation("/"), "Cookie", anonName+"="+giver.Cookie(anonName)))
	if from.UserID == uuid.Nil {
		t.Fatal("there is no user to go on as")
	}
	all := luggage(t, home)
	for _, leave := range []bool{false, true} {
		for _, b := range all {
			if leave && b.kind != "live" {
				continue
			}
			t.Run(b.name+map[bool]string{true: ", left"}[leave], func(t *testing.T) {
				s := newSite(t, over(home))                  // another replica, with nothing in its cache
				r := s.request(http.MethodPost, "/sign-out") // where no user is stored by itself
				if b.cookie != "" {
					r.Header.Set("Cookie", b.cookie)
				}
				var err error
				rec := httptest.NewRecorder()
				s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					err = s.Join(w, r, walkin.Handover{UserID: from.UserID, SessionID: from.SessionID, Leave: leave})
				})).ServeHTTP(rec, r)
				refusal, refused := errors.AsType[*walkin.Refusal](err)
				if err != nil && !refused {
					t.Fatal(err)
				}
				switch b.kind {
				case "nothing", "dead", "account", "provisional":
					if refused {
						t.Errorf("refused for %s", refusal.Reason)
					}
				case "live":
					if leave && refused && string(refusal.Reason) == "handover_occupied" {
						t.Error("the visitor agreed, and was refused")
					}
					if !leave && !refused {
						t.Error("a user was replaced unasked")
					}
				default:
					if !refused {
						t.Error("a cookie that cannot be verified was replaced")
					}
				}
				for _, c := range rec.Result().Cookies() {
					if refused || c.Name == permName {
						t.Errorf("got a cookie %s", c.Name)
					}
				}
				sessions, err := home.store.UserSessions(t.Context(), from.UserID)
				for _, session := range sessions {
					if session.ID != from.SessionID { // five are the most
						err = errors.Join(err, home.store.DeleteSession(t.Context(), from.UserID, session.ID))
					}
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestJoinOneself holds that a visitor does not join themselves, by whichever of their
// sessions: it would end the one that they have.
func TestJoinOneself(t *testing.T) {
	s := newSite(t)
	c := resident(s, "anonymous")
	claims := s.claims(c)
	got := callingAt("/prove", func(s *site, w http.ResponseWriter, r *http.Request) error {
		return s.Join(w, r, walkin.Handover{UserID: claims.UserID, SessionID: claims.SessionID, Leave: true})
	})(s, c)
	if got[:3] != "409" || !strings.HasSuffix(s.outcomes(), ":handover_same") {
		t.Errorf("got %q and events %q, want 409 for handover_same", got, s.outcomes())
	}
	if after := s.claims(c); after.SessionID != claims.SessionID {
		t.Errorf("got session %v afterwards, want %v", after.SessionID, claims.SessionID)
	}
}

// TestJoinBanned holds that no browser goes on as a user who is banned.
func TestJoinBanned(t *testing.T) {
	s := newSite(t)
	giver := s.claims(resident(s, "anonymous"))
	noError(t, s.store.Store.(store.Directory).SetBan(t.Context(), giver.UserID, store.Ban{Until: time.Now().Add(time.Hour)}))
	c := resident(s, "nobody")
	got := callingAt("/prove", func(s *site, w http.ResponseWriter, r *http.Request) error {
		return s.Join(w, r, walkin.Handover{UserID: giver.UserID, SessionID: giver.SessionID})
	})(s, c)
	if got[:3] != "403" || s.claims(c).UserID == giver.UserID {
		t.Errorf("got %q, want 403", got)
	}
}

// TestJoinWithoutToken holds that where no token can be issued, the visitor stays who they
// are, and the app is told that it was its claims.
func TestJoinWithoutToken(t *testing.T) {
	fails := false
	s := newSite(t, func(c *walkin.Config) {
		c.Tokens.AppClaims = func(context.Context, walkin.Claims) (map[string]any, error) {
			if fails {
				return nil, errors.New("the claims do not come")
			}
			return nil, nil
		}
	})
	giver, c := s.claims(resident(s, "anonymous")), resident(s, "anonymous")
	before := s.claims(c)
	s.outcomes()
	fails = true
	got := callingAt("/prove", func(s *site, w http.ResponseWriter, r *http.Request) error {
		return s.Join(w, r, walkin.Handover{UserID: giver.UserID, SessionID: giver.SessionID, Leave: true})
	})(s, c)
	if events := s.outcomes(); got[:3] != "500" || !strings.HasSuffix(events, ":internal") {
		t.Errorf("got %q and events %q, want 500 for the app's error", got, events)
	}
	fails = false
	if after := s.claims(c); after.UserID != before.UserID || after.SessionID != before.SessionID {
		t.Errorf("got %v in session %v afterwards, want %v in %v", after.UserID, after.SessionID, before.UserID, before.SessionID)
	}
}

// TestJoinEndsTheOther holds that the session which a visitor leaves ends at once, for
// readers and while the store is down too, with what it kept on the server. The rest of
// the request is the new session's, and what it had loaded is not saved there.
func TestJoinEndsTheOther(t *testing.T) {
	s, shelf := newOwnedSite(t, true)
	giver, c := s.visitor("anonymous"), s.visitor("anonymous")
	s.put(c, "cart", "1 book")
	from, left := s.claims(giver), s.claims(c)
	old := carrying(s.site, anonName, c.Cookie(anonName))
	if got := body(t, old.Fetch("/")); !strings.HasPrefix(got, left.UserID.String()) {
		t.Fatalf("before: got %q, want user %v", got, left.UserID)
	}
	shelf.ended = nil
	s.told()
	r := act(c.On(s.Handler(s.inside(func(w http.ResponseWriter, r *http.Request) {
		noError(t, s.Join(w, r, walkin.Handover{UserID: from.UserID, SessionID: from.SessionID, Leave: true}))
		s.sm.Put(r.Context(), "note", "joined")
		who(w, r)
	}))), "/prove")
	if got := body(t, r); !strings.HasPrefix(got, from.UserID.String()) || s.outcomes() != "joined" {
		t.Errorf("in the request itself: got %q, want user %v", got, from.UserID)
	}
	shelf.wantEnded(t, "joining", one(left))
	s.wantData(c.On(s.app()), "note=joined")
	s.store.be(errDown)
	if got := body(t, old.Fetch("/")); got != "nobody" {
		t.Errorf("with the cookie of the session that was left: got %q, want no user", got)
	}
}

// TestJoinByToken holds that a client which sends its token as a bearer, or has none and
// no cookies, gets the token of the new session in the answer, and no cookie.
func TestJoinByToken(t *testing.T) {
	for _, kind := range []string{"nobody", "provisional", "anonymous"} {
		s := newSite(t)
		from := s.claims(resident(s, "anonymous"))
		app := &nativeApp{t: t, token: resident(s, kind).Cookie(anonName)}
		mux := s.clients()
		mux.HandleFunc("POST /join", func(w http.ResponseWriter, r *http.Request) {
			if err := s.Join(w, r, walkin.Handover{UserID: from.UserID, SessionID: from.SessionID, Leave: true}); err != nil {
				s.Refuse(w, r, err)
				return
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s: got header %v, want no-store", kind, w.Header())
			}
			if token, ok := walkin.IssuedToken(r.Context()); ok {
				token.ServeHTTP(w, r)
			}
		})
		app.site = s.WithoutCookies(mux)
		app.takes(app.do(http.MethodPost, "/join", nil))
		if got := body(t, app.do(http.MethodPost, "/note", nil)); !strings.HasPrefix(got, from.UserID.String()) {
			t.Errorf("%s: got %q, want user %v", kind, got, from.UserID)
		}
	}
}
