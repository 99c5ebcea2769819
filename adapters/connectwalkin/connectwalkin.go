// Package connectwalkin guards services made with Connect, which are handlers of
// net/http. walkin.Middleware.Handler around the mux gives them their claims. This
// package adds a guard for each procedure, and refusals that the clients of Connect,
// gRPC and gRPC-Web understand.
//
//	wk, err := walkin.New(walkin.Config{…, OnRefuse: connectwalkin.OnRefuse(nil)})
//	…
//	guard := connectwalkin.Guard{Middleware: wk, Level: func(procedure string) connectwalkin.Level {
//		if procedure == notesconnect.NotesPublishProcedure {
//			return connectwalkin.Permanent
//		}
//		return connectwalkin.User
//	}}
//	mux.Handle(notesconnect.NewNotesHandler(notes, connect.WithInterceptors(guard)))
//	http.ListenAndServe(addr, wk.Handler(mux))
//
// Procedures find the claims with walkin.FromContext. A browser on the site sends its
// cookie. An API client sends a bearer token of walkin.Middleware.AccessToken. Calls
// are posts, and so unsafe requests. The exception are procedures without side effects
// that the client sends as GET.
package connectwalkin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"connectrpc.com/connect"
	"github.com/walkin-go/walkin"
)

// A Level is who may call a procedure.
type Level uint8

// Anybody is the zero Level. User is every user, anonymous or permanent. Recent are
// permanent users who proved who they are within Guard.Within.
const (
	Anybody Level = iota
	User
	Permanent
	Recent
)

// A Guard is a connect.Interceptor for handlers. It does not change the calls of
// clients. Do not change its fields once it is in use.
type Guard struct {
	Middleware *walkin.Middleware // required

	// Level says who may call a procedure. It gets the name, such as
	// "/notes.Notes/Add". If nil, everyone may call everything.
	Level func(procedure string) Level

	// Within is the maximum age of the proof of a user at the level Recent. If zero, no
	// proof is recent enough.
	Within time.Duration
}

var _ connect.Interceptor = Guard{}

// WrapUnary rejects calls without a user with CodeUnauthenticated, and calls of an
// anonymous user with CodePermissionDenied where the level asks for more.
func (g Guard) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if !request.Spec().IsClient {
			if err := g.check(ctx, request.Spec().Procedure); err != nil {
				return nil, err
			}
		}
		return next(ctx, request)
	}
}

// WrapStreamingClient changes nothing.
func (g Guard) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler rejects calls as WrapUnary does, before the stream begins. A
// session that ends later does not end the stream.
func (g Guard) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := g.check(ctx, conn.Spec().Procedure); err != nil {
			return err
		}
		return next(ctx, conn)
	}
}

// check asks walkin's own guards, which also report to the operator.
func (g Guard) check(ctx context.Context, procedure string) error {
	level := Anybody
	if g.Level != nil {
		level = g.Level(procedure)
	}
	var guard func(http.Handler) http.Handler
	switch level {
	case Anybody:
		return nil
	case User:
		guard = g.Middleware.RequireUser()
	case Recent:
		guard = g.Middleware.RequireRecent(g.Within)
	default: // also one that is none of the constants: fails closed
		guard = g.Middleware.RequirePermanent()
	}
	var v verdict
	r := (&http.Request{Method: http.MethodPost, URL: &url.URL{Path: procedure}, Header: http.Header{}, Body: http.NoBody}).WithContext(ctx)
	guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { v.passed = true })).ServeHTTP(&v, r)
	if v.passed {
		return nil
	}
	return refused(v.refusal)
}

// A verdict is the answer of walkin's guards. What else comes with an HTTP answer is
// dropped: the answer is Connect's.
type verdict struct {
	passed  bool
	refusal *walkin.Refusal
}

// Refuse takes walkin's refusals.
func (v *verdict) Refuse(refusal *walkin.Refusal) { v.refusal = refusal }

func (v *verdict) Header() http.Header         { return http.Header{} }
func (v *verdict) WriteHeader(int)             {}
func (v *verdict) Write(b []byte) (int, error) { return len(b), nil }

// OnRefuse is for walkin.Config.OnRefuse. It answers what walkin.Middleware.Handler
// itself rejects, as when the store is down. Connect's clients get the refusal in their
// own protocol. All others are answered by next, or by walkin.Refusal.ServeHTTP if next
// is nil.
func OnRefuse(next func(http.ResponseWriter, *http.Request, *walkin.Refusal)) func(http.ResponseWriter, *http.Request, *walkin.Refusal) {
	// Without Connect's header, a form of the site would look like a message of
	// Connect's.
	writer := connect.NewErrorWriter(connect.WithRequireConnectProtocolHeader())
	if next == nil {
		next = func(w http.ResponseWriter, r *http.Request, e *walkin.Refusal) { e.ServeHTTP(w, r) }
	}
	return func(w http.ResponseWriter, r *http.Request, e *walkin.Refusal) {
		if r.URL == nil || !writer.IsSupported(r) {
			next(w, r, e)
			return
		}
		_ = writer.Write(w, r, refused(e)) // the only error is a client that went away
	}
}

// refused says no more than HTTP would: the reason is for the operator's events.
func refused(e *walkin.Refusal) *connect.Error {
	code, message := connect.CodeInternal, "something went wrong"
	if e == nil {
		return connect.NewError(code, errors.New(message))
	}
	switch e.Status {
	case http.StatusUnauthorized:
		code, message = connect.CodeUnauthenticated, "please sign in first"
	case http.StatusForbidden:
		code, message = connect.CodePermissionDenied, "you may not do this"
	case http.StatusTooManyRequests:
		code, message = connect.CodeResourceExhausted, "too many new users from this network"
	case http.StatusServiceUnavailable:
		code, message = connect.CodeUnavailable, "this does not work at the moment"
	}
	if e.Message != "" {
		message = e.Message
	}
	return connect.NewError(code, errors.New(message))
}
