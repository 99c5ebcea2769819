package connectwalkin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/connectwalkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A plainCall is what a procedure of the plain service has of a call, whatever its kind.
type plainCall struct {
	name            string
	peer            connect.Peer
	method          string
	header          http.Header
	answer, trailer http.Header
}

// does is what the name in a call says. It tells in the trailer what it saw of the call.
func (c plainCall) does(ctx context.Context) error {
	var lines []string
	for name, values := range c.header {
		if !strings.HasSuffix(name, "-Timeout-Ms") && name != "Grpc-Timeout" && name != "Host" { // of each call and server
			lines = append(lines, fmt.Sprint(name, values))
		}
	}
	slices.Sort(lines)
	_, hurried := ctx.Deadline()
	host, _, _ := strings.Cut(c.peer.Addr, ":")
	c.answer.Set("X-Answer", "a header")
	c.trailer.Set("X-Saw", strings.ReplaceAll(strings.Join(lines, "|"), "\n", "|"))
	c.trailer.Set("X-Call", fmt.Sprint(host, c.peer.Protocol, c.peer.Query, c.method, hurried))
	c.trailer.Set("X-Data-Bin", connect.EncodeBinaryHeader([]byte{0, 255}))
	switch {
	case strings.Contains(c.name, "panic"):
		panic(http.ErrAbortHandler)
	case strings.Contains(c.name, "detailed"):
		err := connect.NewError(connect.CodeFailedPrecondition, errors.New("not yet: ä\n%"))
		err.Meta().Set("X-Error", "why")
		detail, failed := connect.NewErrorDetail(wrapperspb.String("r"))
		if failed != nil {
			return failed
		}
		err.AddDetail(detail)
		return err
	case strings.Contains(c.name, "plain error"):
		return io.ErrUnexpectedEOF
	case strings.Contains(c.name, "unauthenticated"):
		return connect.NewError(connect.CodeUnauthenticated, errors.New("the app's own"))
	}
	return nil
}

type text = wrapperspb.StringValue

// plainService answers calls of all kinds.
func plainService(options ...connect.HandlerOption) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(unary, connect.NewUnaryHandler(unary, func(ctx context.Context, r *connect.Request[text]) (*connect.Response[text], error) {
		answer := connect.NewResponse(wrapperspb.String(r.Msg.Value))
		err := plainCall{r.Msg.Value, r.Peer(), r.HTTPMethod(), r.Header(), answer.Header(), answer.Trailer()}.does(ctx)
		if err != nil {
			return nil, err
		}
		return answer, nil
	}, append(options, connect.WithIdempotency(connect.IdempotencyNoSideEffects))...))
	mux.Handle(stream, connect.NewServerStreamHandler(stream, func(ctx context.Context, r *connect.Request[text], s *connect.ServerStream[text]) error {
		c := plainCall{r.Msg.Value, r.Peer(), r.HTTPMethod(), r.Header(), s.ResponseHeader(), s.ResponseTrailer()}
		for i := range 3 {
			if err := s.Send(wrapperspb.String(fmt.Sprint(i, r.Msg.Value))); err != nil {
				return err
			}
		}
		return c.does(ctx)
	}, options...))
	mux.Handle(upload, connect.NewClientStreamHandler(upload, func(ctx context.Context, s *connect.ClientStream[text]) (*connect.Response[text], error) {
		var all strings.Builder
		for s.Receive() {
			all.WriteString(s.Msg().Value)
		}
		answer := connect.NewResponse(wrapperspb.String(all.String()))
		if err := errors.Join(s.Err(), plainCall{all.String(), s.Peer(), "", s.RequestHeader(), answer.Header(), answer.Trailer()}.does(ctx)); err != nil {
			return nil, err
		}
		return answer, nil
	}, options...))
	mux.Handle(talk, connect.NewBidiStreamHandler(talk, func(ctx context.Context, s *connect.BidiStream[text, text]) error {
		name := ""
		for {
			m, err := s.Receive()
			if errors.Is(err, io.EOF) {
				return plainCall{name, s.Peer(), "", s.RequestHeader(), s.ResponseHeader(), s.ResponseTrailer()}.does(ctx)
			}
			if err != nil {
				return err
			}
			name = m.Value
			if err := s.Send(m); err != nil {
				return err
			}
		}
	}, options...))
	return mux
}

