// Package suite holds every adapter to the same behaviour: one table of
// requests, and what walkin must do about them, over an app that each framework
// builds in its own way. The app over net/http is here too; what it does is
// right by definition.
package suite

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
)

// A Stack is a framework with walkin in it.
type Stack struct {
	// New returns the app, with these routes. Where it says who, the answer
	// is a.Who of the adapter's claims, after a.Ran.
	//
	//	GET, POST /            who
	//	GET       /std         who, by a net/http handler that knows the request's context alone
	//	GET, POST /user        who, behind RequireUser
	//	GET, POST /permanent   who, behind RequirePermanent
	//	GET       /rule        who, behind Require with a.Rule
	//	GET       /group/page  who, in a group behind RequirePermanent
	//	GET, POST /ensure      who, by what Ensure returns
	//	GET, POST /continue    the outcome of Continue with a.Proof
	//	GET       /refuse      refuses with [Gone]
	//	GET, POST /sign-up     walkin's UpgradeHandler with a.Credential and a.Page
	//	POST      /sign-out    walkin's SignOutHandler
	//	GET       /count       a.Count, behind LoadAndSave with a.Sessions
	//	GET       /count-flush the same, with a flush before the text
	//	GET       /public      [Public], then a text
	//	GET       /nothing     [Public], and no text
	//	GET       /empty       [Public], then 204
	//	GET       /unchanged   [Public], then 304
	//	GET       /error       the framework's way of failing with 418, rendered outside of
	//	                       walkin, where it can be, with [Public] and an [ErrorPage]
	//	GET, POST /panic       a.Ran, then panics; the framework recovers outside of walkin, if it can
	//	GET       /events      an event stream of a.Events: flushes before the first, and after each
	//	GET       /controller  [Control] with the framework's writer
	//	GET       /gorilla     who, as the first message of a WebSocket
	//	GET       /coder       the same
	//
	// Everything else is not found, as the framework does it. Errors that
	// carry a *walkin.Refusal are rendered with [OwnPage].
	New func(a *App) http.Handler

	// OnRefuse is the adapter's.
	OnRefuse func(http.ResponseWriter, *http.Request, *walkin.Refusal)

	// Logs says that the app calls a.Log outside and inside of walkin, with
	// what the framework's own writer counted.
	Logs bool

	// Sockets says that the app has the two WebSocket routes.
	Sockets bool
}

const (
	reasonGone     walkin.Reason = "gone"
	reasonNoName   walkin.Reason = "no_name"
	reasonNoSignIn walkin.Reason = "no_sign_in"
)

// Gone is what /refuse refuses with.
var Gone = &walkin.Refusal{Status: http.StatusGone, Reason: reasonGone, Message: "That is gone."}

// ErrorPage is the text of the page for /error.
const ErrorPage = "the app's own error page"

// Public makes a response one that caches keep.
func Public(h http.Header) { h.Set("Cache-Control", "public, max-age=600") }

// OwnPage is how the app renders a refusal that OnRefuse left to it.
func OwnPage(refusal *walkin.Refusal) string { return "the app's own page: " + refusal.Message }

// Who tells which user c is.
func Who(c walkin.Claims, ok bool) string {
	switch {
	case !ok:
		return "nobody"
	case c.Provisional:
		return "provisional " + c.UserID.String()
	case c.Anonymous:
		return "anonymous " + c.UserID.String()
	}
	return "permanent " + c.UserID.String()
}

// Control tries what a ResponseController must reach through all writers.
func Control(w http.ResponseWriter) string {
	control := http.NewResponseController(w)
	return fmt.Sprint(control.EnableFullDuplex(), control.SetWriteDeadline(time.Time{}))
}

// An App is what the routes of a [Stack] need.
type App struct {
	Walkin   *walkin.Middleware
	Sessions *scs.SessionManager
	Events   chan string

	store    *appStore
	sessions *sessions
	ran      atomic.Int64
	refusals atomic.Int64 // that walkin reported

	mu     sync.Mutex
	logged map[string]string
}

