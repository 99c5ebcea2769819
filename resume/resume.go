// Package resume keeps the form of a visitor whom a guard stopped: an anonymous visitor
// posts a form that needs an account, signs up by any credential, confirms, and the
// very same post goes through, once.
//
//	keeper, err := resume.New(wk, resume.Config{})
//	…
//	mux.Handle("/resume", keeper)
//	mux.Handle("POST /publish", keeper.RequirePermanent()(publish))
//
// # What is kept, and for whom
//
// The body of a post, of any type, of 120 KB at most and without files, for 15 minutes,
// in the store.
//
// It belongs to the browser that sent it, by a cookie of its own that no script can
// read, and to the session. It is offered to the user it was kept for, or to the user
// they became in that very browser by an upgrade, a merge or a sign-in. A sign-out ends
// it. A user has one: a later form replaces an earlier one, so that the store cannot be
// filled with them.
//
// Only a post of a page of this very site is kept, sent by the browser itself and from
// a visitor who has a user. All others get the guard's refusal. When a script posts,
// its page is still there, and so is what it posted.
//
// A post with files, or one that is too large, is not kept. The visitor is told before
// they leave for the sign-up. Config.OnEvent of walkin gets a Refused with a reason
// that begins "not_kept".
//
// Nothing goes through by itself. Once the visitor has an account they see a page that
// asks, and their yes is a post of the same site. It reaches the same handler through
// the same guards. The form is as it was. The visitor is who they are now: the same
// user after an upgrade, and the owner of the account after a merge or a sign-in.
//
// # What it does not do
//
// Handlers behind the guard get nothing but the body, its type, its path and its query:
// no other header of the first request comes back. In a frame of another site, as with
// walkin.Config.Cookies.Partitioned, browsers drop the cookie, and nothing is kept.
package resume

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// Config says where forms are kept. The zero value keeps them for /resume.
type Config struct {
	// Path is where browsers find the [Keeper] itself, the page that asks, including
	// walkin.Config.Paths.Base. Empty is "/resume".
	Path string

	// Page shows that page; nil is a plain one. Its form posts to Pending.Action, with
	// no fields of its own: what was kept is sent.
	Page func(w http.ResponseWriter, r *http.Request, p Pending)

	// NotKept shows that a post could not be kept. Its form has the status and a
	// Refusal whose Message says why. The page leads on to the sign-up by a link to
	// Path with return_to set to the form's ReturnTo, the page of the post. Nil is a
	// plain page.
	NotKept walkin.Page
}

// A Pending is a form that waits for its visitor's yes.
type Pending struct {
	Action string     // where the yes is to be posted
	Form   url.Values // what the visitor had filled in, unless it was no form; not to be trusted more than any
}

// A Keeper keeps forms. Its ServeHTTP is the page that asks. Make one with [New].
// Its methods may be called concurrently; it starts no goroutine.
type Keeper struct {
	cfg   Config
	wk    *walkin.Middleware
	store store.Store
	own   http.Cookie // without its value
	guard http.Handler
}

const (
	maxBody   = 120 << 10 // bytes
	maxTicket = 128 << 10 // bytes, see store.Ticket
	keepFor   = 15 * time.Minute

	// marker is the query parameter of a yes.
	marker = "walkin_resume"
)

