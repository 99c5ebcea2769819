package grpcwalkin_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/lestrrat-go/jwx/v2/jwt"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/grpcwalkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// A testStore that can be down, and counts look-ups.
type testStore struct {
	*memstore.Store
	down  atomic.Bool
	looks atomic.Int32
}

func (s *testStore) LookupSession(ctx context.Context, user, session uuid.UUID) (store.Session, error) {
	s.looks.Add(1)
	if s.down.Load() {
		return store.Session{}, errors.New("the store is down")
	}
	return s.Store.LookupSession(ctx, user, session)
}

// A service answers who called in place of its health; it is gRPC's own, so that
// no code has to be generated.
type service struct {
	health.UnimplementedHealthServer
	ran *atomic.Int32
	who chan walkin.Claims
}

func (s service) tell(ctx context.Context) {
	s.ran.Add(1)
	c, _ := walkin.FromContext(ctx)
	s.who <- c
}

func (s service) Check(ctx context.Context, _ *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	s.tell(ctx)
	return &health.HealthCheckResponse{}, nil
}

func (s service) Watch(_ *health.HealthCheckRequest, stream grpc.ServerStreamingServer[health.HealthCheckResponse]) error {
	s.tell(stream.Context())
	return stream.Send(&health.HealthCheckResponse{})
}

// A world is a site and a service behind it.
type world struct {
	t      *testing.T
	store  *testStore
	site   http.Handler
	wk     *walkin.Middleware // the service's
	client health.HealthClient
	ran    atomic.Int32
	who    chan walkin.Claims
	token  string
	told   atomic.Pointer[walkin.Event]
}

func newWorld(t *testing.T, level grpcwalkin.Level) *world {
	t.Helper()
	w := &world{t: t, store: &testStore{Store: memstore.New()}, who: make(chan walkin.Claims, 1)}
	make := func(audience string) *walkin.Middleware {
		wk, err := walkin.New(walkin.Config{
			Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: w.store, Tokens: walkin.Tokens{Audience: audience},
			OnEvent: func(_ context.Context, e walkin.Event) { w.told.Store(&e) },
			NewUsers: walkin.NewUsers{
				// As for a site that serves API clients, and whose own answers need its
				// own requests.
				IsBot: func(*http.Request) bool { return false },
			},
			OnRefuse: func(http.ResponseWriter, *http.Request, *walkin.Refusal) { t.Error("OnRefuse was asked") },
		})
		if err != nil {
			t.Fatal(err)
		}
		return wk
	}
	site := make("")
	w.wk = make("notes")
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) {
		w.token, _ = site.AccessToken(r.Context(), "notes", time.Minute)
	})
	mux.HandleFunc("POST /prove", func(rw http.ResponseWriter, r *http.Request) {
		if _, err := site.Continue(rw, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"}); err != nil {
			t.Error(err)
		}
	})
	mux.Handle("POST /out", site.SignOutHandler())
	w.site = site.Handler(mux)

	guard := grpcwalkin.Guard{Middleware: w.wk, Level: func(method string) grpcwalkin.Level {
		if method != health.Health_Check_FullMethodName && method != health.Health_Watch_FullMethodName {
			t.Errorf("asked about %q", method)
		}
		return level
	}}
	server := grpc.NewServer(grpc.UnaryInterceptor(guard.Unary), grpc.StreamInterceptor(guard.Stream))
	health.RegisterHealthServer(server, service{ran: &w.ran, who: w.who})
	listener := bufconn.Listen(1 << 16)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///bufnet", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	w.client = health.NewHealthClient(conn)
	return w
}