// NewApp returns an app over an empty store.
func NewApp(t testing.TB, changes ...func(*walkin.Config)) *App {
	t.Helper()
	a := &App{Sessions: scs.New(), Events: make(chan string), store: &appStore{Store: memstore.New()}, logged: map[string]string{}}
	a.sessions = &sessions{values: map[string][]byte{}}
	a.Sessions.Store = a.sessions
	cfg := walkin.Config{
		Keys:  []walkin.Key{{Secret: []byte("a secret that is only of this test")}},
		Store: a.store,
		Paths: walkin.Paths{Upgrade: "/sign-up"},
		OnEvent: func(_ context.Context, e walkin.Event) {
			if e.Outcome == walkin.Refused {
				a.refusals.Add(1)
			}
		},
	}
	for _, change := range changes {
		change(&cfg)
	}
	var err error
	if a.Walkin, err = walkin.New(cfg); err != nil {
		t.Fatal(err)
	}
	return a
}

// Ran is called by every handler of the app that a guard may stand before.
func (a *App) Ran() { a.ran.Add(1) }

// Rule lets permanent users through.
func (a *App) Rule(c walkin.Claims) error {
	if c.Anonymous {
		return errors.New("a rule of the app's own")
	}
	return nil
}

// Proof returns the proof of the identity that a request names.
func (a *App) Proof(r *http.Request) walkin.Proof {
	return walkin.Proof{Provider: "name", Subject: r.URL.Query().Get("name"), Method: "pwd", Chosen: r.URL.Query().Has("new")}
}

// Credential returns one that believes the name in a form.
func (a *App) Credential() walkin.Credential { return credential{} }

type credential struct{}

func (credential) SignUp(r *http.Request) (walkin.Proof, error) {
	name := r.PostFormValue("name")
	if name == "" {
		return walkin.Proof{}, &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: reasonNoName, Message: "Who are you?"}
	}
	return walkin.Proof{Provider: "name", Subject: name, Method: "pwd", Chosen: true}, nil
}

func (credential) SignIn(*http.Request) (walkin.Proof, error) {
	return walkin.Proof{}, &walkin.Refusal{Status: http.StatusUnauthorized, Reason: reasonNoSignIn}
}

// Page shows the sign-up form.
func (a *App) Page(w http.ResponseWriter, _ *http.Request, form walkin.Form) {
	w.WriteHeader(form.Status)
	fmt.Fprint(w, "the form")
	if form.Refusal != nil {
		fmt.Fprint(w, ": ", form.Refusal.Message)
	}
}

// Count counts how often a session came by.
func (a *App) Count(ctx context.Context) string {
	n := a.Sessions.GetInt(ctx, "count") + 1
	a.Sessions.Put(ctx, "count", n)
	return fmt.Sprint("count ", n)
}

// Log takes what a framework's writer has counted.
func (a *App) Log(where string, status, size int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.logged[where] = fmt.Sprint(status, " ", max(size, 0))
}

// An appStore is one that can be down, and counts users.
type appStore struct {
	*memstore.Store
	down atomic.Bool
	rows atomic.Int64
}

var errDown = errors.New("the store is down")

func (s *appStore) LookupSession(ctx context.Context, user, session uuid.UUID) (store.Session, error) {
	if s.down.Load() {
		return store.Session{}, errDown
	}
	return s.Store.LookupSession(ctx, user, session)
}

func (s *appStore) CreateAnonymous(ctx context.Context, u store.User, session store.Session) (bool, error) {
	if s.down.Load() {
		return false, errDown
	}
	created, err := s.Store.CreateAnonymous(ctx, u, session)
	if created {
		s.rows.Add(1)
	}
	return created, err
}

func (s *appStore) CreateUser(ctx context.Context, u store.User) error {
	err := s.Store.CreateUser(ctx, u)
	if err == nil {
		s.rows.Add(1)
	}
	return err
}

func (s *appStore) DeleteUser(ctx context.Context, tombstone store.Tombstone) error {
	_, unknown := s.LockUser(ctx, tombstone.UserID)
	err := s.Store.DeleteUser(ctx, tombstone)
	if err == nil && unknown == nil {
		s.rows.Add(-1)
	}
	return err
}

// sessions is a store for scs that can be down.
type sessions struct {
	mu     sync.Mutex
	values map[string][]byte
	down   bool
}

