// Package scsmove moves the visitors of a site that used [scs] under scs's own cookie to
// walkin's session, without signing a user out and without losing a cart:
//
//	move, err := scsmove.New(wk, scsmove.Config{Old: old, New: sm, UserKey: "user", AccountName: accountName})
//	…
//	site := wk.Handler(wk.LoadAndSave(sm)(move.Handler(mux)))
//
// The data of an old session is copied to the visitor's session with walkin. A visitor
// who was signed in is asked once whether to go on as that account. See
// docs/moving-from-scs.md for the whole move; the package goes when it is over.
//
// # Whose account
//
// A click signs the visitor in, not a page view. scs's cookie has no __Host- prefix: an
// attacker who controls a subdomain can plant a cookie of their own in a visitor's
// browser. The question shows whose account it is. A GET that signed in would hand an
// anonymous user's data to the attacker. For a visitor who has just signed in, it would
// link the attacker's account to theirs. So visitors who are signed in already are never
// asked, and their old session ends.
//
// Nothing was proven: the old session may be hours old, so the proof is dated long ago.
// It opens the account, but guards that want a recent proof still ask for the password.
//
// [scs]: https://github.com/alexedwards/scs
package scsmove

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// Config says what is moved.
type Config struct {
	// Old is the manager as it was: its cookie, lifetimes, codec and store. Nothing else
	// may call its LoadAndSave. Required.
	Old *scs.SessionManager

	// New is the manager that the handlers use, under walkin's LoadAndSave and with a store
	// of its own. Required.
	New *scs.SessionManager

	// UserKey is the key under which an old session has the ID of the account that is
	// signed in. Empty is a site without accounts: no account is looked up. Other keys that
	// sign a visitor in belong to SignInKeys.
	UserKey string

	// SignInKeys are further keys that are not copied, such as one that makes an
	// administrator: what an old session says about rights was not proven.
	SignInKeys []string

	// AccountName returns the name of the account with that ID, as its owner knows it: an
	// e-mail address. "" is an account that is gone or banned, whose old session ends.
	// An error is answered with 503, and nothing changes. Required with UserKey.
	AccountName func(ctx context.Context, id string) (string, error)

	// Provider is the Provider of the Proof with which the site's sign-in form calls
	// Continue; its Subject has to be the account's ID. Empty is "account".
	Provider string

	// Path is where the question is answered, including walkin.Config.Paths.Base. Empty
	// is "/go-on".
	Path string

	// Page shows the question; nil is a plain page in the
	// visitor's language. Its form posts to
	// Question.Action the field user, with Question.User for yes and "" for no, and
	// return_to. No site can show it in a frame.
	Page func(w http.ResponseWriter, r *http.Request, q Question)
}

// A Question is whether a visitor goes on as an account.
type Question struct {
	Action   string // where the answer is to be posted
	User     string // the ID of the account
	Name     string // its name
	ReturnTo string // the page that was asked for
}

// A Move takes over what visitors have under scs's own cookie. Make one with [New]. Its
// methods may be called concurrently; it starts no goroutine.
type Move struct {
	cfg    Config
	wk     *walkin.Middleware
	origin *http.CrossOriginProtection
	skip   map[string]bool
}

// copied is the key of a new session to which an old one was copied.
const copied = "scsmove.copied"

// New returns a Move, or an error that lists everything wrong in cfg.
func New(wk *walkin.Middleware, cfg Config) (*Move, error) {
	var errs []error
	if wk == nil {
		errs = append(errs, errors.New("scsmove: New needs a middleware"))
	}
	if cfg.Old == nil || cfg.New == nil {
		errs = append(errs, errors.New("scsmove: Config.Old and Config.New are required"))
	} else if cfg.Old == cfg.New {
		errs = append(errs, errors.New("scsmove: Config.Old and Config.New are one manager"))
	}
	if cfg.UserKey != "" && cfg.AccountName == nil {
		errs = append(errs, errors.New("scsmove: Config.UserKey needs Config.AccountName"))
	}
	cfg.Provider = cmp.Or(cfg.Provider, "account")
	cfg.Path = cmp.Or(cfg.Path, "/go-on")
	if cfg.Path[0] != '/' {
		errs = append(errs, errors.New("scsmove: Config.Path does not begin with a slash"))
	}
	skip := map[string]bool{cfg.UserKey: true}
	for _, key := range cfg.SignInKeys {
		skip[key] = true
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	m := &Move{cfg: cfg, wk: wk, origin: http.NewCrossOriginProtection(), skip: skip}
	if cfg.Page == nil {
		m.cfg.Page = m.ask
	}
	return m, nil
}

// Handler takes over what the visitor's old session has, and serves Config.Path. It
// stands inside of walkin's Handler and of LoadAndSave(Config.New).
//
// The old session ends when the browser has come back with the new cookie, not before:
// if an answer is lost or a store is down, the next request tries again.
func (m *Move) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, err := m.load(r)
		if err != nil {
			m.wk.Refuse(w, r, err)
			return
		}
		isAnswer := r.URL.Path == m.cfg.Path
		if isAnswer && r.Method != http.MethodPost {
			m.wk.RefuseMethod(w, r, http.MethodPost)
			return
		}
		asked, err := m.take(w, r) // ends a session that may not be answered for
		switch {
		case err != nil:
			m.wk.Refuse(w, r, err)
		case isAnswer:
			m.answer(w, r)
		case !asked:
			next.ServeHTTP(w, r)
		}
	})
}

// SignOut signs the visitor out, as [walkin.Middleware.SignOut] does, and ends the old
// session: otherwise the next page would ask the next visitor at this computer to go
// on. It works inside of Handler.
func (m *Move) SignOut(w http.ResponseWriter, r *http.Request) error {
	if err := m.wk.SignOut(w, r); err != nil {
		return err
	}
	r, err := m.load(r)
	if err != nil {
		return err
	}
	return m.end(w, r.Context())
}

