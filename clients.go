package walkin

import (
	"errors"
	"net/http"
	"time"

	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/store"
)

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
			m.Refuse(w, r, &Refusal{Status: http.StatusMethodNotAllowed, Reason: ReasonMethod})
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
		return Token{}, &Refusal{Status: http.StatusUnauthorized, Reason: ReasonBearerNeeded}
	case v.lost || v.unsure:
		return Token{}, storeDown(nil) // nothing of theirs is final, and nothing is issued
	case v.entry.access:
		return Token{}, &Refusal{Status: http.StatusForbidden, Reason: ReasonAccessToken}
	}
	now := time.Now()
	if now.Sub(v.entry.claims.IssuedAt) < m.cfg.Tokens.RenewAfter && v.entry.claims.Provisional == c.Provisional {
		return Token{v.entry.token, v.entry.claims.ExpiresAt}, nil
	}
	next, err := m.issuer.extend(r, v, now)
	if errors.Is(err, store.ErrSessionEnded) {
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