func (s *sessions) Find(token string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.values[token]
	return b, ok, nil
}

func (s *sessions) Commit(token string, b []byte, _ time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errDown
	}
	s.values[token] = b
	return nil
}

func (s *sessions) Delete(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, token)
	return nil
}

// NetHTTP is the app over net/http. The sockets are handlers that send a text
// as the first message of a WebSocket; nil is none.
func NetHTTP(gorilla, coder func(w http.ResponseWriter, r *http.Request, text string)) Stack {
	return Stack{Sockets: gorilla != nil, OnRefuse: nativeRefuse, New: func(a *App) http.Handler {
		wk := a.Walkin
		who := Handler(a)
		mux := http.NewServeMux()
		mux.Handle("/{$}", who)
		mux.Handle("GET /std", who)
		mux.Handle("/user", wk.RequireUser()(who))
		mux.Handle("/permanent", wk.RequirePermanent()(who))
		mux.Handle("GET /rule", wk.Require(a.Rule)(who))
		mux.Handle("GET /group/page", wk.RequirePermanent()(who))
		mux.HandleFunc("/ensure", func(w http.ResponseWriter, r *http.Request) {
			c, err := wk.Ensure(w, r)
			if err != nil {
				wk.Refuse(w, r, err)
				return
			}
			a.Ran()
			fmt.Fprint(w, Who(c, true))
		})
		mux.HandleFunc("/continue", func(w http.ResponseWriter, r *http.Request) {
			outcome, err := wk.Continue(w, r, a.Proof(r))
			if err != nil {
				wk.Refuse(w, r, err)
				return
			}
			fmt.Fprint(w, outcome)
		})
		mux.HandleFunc("GET /refuse", func(w http.ResponseWriter, r *http.Request) { wk.Refuse(w, r, Gone) })
		mux.Handle("/sign-up", wk.UpgradeHandler(a.Credential(), a.Page))
		mux.Handle("/sign-out", wk.SignOutHandler())
		mux.Handle("GET /count", wk.LoadAndSave(a.Sessions)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, a.Count(r.Context()))
		})))
		mux.Handle("GET /count-flush", wk.LoadAndSave(a.Sessions)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text := a.Count(r.Context())
			w.(http.Flusher).Flush()
			fmt.Fprint(w, text)
		})))
		public := func(pattern string, status int, text string) {
			mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
				Public(w.Header())
				if status != 0 {
					w.WriteHeader(status)
				}
				if text != "" {
					fmt.Fprint(w, text)
				}
			})
		}
		public("GET /public", 0, "for everyone")
		public("GET /nothing", 0, "")
		public("GET /empty", http.StatusNoContent, "")
		public("GET /unchanged", http.StatusNotModified, "")
		public("GET /error", http.StatusTeapot, ErrorPage)
		mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { a.Ran(); panic("as the suite wants") })
		mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			flusher := w.(http.Flusher)
			flusher.Flush()
			for text := range a.Events {
				fmt.Fprintf(w, "data: %s\n\n", text)
				flusher.Flush()
			}
		})
		mux.HandleFunc("GET /controller", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, Control(w)) })
		if gorilla != nil {
			mux.HandleFunc("GET /gorilla", Socket(gorilla))
			mux.HandleFunc("GET /coder", Socket(coder))
		}
		return wk.Handler(mux)
	}}
}

// Handler returns the handler for who, over net/http.
func Handler(a *App) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.Ran()
		fmt.Fprint(w, Who(walkin.FromContext(r.Context())))
	})
}

// Socket returns the handler for who over a WebSocket.
func Socket(send func(w http.ResponseWriter, r *http.Request, text string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { send(w, r, Who(walkin.FromContext(r.Context()))) }
}

// nativeRefuse renders the app's own page over net/http.
func nativeRefuse(w http.ResponseWriter, _ *http.Request, refusal *walkin.Refusal) {
	w.WriteHeader(refusal.Status)
	fmt.Fprint(w, OwnPage(refusal))
}

// kind returns the first word of an answer to who.
func kind(text string) (kind, id string) {
	kind, id, _ = strings.Cut(text, " ")
	return kind, id
}