// New returns a Keeper, or an error that lists everything wrong in cfg.
func New(wk *walkin.Middleware, cfg Config) (*Keeper, error) {
	if wk == nil {
		return nil, errors.New("walkin: resume: New needs a middleware")
	}
	var mistakes []error
	if cfg.Path == "" {
		cfg.Path = "/resume"
	}
	if u, err := url.Parse(cfg.Path); err != nil || u.Path != cfg.Path || !strings.HasPrefix(cfg.Path, "/") || strings.HasPrefix(cfg.Path, "//") {
		mistakes = append(mistakes, fmt.Errorf("walkin: resume: Config.Path %q is not a local path like /resume", cfg.Path))
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	// Always this very host's: a sibling that could plant the cookie could leave a
	// form of its own here for the visitor's yes.
	k := &Keeper{cfg: cfg, wk: wk, store: wk.Store(), own: wk.Cookie("resume")}
	if cfg.Page == nil {
		k.cfg.Page = k.page
	}
	if cfg.NotKept == nil {
		k.cfg.NotKept = k.notKept
	}
	wk.ClearAtSignOut(k.own)
	k.guard = wk.RequirePermanent()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return k, nil
}

// A kept form is the data of a ticket: this as JSON, a line break, and the body.
type kept struct {
	Secret  []byte    `json:"secret"`  // the hash of the one in the cookie
	Session uuid.UUID `json:"session"` // that sent it
	Target  string    `json:"target"`  // path and query
	Type    string    `json:"type"`    // of the content, with its charset
	Body    []byte    `json:"-"`
}

func (f kept) encode() ([]byte, error) {
	head, err := json.Marshal(f)
	return append(append(head, '\n'), f.Body...), err
}

func decode(data []byte) (f kept, err error) {
	head, body, _ := bytes.Cut(data, []byte("\n"))
	f.Body = body
	return f, json.Unmarshal(head, &f)
}

// RequirePermanent is walkin.Middleware's guard of that name, and also keeps the form
// of an anonymous visitor whom it stops. They are sent to walkin.Config.Paths.Upgrade
// with return_to set to Config.Path. Wrap the handler of the form in it, inside of
// walkin.Middleware.Handler.
func (k *Keeper) RequirePermanent() func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		guarded := k.wk.RequirePermanent()(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _ := walkin.FromContext(r.Context()) // not anonymous where there is none
			switch {
			case walkin.CheckActor(r.Context()) != nil: // the guard refuses what is not safe
			case r.Method != http.MethodPost:
			case r.URL.Query().Has(marker) && c.Anonymous: // not signed up yet; what is kept stays so
				if _, _, err := k.find(r); errors.Is(err, store.ErrNotFound) {
					k.wk.Refuse(w, r, gone())
					return
				}
				k.sendAway(w, r)
				return
			case r.URL.Query().Has(marker):
				k.resume(w, r, guarded)
				return
			case c.Anonymous && k.isOwnPost(r):
				k.keep(w, r, c)
				return
			}
			guarded.ServeHTTP(w, r)
		})
	}
}

// isOwnPost reports whether a visitor sent something from a page of this site. Fails
// closed: the guard refuses all else, as without us. An API client would not follow to
// a page; and an attacker must not leave a form here for a visitor's yes.
func (k *Keeper) isOwnPost(r *http.Request) bool {
	_, bearer := request.Bearer(r.Header)
	// Of a path with two slashes the page's form would lead to another site.
	return request.WantsPage(r.Header) && !bearer && r.Body != nil && !strings.HasPrefix(target(r), "//") &&
		k.wk.CheckOrigin(r) == nil
}

// keep keeps what was posted and sends its visitor to sign up, or says that it could
// not be kept: while they can still go back to it.
func (k *Keeper) keep(w http.ResponseWriter, r *http.Request, c walkin.Claims) {
	form := kept{Session: c.SessionID, Target: target(r)}
	if lost := form.read(r); lost != nil {
		k.lose(w, r, lost)
		return
	}
	secret := rand.Text()
	form.Secret = hash(secret)
	data, err := form.encode()
	if err == nil && len(data) > maxTicket {
		k.lose(w, r, tooLarge())
		return
	}
	if err == nil {
		err = k.store.PutTicket(r.Context(), store.Ticket{Key: key(c.UserID), Data: data, ExpiresAt: time.Now().Add(keepFor), UserID: c.UserID})
	}
	if err != nil {
		k.wk.Report(r.Context(), ReasonNotKept, err)
		k.lose(w, r, &walkin.Refusal{Status: http.StatusServiceUnavailable, Reason: ReasonNotKeptStoreDown, Err: err, RetryAfter: 5 * time.Second,
			Text: texts.Of("resume.down")})
		return
	}
	k.setCookie(w, c.UserID.String()+"."+secret, int(keepFor.Seconds()))
	k.sendAway(w, r)
}