// load returns r with the old session beside the new one.
func (m *Move) load(r *http.Request) (*http.Request, error) {
	value := ""
	if cookie, err := r.Cookie(m.cfg.Old.Cookie.Name); err == nil {
		value = cookie.Value
	}
	ctx, err := m.cfg.Old.Load(r.Context(), value) // what is loaded already stays
	if err != nil {
		return r, down(err)
	}
	return r.WithContext(ctx), nil
}

// down makes an error of the old store or of AccountName a 503: it fails closed, since
// a page without the session would look like a sign-out, and a retry brings it back.
func down(err error) error {
	if err == nil || errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("scsmove: %w: %w", store.ErrUnavailable, err)
}

// user returns the ID of the account that the old session is signed in to, or "".
func (m *Move) user(ctx context.Context) string {
	if m.cfg.UserKey == "" || !m.cfg.Old.Exists(ctx, m.cfg.UserKey) {
		return ""
	}
	id := fmt.Sprint(m.cfg.Old.Get(ctx, m.cfg.UserKey)) // numbers too
	if id == "0" || id == "<nil>" {
		return ""
	}
	return id
}

func (m *Move) name(ctx context.Context, user string) (string, error) {
	name, err := m.cfg.AccountName(ctx, user)
	return name, down(err)
}

// take takes over what it may, and reports whether it has answered, with a question.
func (m *Move) take(w http.ResponseWriter, r *http.Request) (asked bool, err error) {
	ctx := r.Context()
	visitor, ok := walkin.FromContext(ctx)
	user := m.user(ctx)
	switch {
	case len(m.cfg.Old.Keys(ctx)) == 0:
		// Nothing is kept there, or not any more.
	case m.cfg.New.GetBool(ctx, copied), // and the browser has come back with the new cookie
		user != "" && ok && !visitor.Anonymous: // they have signed in since
		return false, m.end(w, ctx)
	case user != "" && isPage(r):
		name, err := m.name(ctx, user)
		switch {
		case err != nil:
			return false, err
		case name == "":
			return false, m.end(w, ctx)
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'") // no visitor clicks it unseen
		m.cfg.Page(w, r, Question{Action: m.cfg.Path, User: user, Name: name, ReturnTo: r.URL.RequestURI()})
		return true, nil
	case user != "":
		// Only a click makes a visitor another user.
	case isPage(r), ok && r.Method != http.MethodGet && r.Method != http.MethodHead:
		// Fails open: at the new-user limit the page is served without the data, which stays
		// in the old session.
		if _, err := m.wk.Ensure(w, r); err == nil {
			m.copy(ctx)
		}
	}
	return false, nil
}

// copy copies the old session's data. What is in the new one is newer.
func (m *Move) copy(ctx context.Context) {
	for _, key := range m.cfg.Old.Keys(ctx) {
		if !m.skip[key] && !m.cfg.New.Exists(ctx, key) {
			m.cfg.New.Put(ctx, key, m.cfg.Old.Get(ctx, key))
		}
	}
	m.cfg.New.Put(ctx, copied, true)
}

// end ends the old session.
func (m *Move) end(w http.ResponseWriter, ctx context.Context) error {
	if err := m.cfg.Old.Destroy(ctx); err != nil {
		return down(err)
	}
	m.cfg.Old.WriteSessionCookie(ctx, w, "", time.Time{}) // removes it
	m.cfg.New.Remove(ctx, copied)
	return nil
}

// isPage reports whether a visitor opens a page: the pieces of a page that come with it
// need not all carry the same session over.
func isPage(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return r.Method == http.MethodGet && (mode == "navigate" || mode == "")
}

// answer takes the answer to the question.
func (m *Move) answer(w http.ResponseWriter, r *http.Request) {
	if m.origin.Check(r) != nil { // a no ends the old session, so no other site may say it
		m.wk.Refuse(w, r, walkin.ErrCrossOrigin)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := m.goOn(w, r); err != nil {
		m.wk.Refuse(w, r, err)
		return
	}
	http.Redirect(w, r, walkin.ReturnTo(r), http.StatusSeeOther)
}

func (m *Move) goOn(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	user := m.user(ctx)
	if user == "" || r.PostFormValue("user") != user { // not the one they were asked about
		return m.end(w, ctx)
	}
	if name, err := m.name(ctx, user); err != nil {
		return err
	} else if name == "" {
		return m.end(w, ctx)
	}
	_, err := m.wk.Continue(w, r, walkin.Proof{
		Provider: m.cfg.Provider, Subject: user, Method: "pwd",
		At: time.Unix(1, 0), // nothing was proven just now
	})
	if err == nil {
		m.copy(ctx)
	}
	return err
}

func (m *Move) ask(w http.ResponseWriter, r *http.Request, q Question) {
	words := m.wk.Texts(r)
	_ = question.Execute(w, struct {
		Question
		Words               *texts.Catalogue
		Title, Lead, Go, No string
	}{q, words, words.Text("move.title"), words.Text("move.lead", "name", q.Name), words.Text("move.go"), words.Text("move.no")})
}

var question = template.Must(template.New("").Parse(`<!doctype html>
<html lang="{{.Words.Language}}" dir="{{.Words.Direction}}">
<meta name="viewport" content="width=device-width">
<title>{{.Title}}</title>
<form method="post" action="{{.Action}}">
<input type="hidden" name="return_to" value="{{.ReturnTo}}">
<p>{{.Lead}}
<p><button name="user" value="{{.User}}">{{.Go}}</button>
<button name="user" value="">{{.No}}</button>
</form>
`))
