package bench_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
)

// cookieName is walkin's. All contenders read the same cookie under it, so that all
// serve the very same request.
const cookieName = "__Host-walkin-anon"

var algs = []string{"HS256", "EdDSA", "ES256", "RS256"}

// A key is what a contender signs and verifies with.
type key struct {
	alg     string
	secret  []byte
	private crypto.Signer
}

// sign returns what the algorithm signs with: the secret or the private key.
func (k key) sign() any {
	if k.private == nil {
		return k.secret
	}
	return k.private
}

// verify returns what the algorithm verifies with.
func (k key) verify() any {
	if k.private == nil {
		return k.secret
	}
	return k.private.Public()
}

var keys = sync.OnceValue(func() map[string]key {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails, see crypto/rand
	_, ed, err1 := ed25519.GenerateKey(rand.Reader)
	ec, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, err3 := rsa.GenerateKey(rand.Reader, 2048)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			panic(err)
		}
	}
	return map[string]key{
		"HS256": {alg: "HS256", secret: secret},
		"EdDSA": {alg: "EdDSA", private: ed},
		"ES256": {alg: "ES256", private: ec},
		"RS256": {alg: "RS256", private: rs},
	}
})

// quick is a store that knows no users and says so at once. The time that a database
// takes to answer is not measured here.
type quick struct{ *memstore.Store }

func (quick) LookupSession(context.Context, uuid.UUID, uuid.UUID) (store.Session, error) {
	return store.Session{}, store.ErrNotFound
}

func newWalkin(tb testing.TB, alg string, change ...func(*walkin.Config)) *walkin.Middleware {
	tb.Helper()
	k := keys()[alg]
	cfg := walkin.Config{Keys: []walkin.Key{{Secret: k.secret, Private: k.private}}, Store: quick{memstore.New()},
		NewUsers: walkin.NewUsers{Limit: limit.Limit{Count: -1}}} // all visitors come from one address here
	for _, f := range change {
		f(&cfg)
	}
	m, err := walkin.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func small(cfg *walkin.Config) { cfg.CacheSize = 1 }

// A sink is a ResponseWriter that costs nothing and allocates nothing.
type sink struct {
	header http.Header
	status int
}

func newSink() *sink { return &sink{header: make(http.Header, 8)} }

func (s *sink) reset() {
	s.status = 0
	if len(s.header) > 0 {
		clear(s.header)
	}
}

func (s *sink) Header() http.Header { return s.header }

func (s *sink) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
	}
}

func (s *sink) Write(b []byte) (int, error) {
	s.WriteHeader(http.StatusOK)
	return len(b), nil
}

// newRequest returns a request with the headers of a browser that opens a page.
func newRequest(cookie string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://app.example/", nil)
	for name, value := range map[string]string{
		"User-Agent":                "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
		"Accept":                    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
		"Accept-Language":           "en-US,en;q=0.5",
		"Accept-Encoding":           "gzip, deflate, br, zstd",
		"Sec-Fetch-Mode":            "navigate",
		"Sec-Fetch-Dest":            "document",
		"Sec-Fetch-Site":            "same-origin",
		"Sec-Fetch-User":            "?1",
		"Upgrade-Insecure-Requests": "1",
		"Priority":                  "u=0, i",
	} {
		r.Header.Set(name, value)
	}
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	return r
}

// asset turns a request for a page into one for a piece of it.
func asset(r *http.Request) *http.Request {
	r.URL.Path = "/app.css"
	r.Header.Set("Accept", "text/css,*/*;q=0.1")
	r.Header.Set("Sec-Fetch-Mode", "no-cors")
	r.Header.Set("Sec-Fetch-Dest", "style")
	r.Header.Del("Sec-Fetch-User")
	r.Header.Del("Upgrade-Insecure-Requests")
	return r
}

// withTheme puts the visitor's cookie behind another one, as sites have.
func withTheme(name, value string) string { return "theme=dark; " + name + "=" + value }