// read reads the body as it was sent, or, where middleware has parsed it, as it was
// understood. Half a form must not go through as a whole one.
func (f *kept) read(r *http.Request) *walkin.Refusal {
	f.Type = r.Header.Get("Content-Type")
	kind, parameters, err := mime.ParseMediaType(f.Type)
	isParts := err == nil && kind == "multipart/form-data"
	switch {
	case r.MultipartForm != nil:
		if len(r.MultipartForm.File) > 0 {
			return withFiles()
		}
		var b bytes.Buffer
		parts := multipart.NewWriter(&b)
		for name, values := range r.MultipartForm.Value {
			for _, value := range values {
				_ = parts.WriteField(name, value) // a buffer returns no error
			}
		}
		_ = parts.Close()
		f.Type, f.Body = parts.FormDataContentType(), b.Bytes()
	case len(r.PostForm) > 0:
		f.Body = []byte(r.PostForm.Encode())
	default:
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		if err == nil && len(body) <= maxBody && r.ContentLength >= 0 && int64(len(body)) != r.ContentLength {
			err = errors.New("walkin: resume: the body was read before it came here")
		}
		if err != nil {
			return &walkin.Refusal{Status: http.StatusForbidden, Reason: ReasonNotKeptRead, Err: err,
				Text: texts.Of("resume.unreadable")}
		}
		f.Body = body
		if isParts && hasFiles(body, parameters["boundary"]) {
			return withFiles()
		}
	}
	if len(f.Body) > maxBody {
		return tooLarge()
	}
	return nil
}

// hasFiles reports whether a form has a file in it, as far as the form can be read. An
// empty file field is not a file.
func hasFiles(body []byte, boundary string) bool {
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := parts.NextRawPart()
		if err != nil {
			return false
		}
		if part.FileName() != "" {
			return true
		}
	}
}

// values returns what a visitor had filled in.
func (f kept) values() url.Values {
	kind, parameters, _ := mime.ParseMediaType(f.Type)
	switch kind {
	case "application/x-www-form-urlencoded":
		values, _ := url.ParseQuery(string(f.Body)) // what could be read of it
		return values
	case "multipart/form-data":
		form, err := multipart.NewReader(bytes.NewReader(f.Body), parameters["boundary"]).ReadForm(maxBody)
		if err == nil {
			return form.Value
		}
	}
	return nil
}

func withFiles() *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusForbidden, Reason: ReasonNotKeptFiles,
		Text: texts.Of("resume.files")}
}

func tooLarge() *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusForbidden, Reason: ReasonNotKeptTooLarge,
		Text: texts.Of("resume.large")}
}

// lose tells the visitor that something was not kept.
func (k *Keeper) lose(w http.ResponseWriter, r *http.Request, refusal *walkin.Refusal) {
	back := "/"
	if from, err := url.Parse(r.Header.Get("Referer")); err == nil && request.IsHost(from, r.Host) {
		back = from.RequestURI()
	}
	r = r.Clone(r.Context())
	// The body may be large, so no more of it is read.
	r.Body, r.Form, r.PostForm = http.NoBody, url.Values{"return_to": {back}}, url.Values{}
	k.wk.RefuseForm(w, r, refusal, k.cfg.NotKept)
}

// sendAway answers with the guard's refusal, and with a way back that leads to our
// page.
func (k *Keeper) sendAway(w http.ResponseWriter, r *http.Request) {
	r = r.Clone(r.Context())
	r.Method, r.URL, r.RequestURI, r.Body = http.MethodGet, &url.URL{Path: k.cfg.Path}, k.cfg.Path, http.NoBody
	// If a part of a page was asked for, the guard's way back would be to the page
	// around it.
	r.Header.Del("Hx-Current-Url")
	r.Header.Set("Referer", "//"+r.Host+k.cfg.Path)
	k.guard.ServeHTTP(w, r)
}

