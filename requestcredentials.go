package walkin

import (
	"net/http"
	"time"

	"github.com/walkin-go/walkin/internal/request"
)

// The credentials in a request: a bearer token of ours, or our cookies. A bearer of
// another form is the app's own, and says nothing about whose cookies these are.
type requestCredentials struct {
	bearer               bool
	token                string
	permanent, anonymous carriedCookie
	former               *formerCookies // whose cookies they are; nil: those of today
}

func (b *requestCredentials) read(h http.Header, vr *verifier) {
	if text, ok := request.Bearer(h); ok && vr.keys.IsOurs(text) {
		b.token, b.bearer = text, true
		return
	}
	vr.cookies.find(h, vr.cache, &b.permanent, &b.anonymous)
	if vr.cookies.former != nil && b.nothing() {
		b.readFormer(h, vr)
	}
}

// readFormer looks for the cookies of before a change. It is called only where there is
// no current cookie: a sibling domain may plant an old __Secure- name for as long as
// browsers keep a cookie.
func (b *requestCredentials) readFormer(h http.Header, vr *verifier) {
	for i := range vr.cookies.former {
		f := &vr.cookies.former[i]
		if time.Since(f.changedAt) > vr.cfg.Tokens.Lifetime+leeway {
			continue // no token of then is alive
		}
		if f.find(h, nil, &b.permanent, &b.anonymous); !b.nothing() {
			b.former = f
			return
		}
	}
}

// both ranges over the two cookies.
func (b *requestCredentials) both(yield func(carrier, carriedCookie) bool) {
	_ = yield(asPermanent, b.permanent) && yield(asAnonymous, b.anonymous)
}

func (b *requestCredentials) nothing() bool {
	return !b.bearer && b.permanent.status == absent && b.anonymous.status == absent
}
