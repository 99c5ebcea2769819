// Package grpcwalkin tells gRPC services behind a site who calls. It verifies the
// bearer token of a call as walkin does.
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
// The token comes from walkin.Middleware.AccessToken, for the audience that this
// service's walkin.Config names. It is in the metadata "authorization". The service
// creates no users. A call without a token, or with one that is not ours, is a call
// without a user. A call with two is refused. Otherwise a call is as it would be
// without the guard: metadata, messages, status, header and trailer.
//
// A call is an unsafe request: its session is looked up each time, and a provisional
// user is stored. A .proto file can declare that a method has no side effects (option
// idempotency_level = NO_SIDE_EFFECTS). Such a method only reads, as GET does: the
// session may have been looked up as long ago as walkin.Config.Sessions.RecheckAfter.
//
// That needs the keys and the store of the site. A service that has neither verifies
// tokens on its own, with any library for JWTs and the keys of
// walkin.Middleware.JWKSHandler. It has to check alg, typ ("at+jwt"), iss, aud and exp.
// It accepts a token until it expires.
package grpcwalkin

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/walkin-go/walkin"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// A Level is who may call a method.
type Level uint8

// Anybody is the zero Level. User is every user, anonymous or permanent. Recent are
// permanent users who proved who they are within Guard.Within.
const (
	Anybody Level = iota
	User
	Permanent
	Recent
)

// A Guard is two interceptors for a server. Do not change its fields once it is in use.
type Guard struct {
	Middleware *walkin.Middleware // required

	// Level says who may call a method. It gets the full name, such as
	// "/notes.Notes/Add". If nil, everyone may call everything.
	Level func(fullMethod string) Level

	// Within is the maximum age of the proof of a user at the level Recent. If zero, no
	// proof is recent enough.
	Within time.Duration
}

// Unary is a grpc.UnaryServerInterceptor. Refused calls fail with Unauthenticated
// without a user, with PermissionDenied for an anonymous user, with ResourceExhausted
// where the new-user limit is reached, and with Unavailable when the store is down. The
// last two say when to try again (google.rpc.RetryInfo).
func (g Guard) Unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := g.check(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handler(ctx, request)
}

// Stream is a grpc.StreamServerInterceptor. It refuses as Unary does, before the stream
// begins. A session that ends later does not end the stream.
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

// check has walkin's own middleware and guards verify the call, as an HTTP request. It
// returns the context that they pass on.
func (g Guard) check(ctx context.Context, method string) (context.Context, error) {
	if !strings.HasPrefix(method, "/") {
		// Fails closed: grpc before 1.79.3 serves such a call (CVE-2026-33186), and
		// Level knows the method by its full name only.
		return nil, status.Error(codes.Unimplemented, "malformed method name")
	}
	md, _ := metadata.FromIncomingContext(ctx)
	r := (&http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: method}, Header: http.Header{}, Body: http.NoBody,
		Proto: "HTTP/2.0", ProtoMajor: 2,
	}).WithContext(ctx)
	if onlyReads(method) {
		r.Method = http.MethodGet
	}
	// A proxy of walkin.Config.Proxies.Trusted may use any header, and the app reads
	// its own. Headers that only a browser sends are left out: never a cookie.
	for key, values := range md {
		switch name := http.CanonicalHeaderKey(key); {
		case strings.HasPrefix(key, ":"), strings.HasPrefix(name, "Sec-"):
		case name == "Authorization", name == "Cookie", name == "Origin", name == "Referer":
		default:
			r.Header[name] = values
		}
	}
	if from, ok := peer.FromContext(ctx); ok && from.Addr != nil {
		r.RemoteAddr = from.Addr.String()
	}
	var v verdict
	var h http.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { v.inside = r.Context() })
	switch g.level(method) {
	case Anybody:
	case User:
		h = g.Middleware.RequireUser()(h)
	case Recent:
		h = g.Middleware.RequireRecent(g.Within)(h)
	default: // also one that is none of the constants: fails closed
		h = g.Middleware.RequirePermanent()(h)
	}
	tokens := md.Get("authorization")
	if len(tokens) > 1 {
		return nil, status.Error(codes.Unauthenticated, "more than one token")
	}
	if len(tokens) == 1 {
		// Only a call with a bearer token goes through Handler. Handler would create a
		// user for any other post.
		if scheme, token, _ := strings.Cut(tokens[0], " "); strings.EqualFold(scheme, "bearer") {
			r.Header.Set("Authorization", "Bearer "+token)
			h = g.Middleware.Handler(h)
		}
	}
	h.ServeHTTP(&v, r)
	if v.inside == nil {
		return nil, v.err()
	}
	return v.inside, nil
}

func (g Guard) level(method string) Level {
	if g.Level == nil {
		return Anybody
	}
	return g.Level(method)
}

// onlyReads reports whether a method is declared to have no side effects. A method
// whose declaration is not known counts as a write.
func onlyReads(fullMethod string) bool {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(fullMethod, "/"), "/", "."))
	declared, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return false
	}
	options, _ := declared.Options().(*descriptorpb.MethodOptions)
	return options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
}

// A verdict is what walkin says about a call: the context to go on with, or a refusal.
// What else comes with an HTTP answer is dropped.
type verdict struct {
	inside  context.Context
	refusal *walkin.Refusal
}

// Refuse takes walkin's refusals.
func (v *verdict) Refuse(refusal *walkin.Refusal) { v.refusal = refusal }

func (v *verdict) Header() http.Header         { return http.Header{} }
func (v *verdict) WriteHeader(int)             {}
func (v *verdict) Write(b []byte) (int, error) { return len(b), nil }

// err says no more than HTTP would: the reason is for the operator's events.
func (v *verdict) err() error {
	code, text := codes.Internal, "something went wrong"
	if v.refusal == nil {
		return status.Error(code, text)
	}
	switch v.refusal.Status {
	case http.StatusUnauthorized:
		code, text = codes.Unauthenticated, "a token is needed for this"
	case http.StatusForbidden:
		code, text = codes.PermissionDenied, "an account is needed for this"
	case http.StatusTooManyRequests:
		code, text = codes.ResourceExhausted, "too many new users from this network"
	case http.StatusServiceUnavailable:
		code, text = codes.Unavailable, "this does not work at the moment"
	}
	s := status.New(code, text)
	if v.refusal.RetryAfter > 0 {
		if with, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(v.refusal.RetryAfter)}); err == nil {
			s = with
		}
	}
	return s.Err()
}
