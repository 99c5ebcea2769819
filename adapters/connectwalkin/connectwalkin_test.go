package connectwalkin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/connectwalkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	unary    = "/notes.Notes/Who"
	stream   = "/notes.Notes/Watch" // by the server
	upload   = "/notes.Notes/Add"   // a stream by the client
	talk     = "/notes.Notes/Talk"  // by both
	anything = unary + stream + upload + talk
)

// A testStore can be down.
type testStore struct {
	*memstore.Store
	down atomic.Bool
}

func (s *testStore) LookupSession(ctx context.Context, user, session uuid.UUID) (store.Session, error) {
	if s.down.Load() {
		return store.Session{}, errors.New("the store is down")
	}
	return s.Store.LookupSession(ctx, user, session)
}

// A world is a site with a service in it, on a server.
type world struct {
	t      *testing.T
	store  *testStore
	server *httptest.Server
	site   http.Handler
	ran    atomic.Int32
	told   atomic.Pointer[walkin.Event]
	token  string
}

func newWorld(t *testing.T, level connectwalkin.Level, change ...func(*walkin.Config)) *world {
	t.Helper()
	w := &world{t: t, store: &testStore{Store: memstore.New()}}
	cfg := walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: w.store,
		OnRefuse: connectwalkin.OnRefuse(nil), NewUsers: walkin.NewUsers{
			Limit: limit.Limit{Count: 3, Per: time.Hour},
			IsBot: func(r *http.Request) bool { return r.UserAgent() != walkintest.UserAgent }, // API clients get no user
		},
		OnEvent: func(_ context.Context, e walkin.Event) { w.told.Store(&e) },
	}
	for _, c := range change {
		c(&cfg)
	}
	wk, err := walkin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	guard := connect.WithInterceptors(connectwalkin.Guard{Middleware: wk, Level: func(procedure string) connectwalkin.Level {
		if !strings.Contains(anything, procedure) {
			t.Errorf("asked about %q", procedure)
		}
		return level
	}})
	who := func(ctx context.Context) *wrapperspb.StringValue {
		w.ran.Add(1)
		c, _ := walkin.FromContext(ctx)
		return wrapperspb.String(c.UserID.String())
	}
	mux := http.NewServeMux()
	mux.Handle(unary, connect.NewUnaryHandler(unary, func(ctx context.Context, _ *connect.Request[emptypb.Empty]) (*connect.Response[wrapperspb.StringValue], error) {
		return connect.NewResponse(who(ctx)), nil
	}, guard))
	mux.Handle(stream, connect.NewServerStreamHandler(stream, func(ctx context.Context, _ *connect.Request[emptypb.Empty], s *connect.ServerStream[wrapperspb.StringValue]) error {
		return s.Send(who(ctx))
	}, guard))
	mux.Handle(upload, connect.NewClientStreamHandler(upload, func(ctx context.Context, s *connect.ClientStream[emptypb.Empty]) (*connect.Response[wrapperspb.StringValue], error) {
		for s.Receive() {
		}
		return connect.NewResponse(who(ctx)), s.Err()
	}, guard))
	mux.Handle(talk, connect.NewBidiStreamHandler(talk, func(ctx context.Context, s *connect.BidiStream[emptypb.Empty, wrapperspb.StringValue]) error {
		for {
			if _, err := s.Receive(); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := s.Send(who(ctx)); err != nil {
				return err
			}
		}
	}, guard))
	mux.HandleFunc("/{$}", func(_ http.ResponseWriter, r *http.Request) {
		w.token, _ = wk.AccessToken(r.Context(), "walkin", time.Minute)
	})
	mux.HandleFunc("POST /prove", func(rw http.ResponseWriter, r *http.Request) {
		if _, err := wk.Continue(rw, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"}); err != nil {
			t.Error(err)
		}
	})
	w.site = wk.Handler(mux)
	w.server = httptest.NewUnstartedServer(w.site)
	w.server.EnableHTTP2 = true // for gRPC
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	return w
}

