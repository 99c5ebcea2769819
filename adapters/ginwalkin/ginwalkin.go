// Package ginwalkin puts walkin into gin: [Handler] on the engine, guards on
// routes and groups, [Claims] in handlers, and walkin's forms with [WrapH].
//
//	r := gin.New()
//	r.Use(ginwalkin.Handler(wk), gin.Logger(), gin.Recovery())
//	r.POST("/notes", addNote)
//	r.POST("/publish", ginwalkin.RequirePermanent(wk), publish)
//	r.Any("/sign-up", ginwalkin.WrapH(wk.UpgradeHandler(passwords, page)))
//
// gin's own gin.WrapH works for a handler of walkin's too. What gin has no helper for
// is a middleware. c.Writer stays gin's own unless there is a cookie to set, and counts
// status and size in any case. walkin does not see gin's redirects for a trailing
// slash: they run no middleware.
//
// walkin answers a visitor who is refused, as under net/http, and aborts the chain. To
// answer in the app's own way, see [OnRefuse].
package ginwalkin

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/internal/bridge"
	"github.com/walkin-go/walkin/internal/request"
)

// Handler is walkin's Handler for gin. Use it before middleware that compresses or
// caches. Middleware that renders c.Errors may stand before it. An answer given there
// is kept out of caches, too, when it carries a cookie.
func Handler(m *walkin.Middleware) gin.HandlerFunc { return Wrap(m.Handler) }

// RequireUser is walkin's guard for gin: it aborts the chain for requests without a
// user.
func RequireUser(m *walkin.Middleware) gin.HandlerFunc { return Wrap(m.RequireUser()) }

// RequirePermanent aborts the chain for all but permanent users.
func RequirePermanent(m *walkin.Middleware) gin.HandlerFunc { return Wrap(m.RequirePermanent()) }

// RequireRecent aborts the chain for all but permanent users who proved who they are
// within the given time.
func RequireRecent(m *walkin.Middleware, within time.Duration) gin.HandlerFunc {
	return Wrap(m.RequireRecent(within))
}

// RequireRenderedFor aborts the chain for a post of a page that was shown to another
// user.
func RequireRenderedFor(m *walkin.Middleware) gin.HandlerFunc { return Wrap(m.RequireRenderedFor()) }

// Require aborts the chain for all users for whom rule returns an error.
func Require(m *walkin.Middleware, rule func(walkin.Claims) error) gin.HandlerFunc {
	return Wrap(m.Require(rule))
}

// Claims returns the claims of the visitor, or false for a request without a user. Code
// that knows nothing of gin finds them in c.Request.Context(). c itself carries them
// only with gin's Engine.ContextWithFallback.
func Claims(c *gin.Context) (walkin.Claims, bool) { return walkin.FromContext(c.Request.Context()) }

// Ensure is walkin's Ensure. Its error is for [Refuse].
func Ensure(m *walkin.Middleware, c *gin.Context) (walkin.Claims, error) {
	return m.Ensure(c.Writer, c.Request)
}

// Continue is walkin's Continue. Its error is for [Refuse].
func Continue(m *walkin.Middleware, c *gin.Context, p walkin.Proof) (walkin.Outcome, error) {
	return m.Continue(c.Writer, c.Request, p)
}

// Routes lists the routes of an engine, for walkintest.Matrix.
func Routes(e *gin.Engine) (all []string) {
	for _, r := range e.Routes() {
		all = append(all, r.Method+" "+r.Path)
	}
	return all
}

// Refuse answers as the guards do, and aborts the chain. err is an error of Ensure or
// Continue, or a *walkin.Refusal of the app's own.
func Refuse(m *walkin.Middleware, c *gin.Context, err error) {
	w := bridge.New(c.Writer)
	m.Refuse(w, c.Request, err)
	abort(c, w)
}

// OnRefuse is for walkin.Config.OnRefuse: it leaves refusals to the app's own error
// handling. It aborts the chain with the *walkin.Refusal in c.Errors and its status in
// c.Writer, and writes nothing. A middleware used before [Handler] writes the page, or
// calls the refusal's ServeHTTP for walkin's page. Without such a middleware the
// visitor gets the status alone. Where a handler of walkin's was not mounted with this
// package, walkin answers.
func OnRefuse(w http.ResponseWriter, r *http.Request, refusal *walkin.Refusal) {
	bridge.OnRefuse(w, r, refusal)
}

