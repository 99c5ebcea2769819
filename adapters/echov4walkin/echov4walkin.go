// Package echov4walkin puts walkin into echo v4, as echowalkin does into v5: [Handler]
// on the site, guards on routes and groups, [Claims] in handlers, and walkin's forms
// with [WrapHandler].
//
//	e := echo.New()
//	e.Use(middleware.RequestLogger(), middleware.Recover(), echov4walkin.Handler(wk))
//	e.POST("/notes", addNote)
//	e.POST("/publish", publish, echov4walkin.RequirePermanent(wk))
//	e.Any("/sign-up", echov4walkin.WrapHandler(wk.UpgradeHandler(passwords, page)))
//
// It does what echo.WrapMiddleware does and three things more. The response stays
// echo's own, with its status, size and hooks. walkin's writer goes below it, only when
// there is a cookie to set. That writer is gone again when a handler panics, so that no
// error page carries the cookie of a user whose creation was rolled back. And an error
// page that echo writes after all middleware is kept out of caches when it carries a
// cookie.
//
// walkin answers a visitor who is refused, as under net/http. To answer with echo's
// HTTPErrorHandler instead, see [OnRefuse].
package echov4walkin

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/internal/bridge"
	"github.com/walkin-go/walkin/store"
)

// Handler is walkin's Handler for echo. Use it before all other middleware. The
// exception is middleware that has echo's error handler answer before Handler sees the
// error, as RequestLogger does: from there an error of [Ensure] would be a 500.
//
// Handlers return the errors of [Ensure] and [Continue], and a *walkin.Refusal of their
// own. Handler answers with them, as the guards do. All other errors are echo's.
func Handler(m *walkin.Middleware) echo.MiddlewareFunc {
	wrap := WrapMiddleware(m.Handler)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return wrap(func(c echo.Context) error {
			err := next(c)
			if !isRefusal(err) || c.Response().Committed {
				return err
			}
			w := bridge.New(c.Response())
			m.Refuse(w, c.Request(), err)
			return refused(w)
		})
	}
}

// RequireUser is walkin's guard for echo: it stops the chain for requests without a
// user.
func RequireUser(m *walkin.Middleware) echo.MiddlewareFunc { return WrapMiddleware(m.RequireUser()) }

// RequirePermanent stops the chain for all but permanent users.
func RequirePermanent(m *walkin.Middleware) echo.MiddlewareFunc {
	return WrapMiddleware(m.RequirePermanent())
}

// RequireRecent stops the chain for all but permanent users who proved who they are
// within the given time.
func RequireRecent(m *walkin.Middleware, within time.Duration) echo.MiddlewareFunc {
	return WrapMiddleware(m.RequireRecent(within))
}

// RequireRenderedFor stops the chain for a post of a page that was shown to another
// user.
func RequireRenderedFor(m *walkin.Middleware) echo.MiddlewareFunc {
	return WrapMiddleware(m.RequireRenderedFor())
}

// Require stops the chain for all users for whom rule returns an error.
func Require(m *walkin.Middleware, rule func(walkin.Claims) error) echo.MiddlewareFunc {
	return WrapMiddleware(m.Require(rule))
}

// Claims returns the claims of the visitor, or false for a request without a user. Code
// that knows nothing of echo finds them in c.Request().Context().
func Claims(c echo.Context) (walkin.Claims, bool) { return walkin.FromContext(c.Request().Context()) }

// Routes lists the routes of a site, for walkintest.Matrix.
func Routes(e *echo.Echo) (all []string) {
	for _, r := range e.Routes() {
		if r.Method != echo.RouteNotFound {
			all = append(all, r.Method+" "+r.Path)
		}
	}
	return all
}

// Ensure is walkin's Ensure. Return its error: [Handler] answers with it.
func Ensure(m *walkin.Middleware, c echo.Context) (walkin.Claims, error) {
	return m.Ensure(c.Response(), c.Request())
}

// Continue is walkin's Continue. Return its error: [Handler] answers with it.
func Continue(m *walkin.Middleware, c echo.Context, p walkin.Proof) (walkin.Outcome, error) {
	return m.Continue(c.Response(), c.Request(), p)
}

// OnRefuse is for walkin.Config.OnRefuse: it leaves refusals to the app's
// HTTPErrorHandler. The middleware that refused returns an *echo.HTTPError with the
// refusal's status and message. errors.As finds the *walkin.Refusal in it: use its
// Page, or call its ServeHTTP for walkin's own answer. Where a handler of walkin's was
// not mounted with this package, walkin answers.
func OnRefuse(w http.ResponseWriter, r *http.Request, refusal *walkin.Refusal) {
	bridge.OnRefuse(w, r, refusal)
}

// WrapHandler is echo.WrapHandler for the handlers of walkin, such as UpgradeHandler.
// It also returns their refusals to [OnRefuse].
func WrapHandler(h http.Handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		w := bridge.New(c.Response())
		h.ServeHTTP(w, c.Request())
		return refused(w)
	}
}

// WrapMiddleware makes an echo middleware of one of walkin's for net/http. It works for
// LoadAndSave, and for any middleware that calls the next handler or answers itself.
func WrapMiddleware(mw func(http.Handler) http.Handler) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			response := c.Response()
			between, wrapped := bridge.New(response), false
			serve := func(w http.ResponseWriter, r *http.Request) {
				c.SetRequest(r)
				if w == http.ResponseWriter(between) {
					err = next(c)
					return
				}
				wrapped = true
				below := response.Writer
				response.Writer, between.ResponseWriter = w, below
				// Also after a panic: middleware outside that recovers must not send
				// the cookie of a user whose creation is about to be rolled back.
				defer func() { response.Writer = below }()
				if err = next(c); !response.Committed {
					between.Pause()
				}
			}
			mw(http.HandlerFunc(serve)).ServeHTTP(between, c.Request())
			switch {
			case !wrapped:
			case between.Refusal() != nil:
				response.Committed, response.Size = false, 0 // what echo takes for sent was dropped
			case between.Late():
				response.Writer = between
			}
			if between.Refusal() != nil {
				return refused(between)
			}
			return err
		}
	}
}

// refused returns the refusal that OnRefuse left to the app, or nil.
func refused(w *bridge.Writer) error {
	refusal := w.Refusal()
	if refusal == nil {
		return nil
	}
	return &echo.HTTPError{Code: refusal.Status, Message: refusal.Message, Internal: refusal}
}

// isRefusal reports whether err is a refusal of walkin's that has not been answered
// yet. An *echo.HTTPError is the app's to answer.
func isRefusal(err error) bool {
	if _, ok := errors.AsType[*echo.HTTPError](err); ok {
		return false
	}
	_, ok := errors.AsType[*walkin.Refusal](err)
	return ok || errors.Is(err, store.ErrIdentityTaken)
}