// A wire sends requests and notes what comes back, byte by byte.
type wire struct {
	http.RoundTripper
	header http.Header

	mu     sync.Mutex
	answer *http.Response
	body   bytes.Buffer
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	maps.Copy(r.Header, w.header)
	answer, err := w.RoundTripper.RoundTrip(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.body.Reset()
	if w.answer = answer; err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(answer.Body, &w.body), answer.Body}
	}
	return answer, err
}

// saw returns what came back, without what the docs say differs.
func (w *wire) saw() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.answer == nil {
		return "nothing"
	}
	h := w.answer.Header.Clone()
	h.Del("Date")
	if slices.ContainsFunc(h["Set-Cookie"], func(line string) bool { return strings.HasPrefix(line, "__Host-walkin") }) {
		if h.Get("Cache-Control") != "private, no-store" || !slices.Contains(h["Vary"], "Cookie") {
			return fmt.Sprint("a cookie that caches may keep: ", h)
		}
		h.Del("Set-Cookie")
		h.Del("Cache-Control")
		if h["Vary"] = slices.DeleteFunc(h["Vary"], func(name string) bool { return name == "Cookie" }); len(h["Vary"]) == 0 {
			h.Del("Vary")
		}
	}
	return fmt.Sprintf("%s %s %v %v %v\n%q", w.answer.Status, w.answer.Proto, h, w.answer.Trailer, w.answer.Uncompressed, w.body.String())
}

// outcome tells how a call ended, as the client sees it.
func outcome(err error, name string) string {
	e, ok := errors.AsType[*connect.Error](err)
	switch {
	case err == nil:
		return "fine"
	case !ok:
		return err.Error()
	case name == "panic":
		return e.Code().String() // its text has the number of a stream
	}
	meta := e.Meta().Clone()
	for _, name := range []string{"Date", "Set-Cookie", "Cache-Control", "Vary"} { // the wire has them
		meta.Del(name)
	}
	var details []string
	for _, d := range e.Details() {
		details = append(details, fmt.Sprintf("%s %x", d.Type(), d.Bytes()))
	}
	return fmt.Sprint(e.Code(), e.Message(), details, meta, connect.IsWireError(err))
}

// look makes a call and returns all that can be seen of it.
func look(ctx context.Context, w *wire, base, procedure, name string, options ...connect.ClientOption) string {
	client := connect.NewClient[text, text](&http.Client{Transport: w}, base+procedure, options...)
	var all []string
	got := func(m *text) { all = append(all, m.Value) }
	header := func(h http.Header) {
		h.Set("X-Request-Id", "7")
		h.Set("X-Data-Bin", connect.EncodeBinaryHeader([]byte{0, 1}))
	}
	var trailer http.Header
	var err error
	switch procedure {
	case unary:
		r := connect.NewRequest(wrapperspb.String(name))
		header(r.Header())
		var answer *connect.Response[text]
		if answer, err = client.CallUnary(ctx, r); err == nil {
			got(answer.Msg)
			trailer = answer.Trailer()
		}
	case stream:
		r := connect.NewRequest(wrapperspb.String(name))
		header(r.Header())
		var s *connect.ServerStreamForClient[text]
		if s, err = client.CallServerStream(ctx, r); err == nil {
			for s.Receive() {
				got(s.Msg())
			}
			err, trailer = s.Err(), s.ResponseTrailer()
			_ = s.Close() // Err has said it
		}
	case upload:
		s := client.CallClientStream(ctx)
		header(s.RequestHeader())
		_ = s.Send(wrapperspb.String(name[:len(name)/2])) // CloseAndReceive says what went wrong
		_ = s.Send(wrapperspb.String(name[len(name)/2:]))
		var answer *connect.Response[text]
		if answer, err = s.CloseAndReceive(); err == nil {
			got(answer.Msg)
			trailer = answer.Trailer()
		}
	case talk:
		s := client.CallBidiStream(ctx)
		header(s.RequestHeader())
		for range 2 {
			_ = s.Send(wrapperspb.String(name)) // Receive says what went wrong
			m, failed := s.Receive()
			if err = failed; err != nil {
				break
			}
			got(m)
		}
		_ = s.CloseRequest()
		if err == nil {
			if _, err = s.Receive(); errors.Is(err, io.EOF) {
				err = nil
			}
		}
		trailer = s.ResponseTrailer()
		_ = s.CloseResponse()
	}
	return fmt.Sprintf("%q\n%s\n%v\n%s", all, outcome(err, name), trailer, w.saw())
}

