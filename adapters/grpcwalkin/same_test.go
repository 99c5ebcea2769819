package grpcwalkin_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walkin-go/walkin/adapters/grpcwalkin"
	"github.com/walkin-go/walkin/walkintest"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
)

// A plain service does what the name in a request says, and tells in its trailer what
// it saw of the call.
type plain struct {
	health.UnimplementedHealthServer
}

func saw(ctx context.Context) metadata.MD {
	md, _ := metadata.FromIncomingContext(ctx)
	var lines []string
	for name, values := range md {
		lines = append(lines, fmt.Sprint(name, values))
	}
	slices.Sort(lines)
	from, _ := peer.FromContext(ctx)
	_, hurried := ctx.Deadline()
	method, _ := grpc.Method(ctx)
	return metadata.Pairs("saw", strings.Join(lines, " | "), "peer", fmt.Sprint(from.Addr), "deadline", fmt.Sprint(hurried), "method", method, "data-bin", "\x00\xff")
}

func ended(name string) error {
	switch {
	case strings.Contains(name, "detailed"):
		s, err := status.New(codes.FailedPrecondition, "not yet: ä\n%").WithDetails(&errdetails.ErrorInfo{Reason: "r", Domain: "d"})
		if err != nil {
			return err
		}
		return s.Err()
	case strings.Contains(name, "plain error"):
		return io.ErrUnexpectedEOF
	case strings.Contains(name, "unauthenticated"):
		return status.Error(codes.Unauthenticated, "the app's own")
	}
	return nil
}

func (plain) Check(ctx context.Context, r *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	if strings.Contains(r.Service, "header") {
		if err := grpc.SendHeader(ctx, metadata.Pairs("sent", "early")); err != nil {
			return nil, err
		}
	}
	if err := grpc.SetTrailer(ctx, saw(ctx)); err != nil {
		return nil, err
	}
	if err := ended(r.Service); err != nil {
		return nil, err
	}
	return &health.HealthCheckResponse{Status: health.HealthCheckResponse_SERVING}, nil
}

func (plain) Watch(r *health.HealthCheckRequest, stream grpc.ServerStreamingServer[health.HealthCheckResponse]) error {
	if strings.Contains(r.Service, "header") {
		if err := stream.SetHeader(metadata.Pairs("set", "before")); err != nil {
			return err
		}
		if err := stream.SendHeader(metadata.Pairs("sent", "early")); err != nil {
			return err
		}
	}
	stream.SetTrailer(saw(stream.Context()))
	for range 3 {
		if err := stream.Send(&health.HealthCheckResponse{Status: health.HealthCheckResponse_SERVING}); err != nil {
			return err
		}
	}
	return ended(r.Service)
}

// seen is all that a client sees of a call.
type seen struct {
	messages        string
	code            codes.Code
	status          string
	header, trailer string
}

func text(md metadata.MD) string {
	var lines []string
	for name, values := range md {
		lines = append(lines, fmt.Sprintf("%s=%q", name, values))
	}
	slices.Sort(lines)
	return strings.Join(lines, " | ")
}

func serve(t *testing.T, options ...grpc.ServerOption) health.HealthClient {
	t.Helper()
	server := grpc.NewServer(options...)
	health.RegisterHealthServer(server, plain{})
	listener := bufconn.Listen(1 << 16)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///bufnet", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return health.NewHealthClient(conn)
}

func look(ctx context.Context, client health.HealthClient, name string, streams bool, options ...grpc.CallOption) (s seen) {
	var header, trailer metadata.MD
	request := &health.HealthCheckRequest{Service: name}
	add := func(m proto.Message) { data, _ := proto.Marshal(m); s.messages += fmt.Sprintf("%x ", data) }
	var err error
	if streams {
		var stream grpc.ServerStreamingClient[health.HealthCheckResponse]
		stream, err = client.Watch(ctx, request, options...)
		for err == nil {
			var m *health.HealthCheckResponse
			if m, err = stream.Recv(); err == nil {
				add(m)
			}
		}
		header, _ = stream.Header()
		trailer = stream.Trailer()
		if err == io.EOF {
			err = nil
		}
	} else {
		var m *health.HealthCheckResponse
		m, err = client.Check(ctx, request, append(options, grpc.Header(&header), grpc.Trailer(&trailer))...)
		if err == nil {
			add(m)
		}
	}
	told := status.Convert(err)
	s.code, s.status, s.header, s.trailer = told.Code(), told.Proto().String(), text(header), text(trailer)
	return s
}

// TestSame serves each call with and without the guard. Where everybody may call, who
// calls, the handler and the client see the same: messages, status and its details,
// header, trailer, metadata, peer and deadline.
func TestSame(t *testing.T) {
	w := newWorld(t, grpcwalkin.Anybody)
	b := walkintest.NewClient(t, w.site)
	b.Visit("/")
	b.Post("/", nil)
	b.Visit("/")
	anonymous := w.token
	b.Post("/prove", url.Values{"name": {"ann"}})
	b.Visit("/")
	permanent := w.token
	guard := grpcwalkin.Guard{Middleware: w.wk}
	with := serve(t, grpc.UnaryInterceptor(guard.Unary), grpc.StreamInterceptor(guard.Stream))
	without := serve(t)
	tokens := map[string][]string{
		"none": nil, "anonymous": {"Bearer " + anonymous}, "permanent": {"Bearer " + permanent}, "in lower case": {"bearer " + permanent}, "broken": {"Bearer " + permanent + "x"},
		"garbage": {"Bearer x"}, "another's JWT": {"Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.AAAA"}, "basic": {"Basic YTpi"}, "empty": {""}, "bearer alone": {"Bearer"},
	}
	n := 0
	for by, values := range tokens {
		for _, name := range []string{"", "header", "detailed", "header, detailed", "plain error", "unauthenticated", strings.Repeat("large", 20_000)} {
			for _, streams := range []bool{false, true} {
				for more, options := range map[string][]grpc.CallOption{"": nil, "packed": {grpc.UseCompressor(gzip.Name)}, "waiting": {grpc.WaitForReady(true)}} {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", "7", "x-data-bin", "\x00\x01", "cookie", "a=b", "origin", "https://evil.example", "sec-fetch-site", "cross-site")
					for _, value := range values {
						ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
					}
					want, got := look(ctx, without, name, streams, options...), look(ctx, with, name, streams, options...)
					cancel()
					if n++; got != want {
						t.Errorf("%s, %.20q, a stream: %v %s:\ngot  %+v\nwant %+v", by, name, streams, more, got, want)
					}
				}
			}
		}
	}
	if n < 400 {
		t.Errorf("only %d calls were made", n)
	}
	// The one difference, which the package's comment names.
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+permanent, "authorization", "Bearer "+anonymous)
	if got := look(ctx, with, "", false); got.code != codes.Unauthenticated {
		t.Errorf("two tokens: got %v", got.code)
	}
}
