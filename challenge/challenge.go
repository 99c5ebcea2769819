// Package challenge lets visitors past walkin.Config.NewUsers.Limit when many new
// visitors come from one network, such as behind a carrier's shared address. It makes
// that expensive for bots.
//
//	gate, err := challenge.New(wk, challenge.Config{})
//	…
//	site.Handle("/challenge/", gate) // outside of wk.Handler: it creates no user
//	site.Handle("/", wk.Handler(mux))
//
// Visitors see nothing of it until the limit of their network is reached. From then on
// a new visitor who sends a form gets a page. The page solves the challenge in the
// browser and sends the same form again: nothing they typed is lost, and nothing of it
// is stored. One solution is good for one new user.
//
// # The challenge
//
// By default it is a proof of work, of our own and without any third party. The browser
// looks for a number that makes the SHA-256 of a text begin with so many zero bits. The
// text is signed and counts once. It lives for two minutes, or up to eleven if the work
// is hard.
//
// The work doubles with each eight solutions from a network within the hour, from about
// two seconds on a slow phone to about a minute. So a visitor who comes late in a crowd
// waits longer, and a bot that creates users by the thousand pays for each. If the work
// has become too easy in the meantime, harder work follows, so collecting challenges
// first does not pay.
//
// Use [Turnstile] or [HCaptcha] instead if you prefer. They see the visitor's browser,
// and the page loads their script.
//
// # What it cannot do
//
// It does not tell visitors from bots. A bot can do the work, and pay for it.
// Config.NewUsers.Limit, twenty times as high for visitors who do, remains the upper
// bound.
//
// Visitors without JavaScript are told to wait, as they are without this package; a
// button then sends their form. The page cannot send again a form with files, with a
// thousand fields or of more than 64 KB; its sender is told to go back and send it. A
// handler that shows its own form again on a refusal, as
// walkin.Middleware.UpgradeHandler does, shows no challenge. The page does not show in
// a frame of another site, as with Config.Cookies.Partitioned.
package challenge

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// Config says what is asked. The zero value is a proof of work at /challenge/.
type Config struct {
	// Captcha is asked instead of a proof of work: a [Turnstile] or an
	// [HCaptcha]. Nil is the proof of work.
	Captcha Captcha

	// Path is where the [Gate] is served, with a slash at its end. Empty is
	// "/challenge/".
	Path string
}

// A Gate challenges visitors. Its ServeHTTP is for what its page loads and sends.
// Make one with [New]. Its methods may be called concurrently; it starts no
// goroutine.
type Gate struct {
	cfg     Config
	wk      *walkin.Middleware
	store   store.Store
	limiter limit.Limiter
	keys    [][]byte    // the first signs, all verify
	pass    http.Cookie // without its value
}

var _ walkin.Challenge = (*Gate)(nil)

const (
	maxForm    = 64 << 10         // bytes
	maxFields  = 1000             // of a form: each makes the page longer than the form
	maxAnswer  = 8 << 10          // bytes of what the page sends
	passFor    = 10 * time.Minute // how long a solution is good for its one user
	passLength = 26               // of rand.Text
)