// resume lets a kept form through, after its visitor said yes.
func (k *Keeper) resume(w http.ResponseWriter, r *http.Request, guarded http.Handler) {
	m := k.wk
	if err := m.CheckOrigin(r); err != nil {
		m.Refuse(w, r, err)
		return
	}
	ctx := r.Context()
	user, form, err := k.find(r)
	if err == nil && spelt(form.Target) != spelt(target(r)) {
		err = store.ErrNotFound // the form of another page
	}
	if err == nil {
		// The request that takes it lets it through: the second click finds nothing. A
		// form that took its place in this moment is not the one that was asked about.
		var ticket store.Ticket
		if ticket, err = k.store.TakeTicket(ctx, key(user), time.Now()); err == nil {
			if taken, decodeErr := decode(ticket.Data); decodeErr != nil || !bytes.Equal(taken.Secret, form.Secret) {
				err = store.ErrNotFound
			}
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		m.Refuse(w, r, gone()) // the cookie stays: there may be a form of another page
		return
	case err != nil:
		m.Refuse(w, r, err)
		return
	}
	k.setCookie(w, "", -1)
	r = r.Clone(ctx)
	r.URL.RawQuery = without(r.URL.RawQuery, marker)
	if line, err := url.ParseRequestURI(r.RequestURI); err == nil {
		line.RawQuery, line.ForceQuery = r.URL.RawQuery, false
		r.RequestURI = line.RequestURI()
	}
	r.Form, r.PostForm = nil, nil
	r.Header.Set("Content-Type", form.Type)
	// The form may have been rendered for the anonymous user that this visitor was.
	r.Header.Set("Walkin-Rendered-For", m.RenderedFor(r))
	r.Header.Set("Content-Length", strconv.Itoa(len(form.Body)))
	r.ContentLength, r.Body = int64(len(form.Body)), io.NopCloser(bytes.NewReader(form.Body))
	guarded.ServeHTTP(w, r)
}

// ServeHTTP shows the page that asks. An anonymous visitor is sent on to sign up;
// where nothing is kept it says so, with 404.
func (k *Keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m := k.wk
	response.NoStore(w.Header(), "no-store")
	if err := walkin.CheckActor(r.Context()); err != nil {
		m.Refuse(w, r, err)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		m.RefuseMethod(w, r, "GET, HEAD")
		return
	}
	if r.URL.Query().Has("return_to") {
		k.goOn(w, r)
		return
	}
	pending, err := k.pending(r)
	switch c, ok := walkin.FromContext(r.Context()); {
	case errors.Is(err, store.ErrNotFound):
		m.Refuse(w, r, gone())
	case err != nil:
		m.Refuse(w, r, err)
	case !ok || c.Anonymous:
		k.guard.ServeHTTP(w, r)
	default:
		k.cfg.Page(w, r, pending)
	}
}

// goOn leads on from the page of NotKept: to sign up, and from there back to the form.
func (k *Keeper) goOn(w http.ResponseWriter, r *http.Request) {
	to := walkin.ReturnTo(r)
	if c, ok := walkin.FromContext(r.Context()); ok && !c.Anonymous {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	u, err := url.Parse(to)
	if err != nil {
		u = &url.URL{Path: "/"} // ReturnTo has parsed it
	}
	r = r.Clone(r.Context())
	r.URL, r.RequestURI = u, to
	k.guard.ServeHTTP(w, r)
}

// find returns what this browser has kept, and as whom, or ErrNotFound. ErrNotFound is
// also for a visitor who is neither the user it was kept for nor the one they became,
// since one of them has signed out in between.
func (k *Keeper) find(r *http.Request) (uuid.UUID, kept, error) {
	values := r.CookiesNamed(k.own.Name)
	if len(values) != 1 { // none, or more than a browser has
		return uuid.Nil, kept{}, store.ErrNotFound
	}
	id, secret, _ := strings.Cut(values[0].Value, ".")
	user, err := uuid.Parse(id)
	if err != nil || len(secret) != len(rand.Text()) {
		return uuid.Nil, kept{}, store.ErrNotFound
	}
	ticket, err := k.store.Ticket(r.Context(), key(user), time.Now())
	if err != nil {
		return uuid.Nil, kept{}, err
	}
	form, err := decode(ticket.Data)
	if err != nil || subtle.ConstantTimeCompare(form.Secret, hash(secret)) != 1 {
		return uuid.Nil, kept{}, store.ErrNotFound
	}
	same, err := k.wk.CameFrom(r, form.Session)
	if err == nil && !same {
		err = store.ErrNotFound
	}
	return user, form, err
}

// pending returns what this browser has kept, or ErrNotFound.
func (k *Keeper) pending(r *http.Request) (Pending, error) {
	_, form, err := k.find(r)
	if err != nil {
		return Pending{}, err
	}
	separator := "?"
	if strings.Contains(form.Target, "?") {
		separator = "&"
	}
	return Pending{Action: form.Target + separator + marker + "=1", Form: form.values()}, nil
}

func gone() *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusNotFound, Reason: ReasonNothingKept, Code: "nothing_kept",
		Text: texts.Of("resume.gone")}
}

