package walkin

import (
	"errors"
	"net/http"
	"time"
)

// RequireUser rejects requests without a user with 401. Anonymous and permanent users
// pass. Browsers are redirected to Config.Paths.SignIn when it is set.
func (m *Middleware) RequireUser() func(http.Handler) http.Handler {
	return m.guard(func(Claims) error { return nil })
}

// RequirePermanent lets permanent users through. An anonymous user gets 403 and a
// request without a user 401, as [Refusal.ServeHTTP] says. API clients get a problem
// document. Browsers are redirected to Config.Paths.Upgrade when it is set, with the
// way back in return_to.
//
// As every guard, it refuses with 403 an unsafe request that another site may have
// sent, see Config.CrossOrigin.
//
// On an unsafe request the claims are as fresh as the store: [Middleware.Handler]
// looked before the guard. On a safe one they may be Config.Sessions.RecheckAfter old.
func (m *Middleware) RequirePermanent() func(http.Handler) http.Handler {
	return m.guard(func(c Claims) error {
		if c.Anonymous {
			return m.admission.anonymous()
		}
		return nil
	})
}

// RequireRecent lets permanent users through whose last proof is not older than the
// time given. It is for what must not be done from a browser that a user left open.
// Others get 403 and are redirected to Config.Paths.SignIn when it is set; a sign-in to
// the same account is the proof. Anonymous users and requests without a user are
// refused as by RequirePermanent.
func (m *Middleware) RequireRecent(within time.Duration) func(http.Handler) http.Handler {
	return m.guard(func(c Claims) error {
		switch {
		case c.Anonymous:
			return m.admission.anonymous()
		case time.Since(c.ProvenAt) > within:
			refusal := notRecent()
			refusal.Page = m.cfg.Paths.SignIn
			return refusal
		}
		return nil
	})
}

// Require lets a visitor through for whom rule returns nil. The rule is the app's own,
// such as "anonymous users see what was posted today". It is called only for requests
// with a user; others are refused with 401. An error refuses with 403, or as it says
// when it is a *[Refusal]. Its text is reported to OnEvent and not shown to the
// visitor.
func (m *Middleware) Require(rule func(Claims) error) func(http.Handler) http.Handler {
	return m.guard(func(c Claims) error {
		err := rule(c)
		if _, ok := errors.AsType[*Refusal](err); err == nil || ok {
			return err
		}
		return &Refusal{Status: http.StatusForbidden, Reason: ReasonRule, Err: err}
	})
}

func (m *Middleware) guard(rule func(Claims) error) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := m.check(r, rule); err != nil {
				m.Refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// check is the decision of a guard, without the answer. It fails closed: a request that
// did not pass Handler carries no claims, and counts as one without a user.
func (m *Middleware) check(r *http.Request, rule func(Claims) error) error {
	v := visitFrom(r.Context())
	c, ok := FromContext(r.Context())
	switch {
	case ok && v.home != nil && !isSafe(r):
		if refusal := m.admission.writeRefusal(v, r); refusal != nil {
			return refusal
		}
		fallthrough
	case ok:
		return rule(c)
	}
	refusal := &Refusal{Status: http.StatusUnauthorized, Reason: ReasonNoUser, Page: m.cfg.Paths.SignIn}
	if v != nil && v.status == conflicting {
		return m.admission.twoUsers()
	} else if v != nil && m.admission.noCookie(v, r) != nil {
		return m.admission.noCookie(v, r)
	} else if v != nil && v.status == suspended {
		return refusalOf(v.more().err)
	} else if v != nil && v.status == hasAccount {
		refusal = signInAgain(refusal.Page)
	} else if v != nil && v.reason() != "" {
		refusal.Reason = v.reason()
	}
	if refusal.Page == "" {
		refusal.Page = m.cfg.Paths.Upgrade
	}
	return refusal
}