// TestSame makes calls of each kind, by each protocol, with walkin and the guard around
// the service and without. Where everybody may call, the procedure and the client see
// the same: messages, byte by byte, errors and their details, header, trailer, encoding,
// peer and deadline. The cookie is the one difference, and what keeps it out of caches.
func TestSame(t *testing.T) {
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: memstore.New(),
		NewUsers: walkin.NewUsers{Limit: limit.Limit{Count: -1}}})
	if err != nil {
		t.Fatal(err)
	}
	token := ""
	pages := http.NewServeMux()
	pages.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) {
		token, _ = wk.AccessToken(r.Context(), "walkin", time.Hour)
	})
	pages.HandleFunc("POST /prove", func(w http.ResponseWriter, r *http.Request) {
		if _, err := wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"}); err != nil {
			t.Error(err)
		}
	})
	b := walkintest.NewClient(t, wk.Handler(pages))
	b.Visit("/")
	b.Post("/", nil)
	stored := b.Cookie("__Host-walkin-anon")
	b.Post("/prove", url.Values{"name": {"ann"}})
	b.Visit("/")
	permanent, bearer := b.Cookie("__Host-walkin"), token
	b.Visit("/")
	other := walkintest.NewClient(t, wk.Handler(pages))
	other.Visit("/")

	serve := func(h http.Handler, version string) *httptest.Server {
		server := httptest.NewUnstartedServer(h)
		server.EnableHTTP2 = version == "HTTP/2.0"
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		t.Cleanup(server.Close)
		return server
	}
	guard := connectwalkin.Guard{Middleware: wk}

	browser := func(more ...string) http.Header {
		h := http.Header{"User-Agent": {walkintest.UserAgent}, "Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}}
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	visitors := map[string]http.Header{
		"a program":              nil,
		"a first visitor":        browser(),
		"returning, not stored":  browser("Cookie", "a=b; __Host-walkin-anon="+other.Cookie("__Host-walkin-anon")),
		"with an account":        browser("Cookie", "__Host-walkin="+permanent),
		"a dead cookie":          browser("Cookie", "__Host-walkin-anon="+stored),
		"garbage":                browser("Cookie", "__Host-walkin=x.y.z"),
		"from another site":      browser("Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"),
		"a bearer":               {"Authorization": {"Bearer " + bearer}},
		"a dead bearer":          {"Authorization": {"Bearer " + stored}},
		"a bearer and a browser": browser("Authorization", "Bearer "+bearer, "Cookie", "__Host-walkin-anon="+stored),
		"another's bearer":       {"Authorization": {"Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.AAAA"}},
		"a password":             {"Authorization": {"Basic YTpi"}},
	}
	protocols := map[string][]connect.ClientOption{
		"Connect": nil, "JSON": {connect.WithProtoJSON()}, "GET": {connect.WithHTTPGet(), connect.WithIdempotency(connect.IdempotencyNoSideEffects)}, "gRPC": {connect.WithGRPC()}, "gRPC-Web": {connect.WithGRPCWeb()},
		"packed": {connect.WithSendGzip()}, "gRPC, packed": {connect.WithGRPC(), connect.WithSendGzip()}, "unpacked": {connect.WithAcceptCompression("gzip", nil, nil)},
	}
	n := 0
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		with, without := serve(wk.Handler(plainService(connect.WithInterceptors(guard))), version), serve(plainService(), version)
		one, two := with.Client().Transport, without.Client().Transport
		for who, header := range visitors {
			for by, options := range protocols {
				for _, procedure := range []string{unary, stream, upload, talk} {
					if version == "HTTP/1.1" && (procedure == talk || strings.HasPrefix(by, "gRPC")) || by == "GET" && procedure != unary {
						continue
					}
					for _, name := range []string{"a name", "detailed", "plain error", "unauthenticated", "panic", strings.Repeat("large", 20_000)} {
						ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
						got := look(ctx, &wire{RoundTripper: one, header: header}, with.URL, procedure, name, options...)
						want := look(ctx, &wire{RoundTripper: two, header: header}, without.URL, procedure, name, options...)
						cancel()
						if n++; got != want || name == "a name" && !strings.Contains(got, "fine") {
							t.Errorf("%s, %s, %s, %s, %.20q: got\n%.2000s\nwant\n%.2000s", version, who, by, procedure, name, got, want)
						}
					}
				}
			}
		}
	}
	if n < 2000 {
		t.Errorf("only %d calls were made", n)
	}
}
