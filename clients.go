package walkin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/response"
)

// A Token is what a response carries to a client without cookies, in place of a cookie.
// It is a bearer token for this app, and as good as the cookie.
type Token struct {
	Text      string
	ExpiresAt time.Time
}

// ServeHTTP answers with the token as a JSON object, in the words of RFC 6749 §5.1:
// access_token, token_type, expires_in and expires_at (Unix seconds). No cache may
// keep it.
func (t Token) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	response.NoStore(h, "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	// The only error is a client that went away.
	_ = json.NewEncoder(w).Encode(struct {
		Token     string `json:"access_token"`
		Type      string `json:"token_type"`
		ExpiresIn int    `json:"expires_in"`
		ExpiresAt int64  `json:"expires_at"`
	}{t.Text, "bearer", int(time.Until(t.ExpiresAt).Seconds()), t.ExpiresAt.Unix()})
}

// IssuedToken returns the token that [Middleware.Continue], [Middleware.Unlink] or
// [Middleware.Ensure] issued during this request. It does so for a client that sent a
// bearer token, or whose path is below [Middleware.WithoutCookies]. Put it into the
// response: the token that the client sent may have ended. It returns false for all
// others, whose token is in their cookie.
func IssuedToken(ctx context.Context) (Token, bool) {
	v := visitFrom(ctx)
	if v == nil || v.more().issued == nil {
		return Token{}, false
	}
	return *v.more().issued, true
}

// hand is the one way by which a token goes into a response: what issues one for a
// client without cookies leaves it here, and the handler that answers takes it from
// IssuedToken.
func (is *issuer) hand(v *visit, token string, c Claims) {
	v.more().issued = &Token{Text: token, ExpiresAt: c.ExpiresAt}
}

// WithoutCookies wraps the paths of clients that have no cookies, such as an API for
// native apps, in place of [Middleware.Handler]. It reads no cookie, so a page of
// another site cannot send requests as a visitor, and it sets none. Only the bearer
// token says whose request it is. It creates no user by itself. A client that gets one,
// by [Middleware.Ensure] or a sign-up, gets its token by [IssuedToken]. A login flow of
// several requests, as by code, needs that token first: there is no cookie to bind the
// flow to.
func (m *Middleware) WithoutCookies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Clone()
		header.Del("Cookie")
		var b requestCredentials
		b.read(header, m.verifier)
		now := time.Now()
		var f authResult
		if b.bearer {
			f = m.verifier.authenticate(r, &b, now)
		}
		v := m.home.newVisit(r, f)
		v.handled, v.bearer, v.withoutCookies, v.url = true, true, true, r.URL
		r = r.WithContext(v)
		r.Header = header
		v.facts = m.admission.readFacts(r, &b)
		if f.status == unreachable {
			m.Refuse(w, r, storeDown(f.err))
			return
		}
		if f.status == live {
			if _, err := m.decideLive(r, v, f, now); err != nil {
				m.Refuse(w, r, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// TokenHandler exchanges a bearer token for one that lives longer, as a renewal does
// for a cookie. On a POST with a token older than Config.Tokens.RenewAfter it returns a
// new token of the same session; a younger token is returned as it is. The token that
// was sent stays valid until its own end, since a response may get lost. Cookies are
// not read. A token of [Middleware.AccessToken] is refused with 403: it was given a
// short life.
//
// A client that calls it when a token is a day old stays signed in for as long as a
// browser does. Put its path into Config.Paths.Credentials, so that the call does not
// store a new user.
func (m *Middleware) TokenHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", "POST")
			m.Refuse(w, r, &Refusal{Status: http.StatusMethodNotAllowed, Reason: "method"})
			return
		}
		token, err := m.exchange(w, r)
		if err != nil {
			m.Refuse(w, r, err)
			return
		}
		token.ServeHTTP(w, r)
	})
}

func (m *Middleware) exchange(w http.ResponseWriter, r *http.Request) (Token, error) {
	v := m.verifier.visit(w, r)
	if err := CheckActor(v); err != nil {
		return Token{}, err
	}
	c := v.claims.Load()
	switch _, isBearer := request.Bearer(r.Header); {
	case v.status == unreachable:
		return Token{}, storeDown(nil)
	case !isBearer || !v.bearer || c == nil:
		return Token{}, &Refusal{Status: http.StatusUnauthorized, Reason: "bearer_needed"}
	case v.lost || v.unsure:
		return Token{}, storeDown(nil) // nothing of theirs is final, and nothing is issued
	case v.entry.access:
		return Token{}, &Refusal{Status: http.StatusForbidden, Reason: "access_token"}
	}
	now := time.Now()
	if now.Sub(v.entry.claims.IssuedAt) < m.cfg.Tokens.RenewAfter && v.entry.claims.Provisional == c.Provisional {
		return Token{v.entry.token, v.entry.claims.ExpiresAt}, nil
	}
	next, err := m.issuer.extend(r, v, now)
	if errors.Is(err, ErrSessionEnded) {
		return Token{}, err
	} else if err != nil {
		return Token{}, storeDown(err)
	}
	token, next, err := m.issuer.issue(r.Context(), next)
	if err != nil {
		return Token{}, err
	}
	m.issuer.remember(v, token, next)
	m.emit(r, Event{Outcome: Renewed, UserID: next.UserID, SessionID: next.SessionID})
	return Token{token, next.ExpiresAt}, nil
}

// touch notes that a bearer was here, at most once in RenewAfter: it moves their
// session's end and the user's SeenAt, as a renewal does. The response carries no
// token, since the client does not expect one.
func (is *issuer) touch(r *http.Request, v *visit, now time.Time) {
	e := v.entry
	renewed := e.renewed.Load()
	if renewed == 0 || now.Sub(time.Unix(0, renewed)) < is.cfg.Tokens.RenewAfter ||
		is.health.isDown(now) || !e.renewing.CompareAndSwap(false, true) {
		return
	}
	defer e.renewing.Store(false)
	switch _, err := is.extend(r, v, now); {
	case err == nil:
		e.renewed.Store(now.UnixNano())
	case errors.Is(err, ErrNotFound):
		// Lost since the last look; the next one tells what that means.
	case errors.Is(err, ErrSessionEnded):
		is.verifier.over(e)
		v.become(sessionEnded, "session_ended")
	default:
		// Fails open: the token they have is still good.
		is.emit(r, Event{Outcome: Failed, Reason: "renewal", UserID: e.claims.UserID, SessionID: e.claims.SessionID, Err: err})
	}
}