// call makes a unary call and a stream, which must end alike, and returns how, and
// who called.
func (w *world) call(values ...string) (codes.Code, walkin.Claims) {
	w.t.Helper()
	var got [2]codes.Code
	var who [2]walkin.Claims
	for i := range got {
		ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
		defer cancel()
		for _, value := range values {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
		}
		before := w.ran.Load()
		var err error
		if i == 0 {
			_, err = w.client.Check(ctx, &health.HealthCheckRequest{})
		} else {
			var stream grpc.ServerStreamingClient[health.HealthCheckResponse]
			if stream, err = w.client.Watch(ctx, &health.HealthCheckRequest{}); err == nil {
				_, err = stream.Recv()
			}
		}
		if got[i] = status.Code(err); got[i] == codes.OK {
			who[i] = <-w.who
		} else if w.ran.Load() != before {
			w.t.Errorf("refused with %v, and the handler ran", got[i])
		}
	}
	if got[0] != got[1] || who[0].UserID != who[1].UserID {
		w.t.Errorf("a call: %v of %v, a stream: %v of %v", got[0], who[0].UserID, got[1], who[1].UserID)
	}
	return got[0], who[0]
}

// TestGuard is the table of who may call what.
func TestGuard(t *testing.T) {
	for _, tt := range []struct {
		level                                 grpcwalkin.Level
		nobody, garbage, anonymous, permanent codes.Code
	}{
		{grpcwalkin.Anybody, codes.OK, codes.OK, codes.OK, codes.OK},
		{grpcwalkin.User, codes.Unauthenticated, codes.Unauthenticated, codes.OK, codes.OK},
		{grpcwalkin.Permanent, codes.Unauthenticated, codes.Unauthenticated, codes.PermissionDenied, codes.OK},
		{99, codes.Unauthenticated, codes.Unauthenticated, codes.PermissionDenied, codes.OK},
	} {
		w := newWorld(t, tt.level)
		check := func(name string, want codes.Code, user bool, values ...string) {
			t.Helper()
			got, who := w.call(values...)
			if got != want || want == codes.OK && (who.UserID != uuid.Nil) != user {
				t.Errorf("level %d, %s: got %v of %v, want %v", tt.level, name, got, who.UserID, want)
			}
			if e := w.told.Load(); want != codes.OK && (e == nil || e.Outcome != walkin.Refused) {
				t.Errorf("level %d, %s: the owner is told %v", tt.level, name, e)
			}
		}
		check("nobody", tt.nobody, false)
		check("another scheme", tt.garbage, false, "Basic YTpi")
		check("garbage", tt.garbage, false, "Bearer x.y.z")
		c := walkintest.NewClient(t, w.site)
		c.Visit("/")
		c.Post("/", nil)
		check("an anonymous user", tt.anonymous, true, "Bearer "+w.token)
		c.Post("/prove", url.Values{"name": {"ann"}})
		c.Visit("/")
		check("a permanent user", tt.permanent, true, "bearer "+w.token)
		if got, _ := w.call("Bearer "+w.token, "Bearer "+w.token); got != codes.Unauthenticated {
			t.Errorf("two tokens: got %v", got)
		}
		if tt.level == grpcwalkin.Anybody {
			continue
		}
		w.store.down.Store(true)
		check("the store is down", codes.Unavailable, true, "Bearer "+w.token)
		w.store.down.Store(false)
		c.Post("/out", nil)
		check("signed out", tt.garbage, false, "Bearer "+w.token)
	}
}

// TestNoUsers holds that a service creates no users.
func TestNoUsers(t *testing.T) {
	w := newWorld(t, grpcwalkin.Anybody)
	for _, values := range [][]string{nil, {"Bearer x.y.z"}, {"Bearer "}, {"bearer"}, {" Bearer x"}, {"Basic YTpi"}, {""}} {
		if _, who := w.call(values...); who != (walkin.Claims{}) {
			t.Errorf("%q: got %+v", values, who)
		}
		if e := w.told.Load(); e != nil && (e.Outcome == walkin.Minted || e.Outcome == walkin.Persisted) {
			t.Errorf("%q: got %v", values, e.Outcome)
		}
	}
}