// call makes a call of each kind by each protocol, which must all end alike, and
// returns how.
func (w *world) call(token string) (code connect.Code, who string) {
	w.t.Helper()
	first := true
	for _, option := range []connect.ClientOption{connect.WithHTTPGet(), connect.WithGRPC(), connect.WithGRPCWeb(), connect.WithProtoJSON()} {
		for _, procedure := range []string{unary, stream, upload, talk} {
			before := w.ran.Load()
			got, err := w.callOne(procedure, token, option)
			var now connect.Code
			if err != nil {
				now = connect.CodeOf(err)
				if joined, ok := errors.AsType[*connect.Error](err); ok {
					now = joined.Code()
				}
				if w.ran.Load() != before {
					w.t.Errorf("%s: refused with %v, and the procedure ran", procedure, now)
				}
			}
			if !first && (now != code || got != who) {
				w.t.Errorf("%s: got %v of %s, by another protocol %v of %s", procedure, now, got, code, who)
			}
			code, who, first = now, got, false
		}
	}
	return code, who
}

func (w *world) callOne(procedure, token string, option connect.ClientOption) (who string, err error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	client := connect.NewClient[emptypb.Empty, wrapperspb.StringValue](w.server.Client(), w.server.URL+procedure, option)
	request := connect.NewRequest(&emptypb.Empty{})
	headers := func(h http.Header) {
		if token != "" {
			h.Set("Authorization", "Bearer "+token)
		}
	}
	headers(request.Header())
	switch procedure {
	case unary:
		response, err := client.CallUnary(ctx, request)
		if err != nil {
			return "", err
		}
		return response.Msg.Value, nil
	case stream:
		s, err := client.CallServerStream(ctx, request)
		if err != nil {
			return "", err
		}
		if s.Receive() {
			who = s.Msg().Value
		}
		return who, errors.Join(s.Err(), s.Close())
	case upload:
		s := client.CallClientStream(ctx)
		headers(s.RequestHeader())
		_ = s.Send(request.Msg) // refused or not, CloseAndReceive says
		response, err := s.CloseAndReceive()
		if err != nil {
			return "", err
		}
		return response.Msg.Value, nil
	}
	s := client.CallBidiStream(ctx)
	headers(s.RequestHeader())
	defer s.CloseResponse()
	for range 2 { // the second when the first has been answered
		_ = s.Send(request.Msg) // refused or not, Receive says
		message, err := s.Receive()
		if err != nil {
			return "", err
		}
		who = message.Value
	}
	return who, s.CloseRequest()
}

// TestGuard is the table of who may call what.
func TestGuard(t *testing.T) {
	const unauthenticated, denied = connect.CodeUnauthenticated, connect.CodePermissionDenied
	for _, tt := range []struct {
		level                        connectwalkin.Level
		nobody, anonymous, permanent connect.Code // zero: let through
	}{
		{connectwalkin.Anybody, 0, 0, 0},
		{connectwalkin.User, unauthenticated, 0, 0},
		{connectwalkin.Permanent, unauthenticated, denied, 0},
		{99, unauthenticated, denied, 0},
	} {
		w := newWorld(t, tt.level)
		check := func(name string, want connect.Code, token string) {
			t.Helper()
			if got, _ := w.call(token); got != want {
				t.Errorf("level %d, %s: got %v, want %v", tt.level, name, got, want)
			}
			if e := w.told.Load(); want != 0 && (e == nil || e.Outcome != walkin.Refused) {
				t.Errorf("level %d, %s: the owner is told %v", tt.level, name, e)
			}
		}
		check("nobody", tt.nobody, "")
		check("garbage", tt.nobody, "x.y.z")
		c := walkintest.NewClient(t, w.site)
		c.Visit("/")
		c.Post("/", nil)
		check("an anonymous user", tt.anonymous, w.token)
		c.Post("/prove", url.Values{"name": {"ann"}})
		c.Visit("/")
		check("a permanent user", tt.permanent, w.token)
		w.store.down.Store(true)
		check("the store is down", connect.CodeUnavailable, w.token)
	}
}