// New returns a Gate and attaches it to the middleware: from then on visitors can get
// past its limit on new users. The error lists everything wrong in cfg. A middleware
// has one Gate at most. Serve the Gate at Config.Path: if it is not served no visitor
// can pass, and all wait as they do without it.
func New(wk *walkin.Middleware, cfg Config) (*Gate, error) {
	if wk == nil {
		return nil, errors.New("walkin: challenge: New needs a middleware")
	}
	var mistakes []error
	keys, err := wk.DeriveKeys("walkin challenge")
	if err != nil {
		mistakes = append(mistakes, err)
	}
	if cfg.Path == "" {
		cfg.Path = "/challenge/"
	}
	if u, err := url.Parse(cfg.Path); err != nil || u.Path != cfg.Path || !strings.HasPrefix(cfg.Path, "/") || strings.HasPrefix(cfg.Path, "//") || !strings.HasSuffix(cfg.Path, "/") {
		mistakes = append(mistakes, fmt.Errorf("walkin: challenge: Config.Path %q is not a local path like /challenge/", cfg.Path))
	}
	if cfg.Captcha != nil {
		if err := cfg.Captcha.check(); err != nil {
			mistakes = append(mistakes, fmt.Errorf("walkin: challenge: Config.Captcha: %w", err))
		}
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	g := &Gate{cfg: cfg, wk: wk, store: wk.Store(), limiter: wk.Limiter(), keys: keys, pass: wk.Cookie("pass")}
	if err := wk.AttachChallenge(g); err != nil {
		return nil, fmt.Errorf("walkin: challenge: %w", err)
	}
	return g, nil
}

// Passed implements [walkin.Challenge]: it reports whether the visitor solved a
// challenge a moment ago. Each pass is consumed.
func (g *Gate) Passed(r *http.Request) (bool, error) {
	values := r.CookiesNamed(g.pass.Name)
	if len(values) != 1 || len(values[0].Value) != passLength {
		return false, nil
	}
	switch _, err := g.store.TakeTicket(r.Context(), passKey(values[0].Value), time.Now()); {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}

func passKey(value string) string {
	sum := sha256.Sum256([]byte(value)) // a reader of the store must not be able to send it
	return "challenge:pass:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// Show implements [walkin.Challenge]: it answers a visitor whom the limit stopped with
// the challenge page if a browser opens a page, and with nothing otherwise.
func (g *Gate) Show(w http.ResponseWriter, r *http.Request, refusal *walkin.Refusal) bool {
	if !request.WantsPage(r.Header) || request.Library(r.Header) != request.NoLibrary {
		return false
	}
	return g.show(w, r, refusal)
}

//go:embed solve.js work.js page.html page.css
var files embed.FS

var page = template.Must(template.ParseFS(files, "page.html"))

// A field is one of the form that is sent again.
type field struct{ Name, Value string }

// show writes the page, and reports whether it did. Its form is the one that was stopped.
func (g *Gate) show(w http.ResponseWriter, r *http.Request, refusal *walkin.Refusal) bool {
	var fields []field
	again := false
	if g.wk.CheckOrigin(r) == nil { // our page must not send as the site's own what another one sent
		fields, again = resend(r)
	}
	words := g.wk.Texts(r)
	data := view{words: words, Path: g.cfg.Path, Method: "post", Message: refusal.Message, Fields: fields, Again: again, Action: walkin.Target(r)}
	if r.Method == http.MethodGet {
		data.Method = "get"
	}
	h := w.Header()
	captcha := ""
	if g.cfg.Captcha != nil {
		one := g.cfg.Captcha.widget()
		data.Captcha = &one
		captcha = " " + one.origin
	} else {
		var err error
		if data.Challenge, data.Bits, err = g.newWork(r); err != nil {
			// Fails closed: they are told to wait, as without us.
			g.failed(r, err)
			return false
		}
	}
	var body strings.Builder
	if err := page.Execute(&body, &data); err != nil {
		g.failed(r, err)
		return false
	}
	response.NoStore(h, "no-store")
	policy := "default-src 'none'; script-src 'self'" + captcha + "; worker-src 'self'; connect-src 'self'" + captcha + "; style-src 'self'" + captcha + "; img-src 'self'"
	if captcha != "" {
		policy += "; frame-src" + captcha
	}
	h.Set("Content-Security-Policy", policy+"; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	g.wk.ShowPage(w, r, refusal.Status, words.Text("challenge.title"), body.String())
	return true
}

// A view is what the page gets.
type view struct {
	words                                    *texts.Catalogue
	Path, Action, Method, Challenge, Message string
	Bits                                     int
	Fields                                   []field
	Again                                    bool
	Captcha                                  *widget
}

// Say returns a text in the visitor's language.
func (v *view) Say(key string) string { return v.words.Text(key) }

// resend returns the fields of a form, and whether sending them is sending what was
// stopped: all of it, and byte for byte. Fails closed: a visitor who is told to go back
// and send it still has their form.
func resend(r *http.Request) ([]field, bool) {
	switch {
	case strings.HasPrefix(walkin.Target(r), "//"):
		return nil, false // an address on our page that is another site's
	case r.Method == http.MethodGet:
		return nil, true // the page itself, by its address
	case r.Method != http.MethodPost || r.Body == nil:
		return nil, false
	case r.ContentLength == 0:
		return nil, true
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, false
	}
	fields, ok := fieldsOf(r)
	size := 0
	for _, f := range fields {
		size += len(f.Name) + 1 + len(f.Value)
		// A browser sends no field without a name, and a page can hold neither
		// a NUL nor what is not UTF-8.
		ok = ok && f.Name != "" && isText(f.Name) && isText(f.Value)
	}
	if !ok || len(fields) > maxFields || size > maxForm {
		return nil, false
	}
	return fields, true
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// fieldsOf returns the fields of a form, in their order unless it was parsed before,
// and false for one that was read otherwise.
func fieldsOf(r *http.Request) ([]field, bool) {
	var fields []field
	if len(r.PostForm) > 0 {
		for _, name := range slices.Sorted(maps.Keys(r.PostForm)) {
			for _, value := range r.PostForm[name] {
				fields = append(fields, field{name, value})
			}
		}
		return fields, true
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	if err != nil || len(body) > maxForm || r.ContentLength >= 0 && int64(len(body)) != r.ContentLength {
		return nil, false
	}
	for part := range strings.SplitSeq(string(body), "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		n, err1 := url.QueryUnescape(name)
		v, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return nil, false
		}
		fields = append(fields, field{n, v})
	}
	return fields, true
}

// ServeHTTP serves the page's scripts, and takes what they solved.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch name := path.Base(r.URL.Path); name {
	case "solve.js", "work.js", "page.css":
		w.Header().Set("Cache-Control", "public, max-age=3600")
		http.ServeFileFS(w, r, files, name)
	case "solved":
		response.NoStore(w.Header(), "no-store")
		switch status := g.solved(w, r); status {
		case http.StatusNoContent:
			w.WriteHeader(status)
		case http.StatusConflict:
			g.again(w, r)
		default:
			http.Error(w, http.StatusText(status), status)
		}
	default:
		http.NotFound(w, r)
	}
}

// solved sets the pass when the solution holds, and returns the status.
func (g *Gate) solved(w http.ResponseWriter, r *http.Request) int {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		return http.StatusMethodNotAllowed
	}
	if g.wk.CheckOrigin(r) != nil {
		return http.StatusForbidden
	}
	var answer struct{ Challenge, Solution string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAnswer)).Decode(&answer); err != nil {
		return http.StatusBadRequest
	}
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	var good bool
	var err error
	if g.cfg.Captcha != nil {
		good, err = g.cfg.Captcha.verify(ctx, answer.Solution)
	} else {
		good, err = g.checkWork(ctx, r, answer.Challenge, answer.Solution)
	}
	switch {
	case errors.Is(err, errTooEasy):
		return http.StatusConflict
	case err != nil:
		g.failed(r, err)
		return statusOf(err) // fails closed; the page says to wait
	case !good:
		return http.StatusForbidden
	}
	pass := rand.Text()
	ticket := store.Ticket{Key: passKey(pass), ExpiresAt: time.Now().Add(passFor)}
	if err := g.store.PutTicket(ctx, ticket); err != nil {
		g.failed(r, err)
		return statusOf(err)
	}
	cookie := g.pass
	cookie.Value, cookie.MaxAge = pass, int(passFor.Seconds())
	http.SetCookie(w, &cookie)
	return http.StatusNoContent
}

// statusOf is 503, for a store or a service that is down, unless the store says that
// waiting is of no use.
func statusOf(err error) int {
	if refusal, ok := errors.AsType[*walkin.Refusal](err); ok {
		return refusal.Status
	}
	return http.StatusServiceUnavailable
}

// again hands out another challenge for one that has become too easy.
func (g *Gate) again(w http.ResponseWriter, r *http.Request) {
	text, difficulty, err := g.newWork(r)
	if err != nil {
		g.failed(r, err)
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	_ = json.NewEncoder(w).Encode(struct { // the only error is a client that went away
		Challenge string
		Bits      int
	}{text, difficulty})
}

// failed reports that no visitor can pass.
func (g *Gate) failed(r *http.Request, err error) {
	g.wk.Report(r.Context(), walkin.ReasonChallenge, err)
}