// TestAddressHeader holds that a new user counts at the address that a trusted proxy
// names, in whatever header. No other metadata has the effect of a browser's headers.
func TestAddressHeader(t *testing.T) {
	secret := []walkin.Key{{Secret: []byte("a secret that is only of this test")}}
	shared := memstore.New()
	site, err := walkin.New(walkin.Config{Keys: secret, Store: shared})
	if err != nil {
		t.Fatal(err)
	}
	var token string
	c := walkintest.NewClient(t, site.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		token, _ = site.AccessToken(r.Context(), "notes", time.Minute)
	})))
	c.Visit("/")

	var wk *walkin.Middleware
	var from atomic.Value
	wk, err = walkin.New(walkin.Config{
		Keys: secret, Store: shared, Tokens: walkin.Tokens{Audience: "notes"},
		Proxies: walkin.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Header: "X-Real-IP"},
		NewUsers: walkin.NewUsers{
			LimitOf: func(r *http.Request) limit.Limit {
				from.Store(wk.ClientAddr(r).String())
				return limit.Limit{}
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	guard := grpcwalkin.Guard{Middleware: wk, Level: func(string) grpcwalkin.Level { return grpcwalkin.User }}
	server := grpc.NewServer(grpc.UnaryInterceptor(guard.Unary))
	who := make(chan walkin.Claims, 1)
	health.RegisterHealthServer(server, service{ran: new(atomic.Int32), who: who})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token, "x-real-ip", "198.51.100.7",
		"origin", "https://evil.example", "sec-fetch-site", "cross-site", "cookie", "__Host-walkin-user=x", "cookie", "__Host-walkin=x")
	if _, err := health.NewHealthClient(conn).Check(ctx, &health.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	if c := <-who; c.Provisional || c.UserID == uuid.Nil {
		t.Errorf("got %+v, want a user with a row", c)
	}
	if got := from.Load(); got != "198.51.100.7" {
		t.Errorf("the row counts for %v, want 198.51.100.7", got)
	}
}

// TestRefusals holds that a caller is told when to try again, and nothing of why.
func TestRefusals(t *testing.T) {
	w := newWorld(t, grpcwalkin.User)
	c := walkintest.NewClient(t, w.site)
	c.Visit("/")
	c.Post("/", nil)
	for name, tt := range map[string]struct {
		down  bool
		token string
		want  string
		retry time.Duration
	}{
		"garbage":        {false, "x.y.z", "a token is needed for this", 0},
		"the store down": {true, w.token, "this does not work at the moment", 5 * time.Second},
	} {
		w.store.down.Store(tt.down)
		_, err := w.client.Check(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+tt.token), &health.HealthCheckRequest{})
		got := status.Convert(err)
		if got.Message() != tt.want {
			t.Errorf("%s: got %q, want %q", name, got.Message(), tt.want)
		}
		var retry time.Duration
		for _, detail := range got.Details() {
			info, ok := detail.(*errdetails.RetryInfo)
			if !ok {
				t.Errorf("%s: got a %T", name, detail)
			}
			retry = info.GetRetryDelay().AsDuration()
		}
		if retry != tt.retry {
			t.Errorf("%s: try again after %v, want %v", name, retry, tt.retry)
		}
	}
}

// TestReads holds that a call declared to have no side effects is verified as a safe
// request, and everything else as an unsafe one.
func TestReads(t *testing.T) {
	noSideEffects := &descriptorpb.MethodOptions{IdempotencyLevel: descriptorpb.MethodOptions_NO_SIDE_EFFECTS.Enum()}
	method := func(name string, options *descriptorpb.MethodOptions) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{Name: &name, Options: options,
			InputType: new(".google.protobuf.Empty"), OutputType: new(".google.protobuf.Empty")}
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("walkin_test.proto"), Package: new("walkin.test"), Dependency: []string{emptypb.File_google_protobuf_empty_proto.Path()},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("Notes"), Method: []*descriptorpb.MethodDescriptorProto{
			method("List", noSideEffects), method("Add", nil),
			method("Set", &descriptorpb.MethodOptions{IdempotencyLevel: descriptorpb.MethodOptions_IDEMPOTENT.Enum()}),
		}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := protoregistry.GlobalFiles.FindFileByPath(file.Path()); err != nil { // not with -count
		if err := protoregistry.GlobalFiles.RegisterFile(file); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, grpcwalkin.User)
	c := walkintest.NewClient(t, w.site)
	call := func(method string) (codes.Code, walkin.Claims) {
		t.Helper()
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+w.token))
		var who walkin.Claims
		_, err := grpcwalkin.Guard{Middleware: w.wk}.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(ctx context.Context, _ any) (any, error) {
			who, _ = walkin.FromContext(ctx)
			return nil, nil
		})
		return status.Code(err), who
	}
	c.Visit("/")
	if code, who := call("/walkin.test.Notes/List"); code != codes.OK || !who.Provisional {
		t.Errorf("a reader: got %v, %+v, want no row", code, who)
	}
	if code, who := call("/walkin.test.Notes/Add"); code != codes.OK || who.Provisional || who.UserID == uuid.Nil {
		t.Errorf("an act: got %v, %+v, want a row", code, who)
	}
	c.Post("/prove", url.Values{"name": {"ann"}})
	c.Visit("/")
	call("/walkin.test.Notes/List")
	for _, tt := range []struct {
		method string
		looks  int32
		down   codes.Code
	}{
		{"/walkin.test.Notes/List", 0, codes.OK},
		{"/walkin.test.Notes/Add", 1, codes.Unavailable},
		{"/walkin.test.Notes/Set", 1, codes.Unavailable},
		{"/walkin.test.Notes/Unknown", 1, codes.Unavailable},
		{"/walkin.test.Notes", 1, codes.Unavailable},
		{"/google.protobuf.Empty", 1, codes.Unavailable},
	} {
		before := w.store.looks.Load()
		if code, _ := call(tt.method); code != codes.OK {
			t.Errorf("%q: got %v", tt.method, code)
		}
		if got := w.store.looks.Load() - before; got != tt.looks {
			t.Errorf("%q: got %d look-ups, want %d", tt.method, got, tt.looks)
		}
		w.store.down.Store(true)
		if code, _ := call(tt.method); code != tt.down {
			t.Errorf("%q, with the store down: got %v, want %v", tt.method, code, tt.down)
		}
		w.store.down.Store(false)
	}
}