// TestBrowser holds that a page of the site calls by its cookie, and that the first
// call stores its visitor.
func TestBrowser(t *testing.T) {
	w := newWorld(t, connectwalkin.User)
	for i := range 5 {
		c := walkintest.NewClient(t, w.site).From("203.0.113.7:1")
		c.Visit("/")
		r := c.NewRequest(http.MethodPost, unary, http.NoBody)
		r.Header.Set("Content-Type", "application/proto")
		r.Header.Set("Connect-Protocol-Version", "1")
		got := c.Do(r)
		want := http.StatusOK
		if i >= 3 {
			want = http.StatusTooManyRequests
		}
		if got.StatusCode != want || want != http.StatusOK && got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("visitor %d: got %d %q, want %d", i, got.StatusCode, got.Header.Get("Content-Type"), want)
		}
	}
	c := walkintest.NewClient(t, w.site).From("203.0.113.7:1")
	c.Visit("/")
	if r := c.Post("/", nil); r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("a form of the site: got %d %q, want walkin's own page", r.StatusCode, r.Header.Get("Content-Type"))
	}
}

// TestFirstCall holds that a visitor whose first unsafe request is a stream gets their
// user with it, while the stream goes on both ways.
func TestFirstCall(t *testing.T) {
	w := newWorld(t, connectwalkin.User)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client := connect.NewClient[emptypb.Empty, wrapperspb.StringValue](w.server.Client(), w.server.URL+talk)
	s := client.CallBidiStream(ctx)
	s.RequestHeader().Set("User-Agent", walkintest.UserAgent)
	s.RequestHeader().Set("Sec-Fetch-Site", "same-origin") // as a browser does, and no other client
	defer s.CloseResponse()
	var who [2]string
	for i := range who {
		if err := s.Send(&emptypb.Empty{}); err != nil {
			t.Fatal(err)
		}
		message, err := s.Receive()
		if err != nil {
			t.Fatal(err)
		}
		who[i] = message.Value
	}
	if who[0] != who[1] || who[0] == uuid.Nil.String() {
		t.Errorf("got users %q", who)
	}
	if h := s.ResponseHeader(); !strings.HasPrefix(h.Get("Set-Cookie"), "__Host-walkin-anon=") || h.Get("Cache-Control") != "private, no-store" {
		t.Errorf("got %v, want the cookie, kept out of caches", h)
	}
	if err := s.CloseRequest(); err != nil {
		t.Error(err)
	}
}

// TestOnRefuseOfTheApp holds that the guard answers in Connect's protocol, whatever
// page the site shows to those it refuses, and that walkin's own pages do not get
// there.
func TestOnRefuseOfTheApp(t *testing.T) {
	w := newWorld(t, connectwalkin.Permanent, func(c *walkin.Config) {
		c.OnRefuse = connectwalkin.OnRefuse(func(w http.ResponseWriter, r *http.Request, _ *walkin.Refusal) {
			http.Redirect(w, r, "/sign-up", http.StatusSeeOther)
		})
	})
	c := walkintest.NewClient(t, w.site)
	c.Visit("/")
	c.Post("/", nil)
	if got, _ := w.call(""); got != connect.CodeUnauthenticated {
		t.Errorf("nobody: got %v", got)
	}
	if got, _ := w.call(w.token); got != connect.CodePermissionDenied {
		t.Errorf("an anonymous user: got %v", got)
	}
	_, err := w.callOne(unary, w.token, connect.WithGRPC())
	if e, ok := errors.AsType[*connect.Error](err); !ok || e.Message() != "An account is needed for this." || len(e.Details()) > 0 {
		t.Errorf("got %v", err)
	}
	w.store.down.Store(true)
	_, err = w.callOne(unary, w.token, connect.WithProtoJSON())
	if e, ok := errors.AsType[*connect.Error](err); !ok || e.Code() != connect.CodeUnavailable || e.Meta().Get("Retry-After") != "5" || strings.Contains(e.Message(), "store") {
		t.Errorf("the store is down: got %v", err)
	}
}
