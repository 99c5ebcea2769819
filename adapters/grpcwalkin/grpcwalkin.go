// Package grpcwalkin tells gRPC services behind a site who calls: it takes the
// bearer token of a call for what walkin takes it for.
//
//	guard := grpcwalkin.Guard{Middleware: wk, Level: func(method string) grpcwalkin.Level {
//		if method == notes.Notes_Publish_FullMethodName {
//			return grpcwalkin.Permanent
//		}
//		return grpcwalkin.User
//	}}
//	server := grpc.NewServer(grpc.UnaryInterceptor(guard.Unary), grpc.StreamInterceptor(guard.Stream))
//
// Handlers find the claims with walkin.FromContext.
//
// The token is one of walkin.Middleware.AccessToken, for the audience that this
// service's walkin.Config names, in the metadata "authorization". Nobody is given a
// user: a call without a token, or with one that is not ours, is nobody's.
//
// gRPC does not say which methods only read, so every call is an act: its session
// is looked up each time, and a provisional user becomes a row. It needs the store
// of the site. A service without it verifies tokens on its own, with any library
// for JWTs and the keys of walkin.Middleware.JWKSHandler; it then believes a
// token until it expires.
package grpcwalkin

import (
	"context"
	"net/http"
	"net/url"

	"github.com/walkin-go/walkin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// A Level is who may call a method.
type Level uint8

// Anybody is the zero Level. User is everybody who is somebody, anonymous or
// permanent.
const (
	Anybody Level = iota
	User
	Permanent
)

// A Guard is two interceptors for a server. Its fields do not change once it is in
// use.
type Guard struct {
	Middleware *walkin.Middleware // required

	// Level says who may call a method, by its full name, as "/notes.Notes/Add".
	// Nil lets anybody call everything.
	Level func(fullMethod string) Level
}

// Unary is a grpc.UnaryServerInterceptor. Refused calls fail with Unauthenticated
// for nobody, PermissionDenied for an anonymous user, ResourceExhausted for a
// row limit that was reached, and Unavailable when the store is down.
func (g Guard) Unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := g.check(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handler(ctx, request)
}

// Stream is a grpc.StreamServerInterceptor, and refuses as Unary does, before the
// stream begins. A session that ends later does not end the stream.
func (g Guard) Stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := g.check(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handler(server, streamOf{stream, ctx})
}

type streamOf struct {
	grpc.ServerStream
	ctx context.Context
}

func (s streamOf) Context() context.Context { return s.ctx }

// check lets walkin's own middleware and guards judge the call, as a request of
// HTTP, and returns the context that they pass on.
func (g Guard) check(ctx context.Context, method string) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	r := (&http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: method}, Header: http.Header{}, Body: http.NoBody,
		Proto: "HTTP/2.0", ProtoMajor: 2,
	}).WithContext(ctx)
	for name, key := range map[string]string{"Authorization": "authorization", "X-Forwarded-For": "x-forwarded-for", "Forwarded": "forwarded"} {
		if values := md.Get(key); len(values) > 0 {
			r.Header[name] = values
		}
	}
	if from, ok := peer.FromContext(ctx); ok && from.Addr != nil {
		r.RemoteAddr = from.Addr.String()
	}
	var inside context.Context
	var h http.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside = r.Context() })
	switch g.level(method) {
	case Anybody:
	case User:
		h = g.Middleware.RequireUser()(h)
	default: // also one that is none of the constants: fails closed
		h = g.Middleware.RequirePermanent()(h)
	}
	switch len(r.Header["Authorization"]) {
	case 0:
		// Not through Handler, which would make a user of whoever posts.
	case 1:
		h = g.Middleware.Handler(h)
	default:
		return nil, status.Error(codes.Unauthenticated, "more than one token")
	}
	w := answer{header: make(http.Header)}
	h.ServeHTTP(&w, r)
	if inside == nil {
		return nil, refusal(w.status)
	}
	return inside, nil
}

func (g Guard) level(method string) Level {
	if g.Level == nil {
		return Anybody
	}
	return g.Level(method)
}

// refusal says no more than HTTP would.
func refusal(httpStatus int) error {
	switch httpStatus {
	case http.StatusUnauthorized:
		return status.Error(codes.Unauthenticated, "a token is needed for this")
	case http.StatusForbidden:
		return status.Error(codes.PermissionDenied, "an account is needed for this")
	case http.StatusTooManyRequests:
		return status.Error(codes.ResourceExhausted, "too many new users from this network")
	case http.StatusServiceUnavailable:
		return status.Error(codes.Unavailable, "this does not work at the moment")
	}
	return status.Error(codes.Internal, "something went wrong")
}

// An answer is what a refusal is written to: only its status counts.
type answer struct {
	header http.Header
	status int
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return len(b), nil
}