// WrapH is gin.WrapH for the handlers of walkin, such as UpgradeHandler. It also aborts
// the chain when they refuse, even where they show their form again or answer with
// another error. It cannot tell a redirect that refuses from one that does not. What
// such a handler guards belongs behind [Wrap].
func WrapH(h http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		w := bridge.New(c.Writer)
		h.ServeHTTP(w, c.Request)
		if w.Refusal() != nil || c.Writer.Status() >= http.StatusBadRequest {
			abort(c, w)
		}
	}
}

// Wrap makes a gin middleware of one of walkin's for net/http. It works for
// LoadAndSave, and for any middleware that calls the next handler or answers itself.
func Wrap(mw func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		if w, ok := c.Request.Context().Value(writerKey{}).(*writer); ok && w.of == c && !c.GetBool(inFront) {
			// gin's HandleContext begins again, without what was put into c, but the
			// answer is still the one that the cookie is for.
			c.Set(inFront, true)
			c.Writer = w
		}
		own, between, passed := c.Writer, bridge.New(c.Writer), false
		next := func(w http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r
			if w == http.ResponseWriter(between) {
				c.Next()
				return
			}
			out, panics := &writer{own, w, between, c}, true
			c.Writer = out
			c.Set(inFront, true)
			inside := request.With(context.WithValue(r.Context(), writerKey{}, out), r)
			c.Request = inside
			defer func() {
				request.GiveBack(r, inside)
				if out.of = nil; c.Writer == gin.ResponseWriter(out) || panics {
					// Also after a panic: middleware outside that recovers must not
					// send the cookie of a user whose creation is about to be rolled
					// back.
					c.Writer = own
				}
				// A writer that compresses stays in front, as it does without walkin.
				// gin's own 404 is written through it, and it has set a header.
			}()
			c.Next()
			panics = false
			if !own.Written() {
				between.Pause()
				w.WriteHeader(own.Status()) // sends nothing yet: gin's writer only notes it
			}
		}
		mw(http.HandlerFunc(next)).ServeHTTP(between, c.Request)
		switch {
		case between.Refusal() != nil || !passed:
			abort(c, between)
		case between.Late() && c.Writer == own:
			c.Writer = &writer{own, between, between, c}
		}
	}
}

// writerKey is the key of the writer in front, in the request's context. inFront is the
// key in c that says whether the writer is there. It is a string, since other keys came
// with gin 1.11.
type writerKey struct{}

const inFront = "walkin: the writer in front"

// abort ends the chain after a refusal. walkin has answered, unless the answer is left
// to the app.
func abort(c *gin.Context, w *bridge.Writer) {
	if refusal := w.Refusal(); refusal != nil {
		_ = c.Error(refusal)
		c.Status(refusal.Status)
	}
	c.Abort()
}

// A writer is gin's own, with walkin in front of what goes out. gin decides when that
// is: until then a status is only noted, and may change.
type writer struct {
	gin.ResponseWriter
	walkin  http.ResponseWriter // ends in ResponseWriter
	between *bridge.Writer
	of      *gin.Context // while its handlers run
}

func (w *writer) WriteHeaderNow() {
	if !w.Written() {
		w.walkin.WriteHeader(w.Status())
		if w.between.Refusal() == nil { // else that has become the answer
			w.ResponseWriter.WriteHeaderNow()
		}
	}
}

func (w *writer) Write(b []byte) (int, error) {
	w.WriteHeaderNow()
	return w.walkin.Write(b)
}

func (w *writer) WriteString(s string) (int, error) {
	w.WriteHeaderNow()
	return io.WriteString(w.walkin, s)
}

func (w *writer) Flush() {
	if w.WriteHeaderNow(); w.between.Refusal() == nil {
		w.ResponseWriter.Flush()
	}
}

// Hijack is walkin's. It saves session data before the connection is gone, and knows
// that no cookie goes out.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.walkin).Hijack()
}

// Unwrap lets http.ResponseController find deadlines and full duplex.
func (w *writer) Unwrap() http.ResponseWriter { return w.walkin }
