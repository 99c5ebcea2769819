// Package admin is the operator's screen. It shows how many users there are and what
// became of them. An operator can look at each user, sign them out, ban or delete them,
// or see the site as that user does.
//
// It is one handler with pages that need no script, from one binary, in the app's own
// process. It shows no secret, and shows what users wrote as text. It does not know who
// an operator is: Config.May says so, and without it there is no screen. It never asks
// May about anonymous users.
package admin

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// Config says who may see the screen. May is required.
type Config struct {
	// May reports whether a permanent user is an operator. It is called on every
	// request. An error counts as false: it fails closed.
	May func(ctx context.Context, c walkin.Claims) (bool, error)

	// Path is where the handler is mounted, as browsers see it: "/admin" when
	// empty, for mux.Handle("/admin/", screen).
	Path string

	// Counters have what this process counted since its start; pass their OnEvent to
	// walkin.Config. Nil leaves that part of the page out.
	Counters *Counters

	// Events returns what the app recorded about a user, the newest first. Nil
	// leaves it out.
	Events func(ctx context.Context, userID uuid.UUID) ([]Event, error)

	// Impersonate shows the form that lets an operator see the site as a user, see
	// walkin.Impersonation.
	Impersonate bool

	// Query runs a read-only query as a user and returns what the policies of the
	// database let through. It is called after a recent proof alone. Claims.Actor is the
	// operator, and the context ends after ten seconds. Pass a function that calls
	// rls.Read on a login that can do nothing else. Nil leaves the page out.
	Query func(ctx context.Context, c walkin.Claims, query string) (Table, error)
}

// An Event is a line of what the app recorded about a user.
type Event struct {
	At   time.Time
	Text string
}

//go:embed page.html style.css
var files embed.FS

// A Screen is the handler. Make one with [New].
type Screen struct {
	wk    *walkin.Middleware
	store store.Directory
	cfg   Config
	page  *template.Template
	mux   *http.ServeMux
	style []byte
}

// recent is how old an operator's proof may be when they change something.
const recent = 10 * time.Minute

// New checks cfg and returns the screen. It needs a store that is a [store.Directory].
func New(wk *walkin.Middleware, cfg Config) (*Screen, error) {
	if wk == nil {
		return nil, errors.New("admin: New was called without a Middleware")
	}
	store, ok := wk.Directory()
	if cfg.Path == "" {
		cfg.Path = "/admin"
	}
	cfg.Path = strings.TrimSuffix(cfg.Path, "/")
	switch {
	case !ok:
		return nil, errors.New("admin: the store of this Middleware is no store.Directory")
	case cfg.May == nil:
		return nil, errors.New("admin: Config.May is nil; it says who may see the screen")
	case !strings.HasPrefix(cfg.Path, "/") || strings.ContainsAny(cfg.Path, "?#{} ") || strings.Contains(cfg.Path, "//"):
		return nil, errors.New("admin: Config.Path is not a local path like /admin")
	}
	s := &Screen{wk: wk, store: store, cfg: cfg, mux: http.NewServeMux()}
	var err error
	if s.page, err = template.New("page.html").Funcs(template.FuncMap{
		"when": when, "count": count, "value": value, "null": func(v any) bool { return v == nil }, "day": func(t time.Time) string { return t.UTC().Format("2 Jan") },
	}).ParseFS(files, "page.html"); err != nil {
		return nil, err
	}
	if s.style, err = files.ReadFile("style.css"); err != nil {
		return nil, err
	}
	s.mux.HandleFunc("GET "+cfg.Path+"/{$}", s.overview)
	s.mux.HandleFunc("GET "+cfg.Path+"/users", s.users)
	s.mux.HandleFunc("GET "+cfg.Path+"/users.csv", s.csv)
	s.mux.HandleFunc("GET "+cfg.Path+"/users/{id}", s.user)
	s.mux.HandleFunc("GET "+cfg.Path+"/users/{id}/export.json", s.export)
	s.mux.Handle("POST "+cfg.Path+"/users/{id}/{action}", wk.RequireRecent(recent)(http.HandlerFunc(s.act)))
	if cfg.Query != nil {
		proven := wk.RequireRecent(recent) // before the operator has typed anything, too
		s.mux.Handle("GET "+cfg.Path+"/query", proven(http.HandlerFunc(s.queryForm)))
		s.mux.Handle("POST "+cfg.Path+"/query", proven(http.HandlerFunc(s.runQuery)))
	}
	s.mux.HandleFunc("GET "+cfg.Path+"/style.css", s.css)
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Screen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "private, no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Robots-Tag", "noindex")
	if err := s.may(r); err != nil {
		s.wk.Refuse(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	s.mux.ServeHTTP(w, r.WithContext(ctx))
}

// may returns why a request may not see the screen, or nil. Fails closed.
func (s *Screen) may(r *http.Request) error {
	if err := walkin.CheckActor(r.Context()); err != nil {
		return err // an operator who sees the site as a user is that user here
	}
	if err := s.wk.CheckOrigin(r); err != nil {
		return err
	}
	c, ok := walkin.FromContext(r.Context())
	if !ok {
		return &walkin.Refusal{Status: http.StatusUnauthorized, Reason: walkin.ReasonNoUser}
	}
	refusal := &walkin.Refusal{Status: http.StatusForbidden, Reason: ReasonNoOperator}
	if c.Anonymous {
		return refusal
	}
	may, err := s.cfg.May(r.Context(), c)
	if err != nil {
		refusal.Err = err
	}
	if err != nil || !may {
		return refusal
	}
	return nil
}

func (s *Screen) css(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "private, max-age=3600")
	_, _ = w.Write(s.style)
}

// show writes a page. What is shown is made first, so that an error is one.
func (s *Screen) show(w http.ResponseWriter, r *http.Request, title string, v view) {
	v.Title, v.Path, v.Queries = title, s.cfg.Path, s.cfg.Query != nil
	var b strings.Builder
	if err := s.page.Execute(&b, v); err != nil {
		s.wk.Refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(b.String()))
}

// A view is what a page shows: one of its parts is there.
type view struct {
	Title, Path string
	Overview    *overview
	List        *list
	User        *one
	Trial       *trial
	Queries     bool // there is a page for them
}

func when(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// count writes a number with what it is worth.
func count(c store.Count) string {
	text := thousands(c.N)
	switch c.Accuracy {
	case store.Approximate:
		return "about " + text
	case store.AtLeast:
		return text + " or more"
	}
	return text
}

func thousands(n int64) string {
	if n < 0 {
		n = 0
	}
	if n < 1000 {
		return itoa(n)
	}
	rest := itoa(n % 1000)
	return thousands(n/1000) + "," + strings.Repeat("0", 3-len(rest)) + rest
}