// withMany puts the visitor's cookie among twenty others: of an analytics service, an
// advertising network, a consent banner, a chat and an experiment, as shops have.
func withMany(name, value string) string {
	return "_ga=GA1.1.1094862313.1763011932; _ga_3X7KDEZQ4V=GS2.1.s1764326401$o14$g1$t1764326988$j60$l0$h0; _gid=GA1.2.82731455.1764326401; " +
		"_gcl_au=1.1.904821347.1763011932; _fbp=fb.1.1763011932441.773140925517; _clck=1x9q2ma%5E2%5Eg1d%5E0%5E2142; _clsk=k31ujo%5E1764326989%5E4%5E1%5Ez.clarity.ms%2Fcollect; " +
		"OptanonAlertBoxClosed=2026-11-13T05:32:18.402Z; OptanonConsent=isGpcEnabled=0&datestamp=Sat+Nov+28+2026+11%3A03%3A09+GMT%2B0100&version=202409.1.0&browserGpcFlag=0&isIABGlobal=false&hosts=&consentId=6a4e1f0c-93bd-4c55-9a6e-0d2b7f51c3aa&interactionCount=1&groups=C0001%3A1%2CC0002%3A1%2CC0003%3A0%2CC0004%3A0; " +
		"_hjSessionUser_1948271=eyJpZCI6IjM5ZDU2YTBlLWE5ZmMtNTQ5Ny1iNmVjLTE2ZGQ1NzY2OGE5MCIsImNyZWF0ZWQiOjE3NjMwMTE5MzI4MTQsImV4aXN0aW5nIjp0cnVlfQ==; " +
		name + "=" + value + "; ab_checkout=B; currency=EUR; lang=en-GB; theme=dark; cart=c7f19a02; intercom-id-k2mzq7pd=11e0a3f4-5c6d-4b7e-8f90-a1b2c3d4e5f6; " +
		"__stripe_mid=8c2d91e7-4b3f-4a60-9d15-7e6fa0b1c2d3a4b5c6; __stripe_sid=51f0e6d2-7c8b-4a39-b214-93d0e1f2a3b4c5d6e7; csrftoken=Vt7mQ2xk9ZrPwLcB4nJdHs8fGaYeT1uo; last_seen=1764326989"
}

// newToken mints a visitor and returns their token.
func newToken(tb testing.TB, m *walkin.Middleware) string {
	tb.Helper()
	w := newSink()
	m.Handler(hello).ServeHTTP(w, newRequest(""))
	response := http.Response{Header: w.header}
	for _, c := range response.Cookies() {
		if c.Name == cookieName {
			return c.Value
		}
	}
	tb.Fatal("a first visit brought no cookie")
	return ""
}

// tokens returns n tokens of one key, made once.
func tokens(tb testing.TB, alg string, n int) []string {
	tb.Helper()
	all.Lock()
	defer all.Unlock()
	if all.tokens == nil {
		all.tokens = make(map[string][]string)
	}
	if len(all.tokens[alg]) < n {
		m := newWalkin(tb, alg, small)
		for len(all.tokens[alg]) < n {
			all.tokens[alg] = append(all.tokens[alg], newToken(tb, m))
		}
	}
	return all.tokens[alg][:n]
}

var all struct {
	sync.Mutex
	tokens map[string][]string
}

// hello is a page that does not ask who the visitor is.
var hello http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusNoContent)
})

// answer is the whole page of every contender: 204 for a known visitor.
func answer(w http.ResponseWriter, known bool) {
	if known {
		w.WriteHeader(http.StatusNoContent)
	} else {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

var walkinPage http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	c, ok := walkin.FromContext(r.Context())
	answer(w, ok && c.UserID != uuid.Nil)
})

// A peer makes handlers that do the same as walkin's, as its own documentation shows.
// If a func or handler is nil, the peer cannot do that.
type peer struct {
	name      string
	returning func(tb testing.TB, k key) http.Handler             // reads the token in the cookie
	first     func(tb testing.TB, k key) http.Handler             // sets a cookie with a new one
	session   func(tb testing.TB) (cookie string, h http.Handler) // has no JWT: its own cookie and handler
	changes   bool                                                // writes to *http.Request, so each call needs a fresh one
}

// run measures one handler with one request.
func run(b *testing.B, h http.Handler, r *http.Request, changes bool) {
	b.Helper()
	w := newSink()
	h.ServeHTTP(w, clone(r))
	if w.status != http.StatusNoContent {
		b.Fatalf("got status %d, want 204", w.status)
	}
	b.ReportAllocs()
	if !changes {
		for b.Loop() {
			w.reset()
			h.ServeHTTP(w, r)
		}
		return
	}
	mine := new(http.Request)
	for b.Loop() {
		w.reset()
		*mine = *r
		h.ServeHTTP(w, mine)
	}
}

func clone(r *http.Request) *http.Request {
	c := *r
	return &c
}

// digest is what the asymmetric algorithms but EdDSA sign.
func digest(message []byte) []byte {
	sum := sha256.Sum256(message)
	return sum[:]
}
