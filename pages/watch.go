package pages

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// seen are the changes of identity of one request.
type seen struct {
	mu     sync.Mutex
	events []walkin.Event
}

type seenKey struct{}

// observe is told every event of the middleware.
func observe(ctx context.Context, e walkin.Event) {
	changes := []walkin.Outcome{walkin.Upgraded, walkin.SignedUp, walkin.SignedIn, walkin.Merged, walkin.Linked, walkin.Joined}
	s, ok := ctx.Value(seenKey{}).(*seen)
	if !ok || !slices.Contains(changes, e.Outcome) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

func (s *seen) all() []walkin.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// watch serves a request and looks at what became of its visitor: whichever credential
// it was, a new session is noted, a new sign-in method and a new device are told to the
// owner, and a new account gets its notice.
func (p *Pages) watch(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if r.Method != http.MethodPost && !strings.Contains(r.URL.Path, "/callback/") {
		next.ServeHTTP(w, r)
		return
	}
	before, _ := walkin.FromContext(r.Context())
	var identities []store.Identity
	if !before.Anonymous && before.UserID != uuid.Nil {
		var err error
		if identities, err = p.wk.Identities(r.Context(), before.UserID); err != nil {
			p.wk.Refuse(w, r, err) // fails closed: a new way in would not be told
			return
		}
	}
	s := &seen{}
	inner := r.WithContext(context.WithValue(r.Context(), seenKey{}, s))
	o := &outcome{ResponseWriter: w, p: p, seen: s}
	next.ServeHTTP(o, inner)
	for _, e := range s.all() {
		p.keepDevice(r, e.UserID, e.SessionID)
		switch {
		case e.Outcome == walkin.Linked && !strings.HasPrefix(r.URL.Path, p.cfg.Path+"email"): // which has a notice of its own
			p.notify(r, identities, notice{subject: "mail.new_method_subject", text: "mail.new_method"})
		case (e.Outcome == walkin.SignedIn || e.Outcome == walkin.Merged) && e.UserID != before.UserID:
			p.tellNewDevice(r, e)
		}
	}
}

// tellNewDevice tells the owner of an account that it was opened in a browser which
// proved none of its identities before. A passkey is a device of its owner's by itself.
func (p *Pages) tellNewDevice(r *http.Request, e walkin.Event) {
	if p.cfg.Mail == nil || e.Provider == passkeyProvider {
		return
	}
	identities, err := p.wk.Store().Identities(r.Context(), e.UserID)
	if err != nil {
		p.wk.Report(r.Context(), ReasonNotice, err)
		return
	}
	for _, identity := range identities {
		// The request has the cookies from before the sign-in. A device that is named by
		// its session is known since a moment ago.
		if device, ok := p.wk.KnownDevice(r, identity); ok && strings.HasPrefix(device, "device:") {
			return
		}
	}
	p.notify(r, identities, notice{subject: "mail.device_subject", text: "mail.device"})
}

// An outcome sees to it that the page after a sign-up says that it worked, and the one
// after a browser has made a passkey that it did.
type outcome struct {
	http.ResponseWriter
	p     *Pages
	seen  *seen
	began bool
}

// Unwrap is for http.ResponseController.
func (o *outcome) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func (o *outcome) WriteHeader(status int) {
	if !o.began {
		for _, e := range o.seen.all() {
			switch {
			case e.Outcome == walkin.Upgraded:
				o.p.putNotice(o.ResponseWriter, "account.done_signed_up")
			case e.Outcome == walkin.Linked && e.Provider == passkeyProvider:
				o.p.putNotice(o.ResponseWriter, "account.done_passkey")
			}
		}
	}
	o.began = true
	o.ResponseWriter.WriteHeader(status)
}

func (o *outcome) Write(b []byte) (int, error) {
	if !o.began {
		o.WriteHeader(http.StatusOK)
	}
	return o.ResponseWriter.Write(b)
}

const noticeFor = 60 // seconds

func (p *Pages) putNotice(w http.ResponseWriter, key string) {
	cookie := p.wk.Cookie("notice")
	cookie.Value, cookie.MaxAge = strings.ReplaceAll(key, ".", "-"), noticeFor
	http.SetCookie(w, &cookie)
}

// Notice returns what the visitor is to be told on the next page, such as that their
// account is ready, and clears it. Call it once, before the response begins, where the
// site's own pages show such messages. Empty means that there is nothing to tell.
func (p *Pages) Notice(w http.ResponseWriter, r *http.Request) string {
	cookie := p.wk.Cookie("notice")
	values := r.CookiesNamed(cookie.Name)
	if len(values) != 1 {
		return ""
	}
	cookie.MaxAge = -1
	http.SetCookie(w, &cookie)
	key := strings.ReplaceAll(values[0].Value, "-", ".")
	if !strings.Contains(key, ".done_") {
		return "" // not ours
	}
	text := p.wk.Texts(r).Text(key)
	if text == key {
		return ""
	}
	return text
}