// TestWithoutStore holds what the package says of a service that has neither the site's
// store nor its keys. What is published is enough to verify its tokens. Its audience
// keeps the site's other tokens out.
func TestWithoutStore(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	site, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Private: key}}, Store: memstore.New()})
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	var user uuid.UUID
	c := walkintest.NewClient(t, site.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		claims, _ := walkin.FromContext(r.Context())
		user = claims.UserID
		for _, audience := range []string{"notes", "mail", "walkin"} {
			if tokens[audience], err = site.AccessToken(r.Context(), audience, time.Minute); err != nil {
				t.Error(err)
			}
		}
	})))
	c.Visit("/")
	tokens["a cookie"] = c.Cookie("__Host-walkin-anon")

	published, err := io.ReadAll(walkintest.NewClient(t, site.JWKSHandler()).Fetch("/jwks.json").Body)
	if err != nil {
		t.Fatal(err)
	}
	set, err := jwk.Parse(published)
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range tokens {
		got, err := jwt.ParseString(token, jwt.WithKeySet(set), jwt.WithIssuer("walkin"), jwt.WithAudience("notes"))
		if (err == nil) != (name == "notes") {
			t.Errorf("a token for %s: got %v", name, err)
		}
		if err == nil && got.Subject() != user.String() {
			t.Errorf("got %s, want %s", got.Subject(), user)
		}
		message, err := jws.ParseString(token)
		if err != nil {
			t.Fatal(err)
		}
		if got := message.Signatures()[0].ProtectedHeaders().Type(); (got == "at+jwt") != (name != "a cookie") {
			t.Errorf("a token for %s: got typ %q", name, got)
		}
	}
}