func key(user uuid.UUID) string { return "resume:" + user.String() }

// hash is what the store sees of a secret: a reader of the store must not be able to
// send the cookie.
func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// target returns the path and query of a request, without the marker of a yes.
func target(r *http.Request) string {
	path, query, _ := strings.Cut(walkin.Target(r), "?")
	return strings.TrimSuffix(path+"?"+without(query, marker), "?")
}

// spelt returns a target as html/template spells it in the action of a form. It
// escapes characters that browsers send as they are, such as brackets, so a yes
// may come back in another spelling than the form.
func spelt(target string) string {
	isHex := func(s string) bool { return strings.Trim(s, "0123456789abcdefABCDEF") == "" }
	var b strings.Builder
	for i := 0; i < len(target); i++ {
		switch c := target[i]; {
		case c == '%' && i+2 < len(target) && isHex(target[i+1:i+3]):
			b.WriteString(strings.ToUpper(target[i : i+3]))
			i += 2
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~!#$&*+,/:;=?@[]", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// without removes a parameter from a query and leaves the rest as it is spelt.
func without(query, name string) string {
	var rest []string
	for part := range strings.SplitSeq(query, "&") {
		if key, _, _ := strings.Cut(part, "="); key != name {
			rest = append(rest, part)
		}
	}
	return strings.Join(rest, "&")
}

func (k *Keeper) setCookie(w http.ResponseWriter, value string, maxAge int) {
	cookie := k.own
	cookie.Value, cookie.MaxAge = value, maxAge
	http.SetCookie(w, &cookie)
	response.NoStore(w.Header(), "no-store")
}

// A shown page is what the templates below get.
type shown struct {
	*texts.Catalogue
	Pending
	Path, Message, ReturnTo string
}

var asks = template.Must(template.New("").Parse(`<p>{{.Text "resume.lead"}}</p>
<form method="post" action="{{.Action}}"><button>{{.Text "resume.submit"}}</button></form>
<p><a href="{{.ReturnTo}}">{{.Text "resume.not_now"}}</a></p>
`))

// page asks, in the frame of the site.
func (k *Keeper) page(w http.ResponseWriter, r *http.Request, p Pending) {
	// Their yes is their own.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	k.show(w, r, http.StatusOK, "resume.title", asks, shown{Pending: p, ReturnTo: walkin.ReturnTo(r)})
}

var lost = template.Must(template.New("").Parse(`<p role="alert">{{.Message}}</p>
<p>{{.Text "resume.lost_back"}}</p>
<p><a href="{{.Path}}?return_to={{.ReturnTo}}">{{.Text "resume.signup"}}</a></p>
`))

// notKept says that a post could not be kept, and leads on to the sign-up.
func (k *Keeper) notKept(w http.ResponseWriter, r *http.Request, f walkin.Form) {
	k.show(w, r, f.Status, "resume.lost_title", lost, shown{Path: k.cfg.Path, Message: f.Refusal.Message, ReturnTo: f.ReturnTo})
}

func (k *Keeper) show(w http.ResponseWriter, r *http.Request, status int, title string, body *template.Template, page shown) {
	page.Catalogue = k.wk.Texts(r)
	var text strings.Builder
	if err := body.Execute(&text, page); err != nil {
		k.wk.Refuse(w, r, err)
		return
	}
	k.wk.ShowPage(w, r, status, page.Text(title), text.String())
}
