package challenge_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"math"
	"math/bits"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/challenge"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

var secret = walkin.Key{Secret: []byte("a secret that is only of this test")}

// derived returns what signs the challenges of a site with a key.
func derived(t *testing.T, key walkin.Key) []byte {
	t.Helper()
	secret, err := key.Derive("walkin challenge\x00walkin\x00walkin")
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// newGate returns one of a site of its own.
func newGate(t testing.TB, limiter limit.Limiter) *challenge.Gate {
	t.Helper()
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{secret}, Store: memstore.New(), Limiter: limiter})
	if err != nil {
		t.Fatal(err)
	}
	gate, err := challenge.New(wk, challenge.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return gate
}

// A site takes one new user an hour from a network without a challenge.
type site struct {
	http.Handler
	t    *testing.T
	mu   sync.Mutex
	sent []string
	told []string
}

func newSite(t *testing.T, store store.Store, change func(*walkin.Config, *challenge.Config)) *site {
	t.Helper()
	s := &site{t: t}
	cfg := walkin.Config{
		Keys: []walkin.Key{secret}, Store: store, NewUsers: walkin.NewUsers{Limit: limit.Limit{Count: 1, Per: time.Hour}},
		OnEvent: func(_ context.Context, e walkin.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if e.Outcome == walkin.Failed {
				s.told = append(s.told, string(e.Reason))
			}
		},
	}
	var of challenge.Config
	if change != nil {
		change(&cfg, &of)
	}
	wk, err := walkin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	gate, err := challenge.New(wk, of)
	if err != nil {
		t.Fatal(err)
	}
	outer := http.NewServeMux()
	outer.Handle("/challenge/", gate)
	outer.Handle("/", wk.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			body, _ := io.ReadAll(r.Body)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.sent = append(s.sent, r.URL.RequestURI()+" "+string(body))
		}
	})))
	s.Handler = outer
	return s
}

// visitor is a new visitor in a network that is full.
func (s *site) visitor() *walkintest.Client {
	s.t.Helper()
	c := walkintest.NewClient(s.t, s).From("203.0.113.7:1")
	c.Visit("/")
	return c
}

// fill creates the one user that there is room for.
func (s *site) fill() {
	s.t.Helper()
	if r := s.visitor().Post("/first", nil); r.StatusCode != http.StatusOK {
		s.t.Fatalf("the first: got %d", r.StatusCode)
	}
	s.sent = nil
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var challenged = regexp.MustCompile(`data-challenge="([^"]*)" data-bits="(\d+)"`)

// challengeOf lets a visitor post, and returns what they are asked.
func (s *site) challengeOf(c *walkintest.Client) (text string, difficulty int) {
	s.t.Helper()
	r := c.Post("/notes?a=1", note)
	page := body(s.t, r)
	m := challenged.FindStringSubmatch(page)
	if r.StatusCode != http.StatusTooManyRequests || m == nil {
		s.t.Fatalf("got %d %q", r.StatusCode, page)
	}
	difficulty, err := strconv.Atoi(m[2])
	if err != nil {
		s.t.Fatal(err)
	}
	return m[1], difficulty
}

var note = url.Values{"text": {"\nrain & <sun>\r\n\"x\""}, "submit": {"1"}}

// solve does the work of a browser.
func solve(text string, difficulty int) string {
	for n := 0; ; n++ {
		if solution := strconv.Itoa(n); zeros(text, solution) >= difficulty {
			return solution
		}
	}
}

func zeros(text, solution string) int {
	sum := sha256.Sum256([]byte(text + ":" + solution))
	n := 0
	for _, b := range sum {
		n += bits.LeadingZeros8(b)
		if b != 0 {
			break
		}
	}
	return n
}

// answer sends a solution and returns the status.
func answer(c *walkintest.Client, text, solution string, header ...string) int {
	return answered(c, text, solution, header...).StatusCode
}

func answered(c *walkintest.Client, text, solution string, header ...string) *http.Response {
	b, _ := json.Marshal(map[string]string{"Challenge": text, "Solution": solution})
	r := c.NewRequest(http.MethodPost, "/challenge/solved", strings.NewReader(string(b)))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return c.Do(r)
}

// TestPass is the whole way: a stranger in a crowd solves, and what they sent
// goes on its way, once.
func TestPass(t *testing.T) {
	s := newSite(t, memstore.New(), nil)
	s.fill()
	c := s.visitor()
	r := c.Post("/notes?a=1&b=%22", note)
	page := body(t, r)
	if r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") == "" || r.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %v", r.StatusCode, r.Header)
	}
	for _, part := range []string{
		`<form id="again" method="post" action="/notes?a=1&amp;b=%22">`, `<script src="/challenge/solve.js"></script>`,
		"<textarea name=\"text\" hidden aria-hidden=\"true\">\n\nrain &amp; &lt;sun&gt;", `<textarea name="submit" hidden`, `<div id="wait">`,
	} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q:\n%s", part, page)
		}
	}
	if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "script-src 'self';") {
		t.Errorf("got policy %q", csp)
	}
	text, difficulty := s.challengeOf(c)
	if difficulty != 17 {
		t.Errorf("got %d bits, want 17", difficulty)
	}
	if got := answer(c, html.UnescapeString(text), solve(text, difficulty)); got != http.StatusNoContent {
		t.Fatalf("the solution: got %d", got)
	}
	if r := c.Post("/notes?a=1&b=%22", note); r.StatusCode != http.StatusOK || len(s.sent) != 1 || s.sent[0] != "/notes?a=1&b=%22 "+note.Encode() {
		t.Errorf("sent again: got %d and %q", r.StatusCode, s.sent)
	}
	if r := c.Post("/more", nil); r.StatusCode != http.StatusOK {
		t.Errorf("their next act, as somebody who has a row: got %d", r.StatusCode)
	}
	// What they solved is spent.
	other := s.visitor()
	other.SetCookie("__Host-walkin.pass", c.Cookie("__Host-walkin.pass"))
	if r := other.Post("/notes", note); r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a second row by one solution: got %d", r.StatusCode)
	}
	if len(s.told) > 0 {
		t.Errorf("the owner is told %q", s.told)
	}
}

// TestWork holds which solutions are none.
func TestWork(t *testing.T) {
	store := memstore.New()
	s := newSite(t, store, nil)
	s.fill()
	c := s.visitor()
	text, difficulty := s.challengeOf(c)
	solution := solve(text, difficulty)
	unsolved := 0
	for zeros(text, strconv.Itoa(unsolved)) >= difficulty {
		unsolved++
	}
	payload, signature, _ := strings.Cut(text, ".")
	foreign := newSite(t, memstore.New(), func(c *walkin.Config, _ *challenge.Config) {
		c.Keys = []walkin.Key{{Secret: []byte("a key of another site, just as long")}}
	})
	foreign.fill()
	theirs, theirBits := foreign.challengeOf(foreign.visitor())
	for name, tt := range map[string]struct{ text, solution string }{
		"not solved":          {text, strconv.Itoa(unsolved)},
		"a leading zero":      {text, "0" + solution},
		"a sign":              {text, "+" + solution},
		"a space":             {text, " " + solution},
		"not a number":        {text, "x"},
		"nothing":             {text, ""},
		"too large":           {text, "99999999999999999999"},
		"no signature":        {payload, solve(payload, difficulty)},
		"another's signature": {theirs, solve(theirs, theirBits)},
		"changed":             {"B" + text[1:], solve("B"+text[1:], difficulty)},
		"a signature of less": {payload + "." + signature[:10], solution},
		"padded":              {text + "=", solution},
		"no challenge":        {"", solution},
	} {
		if name == "changed" && text[0] == 'B' {
			continue
		}
		if got := answer(c, tt.text, tt.solution); got != http.StatusForbidden {
			t.Errorf("%s: got %d, want 403", name, got)
		}
	}
	// Another spelling of a number that solves it would be another solution.
	for _, prefix := range []string{"0", "+", "-", " ", "x", "1e", "99999999999999999999"} {
		n := 0
		for zeros(text, prefix+strconv.Itoa(n)) < difficulty {
			n++
		}
		if got := answer(c, text, prefix+strconv.Itoa(n)); got != http.StatusForbidden {
			t.Errorf("%s%d, which begins with so many zero bits: got %d, want 403", prefix, n, got)
		}
	}
	for name, header := range map[string][]string{"another site's": {"Sec-Fetch-Site", "cross-site"}, "a sister's": {"Sec-Fetch-Site", "same-site"}} {
		if got := answer(c, text, solution, header...); got != http.StatusForbidden {
			t.Errorf("%s: got %d, want 403", name, got)
		}
	}
	if c.Cookie("__Host-walkin.pass") != "" {
		t.Fatal("one of them got a pass")
	}

	// Twenty at once, on two replicas: one pass.
	replica := newSite(t, store, nil)
	var good atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		client := walkintest.NewClient(t, []*site{s, replica}[i%2])
		wg.Go(func() {
			if answer(client, text, solution) == http.StatusNoContent {
				good.Add(1)
			}
		})
	}
	wg.Wait()
	if good.Load() != 1 {
		t.Errorf("one solution was good for %d", good.Load())
	}
	if r := c.Do(c.NewRequest(http.MethodGet, "/challenge/solved", nil)); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a GET: got %d", r.StatusCode)
	}
	for _, junk := range []string{"", "{", `{"Challenge":` + strings.Repeat(" ", 9000) + `""}`, "[]"} {
		r := c.NewRequest(http.MethodPost, "/challenge/solved", strings.NewReader(junk))
		if got := c.Do(r).StatusCode; got != http.StatusBadRequest {
			t.Errorf("%.10q: got %d, want 400", junk, got)
		}
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, memstore.New(), nil)
		s.fill()
		c := s.visitor()
		text, difficulty := s.challengeOf(c)
		solution := solve(text, difficulty)
		time.Sleep(2 * time.Minute)
		if got := answer(c, text, solution); got != http.StatusForbidden {
			t.Errorf("after two minutes: got %d, want 403", got)
		}
		text, difficulty = s.challengeOf(c)
		if got := answer(c, text, solve(text, difficulty)); got != http.StatusNoContent {
			t.Fatalf("got %d", got)
		}
		pass := c.Cookie("__Host-walkin.pass")
		time.Sleep(10 * time.Minute)
		c.SetCookie("__Host-walkin.pass", pass) // a browser that keeps it longer
		if r := c.Post("/notes", note); r.StatusCode != http.StatusTooManyRequests {
			t.Errorf("a pass of ten minutes ago: got %d", r.StatusCode)
		}
	})
}

// TestForged holds that a challenge which this site did not make is refused, even if
// its maker has the key: none of ours is good for years.
func TestForged(t *testing.T) {
	before := walkin.Key{Secret: []byte("a key of before, that still verifies")}
	s := newSite(t, memstore.New(), func(c *walkin.Config, _ *challenge.Config) { c.Keys = append(c.Keys, before) })
	key, old := derived(t, secret), derived(t, before)
	s.fill()
	for _, tt := range []struct {
		name   string
		key    []byte
		expiry time.Duration
		want   int
	}{
		{"our key", key, time.Minute, http.StatusNoContent},
		{"an old key", old, time.Minute, http.StatusNoContent},
		{"another key", []byte("a key of some other site altogether"), time.Minute, http.StatusForbidden},
		{"an empty key", nil, time.Minute, http.StatusForbidden},
		{"ten years", key, 10 * 365 * 24 * time.Hour, http.StatusForbidden},
		{"a day", old, 24 * time.Hour, http.StatusForbidden},
	} {
		b := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(tt.expiry).Unix()))
		b = append(append(b, 17), rand.Text()[:16]...)
		text := base64.RawURLEncoding.EncodeToString(b)
		mac := hmac.New(sha256.New, tt.key)
		mac.Write([]byte("walkin challenge\x00" + text))
		text += "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		c := s.visitor()
		if got := answer(c, text, solve(text, 17)); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
		if got := c.Cookie("__Host-walkin.pass") != ""; got != (tt.want == http.StatusNoContent) {
			t.Errorf("%s: got a pass: %v", tt.name, got)
		}
	}
}

// TestSlowPhone holds that work which takes a slow phone a minute on average is
// good for as long as it may take an unlucky one, and not for longer.
func TestSlowPhone(t *testing.T) {
	for _, test := range []struct {
		solved     int // by the network before
		difficulty int
		lasts      time.Duration
	}{{0, 17, 2 * time.Minute}, {24, 20, 160 * time.Second}, {32, 21, 320 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			limiter := limit.New(0)
			s := newSite(t, memstore.New(), func(c *walkin.Config, _ *challenge.Config) { c.Limiter = limiter })
			s.fill()
			if _, err := limiter.Take(t.Context(), "challenge:203.0.113.7", limit.Limit{Count: 40, Per: time.Hour}, test.solved, time.Now()); err != nil {
				t.Fatal(err)
			}
			c := s.visitor()
			text, difficulty := s.challengeOf(c)
			if difficulty != test.difficulty {
				t.Fatalf("got %d bits, want %d", difficulty, test.difficulty)
			}
			solution := solve(text, difficulty)
			late, _ := s.challengeOf(c)
			time.Sleep(test.lasts - time.Second)
			if got := answer(c, text, solution); got != http.StatusNoContent {
				t.Errorf("%d bits after nearly %v: got %d, want 204", difficulty, test.lasts, got)
			}
			time.Sleep(time.Second)
			if got := answer(c, late, solve(late, difficulty)); got != http.StatusForbidden {
				t.Errorf("%d bits after %v: got %d, want 403", difficulty, test.lasts, got)
			}
		})
	}
}

// TestCollected holds that a bot which asks for many challenges before it solves any
// does not pay for all as for the first, and gets another one in place of those that
// have become too easy.
func TestCollected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, memstore.New(), nil)
		s.fill()
		var texts []string
		for range 24 {
			text, difficulty := s.challengeOf(s.visitor())
			if difficulty != 17 {
				t.Fatalf("got %d bits before anything was solved, want 17", difficulty)
			}
			texts = append(texts, text)
		}
		easy := 0
		c := s.visitor()
		var next struct {
			Challenge string
			Bits      int
		}
		for _, text := range texts {
			r := answered(c, text, solve(text, 17))
			switch r.StatusCode {
			case http.StatusNoContent:
				easy++
			case http.StatusConflict:
				if got := r.Header.Get("Content-Type"); got != "application/json" {
					t.Errorf("the next one is %q", got)
				}
				if err := json.Unmarshal([]byte(body(t, r)), &next); err != nil {
					t.Fatal(err)
				}
			default:
				t.Fatalf("got %d, want 204 or 409", r.StatusCode)
			}
		}
		if easy != 15 || next.Bits != 20 {
			t.Fatalf("%d cost as little as the first, and the next one has %d bits; want 15 and 20", easy, next.Bits)
		}
		if got := answer(c, next.Challenge, solve(next.Challenge, next.Bits)); got != http.StatusNoContent {
			t.Errorf("got %d for the harder one, want 204", got)
		}
		if got := answer(c, texts[23], solve(texts[23], 17)); got != http.StatusForbidden {
			t.Errorf("got %d for one that was refused before, want 403", got)
		}
	})
}

// TestCrowd holds that the work grows with what a network has solved, and that
// another network's does not.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := limit.New(0)
		s := newSite(t, memstore.New(), func(c *walkin.Config, _ *challenge.Config) { c.Limiter = limiter })
		s.fill()
		for _, want := range []int{17, 18, 19, 20, 21, 22, 22} {
			if _, got := s.challengeOf(s.visitor()); got != want {
				t.Errorf("got %d bits, want %d", got, want)
			}
			for range 8 {
				_, _ = limiter.Take(t.Context(), "challenge:203.0.113.7", limit.Limit{Count: 40, Per: time.Hour}, 1, time.Now())
			}
		}
		far := walkintest.NewClient(t, s).From("198.51.100.1:1")
		far.Visit("/")
		far.Post("/first", nil)
		other := walkintest.NewClient(t, s).From("198.51.100.1:1")
		other.Visit("/")
		if _, got := s.challengeOf(other); got != 17 {
			t.Errorf("another network: got %d bits, want 17", got)
		}
		time.Sleep(time.Hour)
		s.fill()
		if _, got := s.challengeOf(s.visitor()); got != 17 {
			t.Errorf("an hour later: got %d bits, want 17", got)
		}
	})
}

// TestNotChallenged holds who gets the plain refusal.
func TestNotChallenged(t *testing.T) {
	s := newSite(t, memstore.New(), nil)
	s.fill()
	for name, change := range map[string]func(*http.Request){
		"a script":  func(r *http.Request) { r.Header.Set("Sec-Fetch-Mode", "cors") },
		"a program": func(r *http.Request) { r.Header.Del("Sec-Fetch-Mode"); r.Header.Set("Accept", "*/*") },
	} {
		c := s.visitor()
		r := c.NewRequest(http.MethodPost, "/notes", strings.NewReader("a=b"))
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		change(r)
		if got := c.Do(r); got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d %q", name, got.StatusCode, got.Header.Get("Content-Type"))
		}
	}
	for name, change := range map[string]func(*http.Request){
		"files":      func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") },
		"a PUT":      func(r *http.Request) { r.Method = http.MethodPut },
		"too large":  func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.Repeat("a", 64<<10+1))) },
		"bad escape": func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("a=%zz")) },
	} {
		c := s.visitor()
		r := c.NewRequest(http.MethodPost, "/notes", strings.NewReader("a=b"))
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		change(r)
		if page := body(t, c.Do(r)); strings.Contains(page, `id="again"`) || !strings.Contains(page, "data-challenge") {
			t.Errorf("%s: got %q, want a challenge without a form to send again", name, page)
		}
	}
	for path, want := range map[string]string{"/challenge/solve.js": "text/javascript; charset=utf-8", "/challenge/work.js": "text/javascript; charset=utf-8"} {
		if r := s.visitor().Fetch(path); r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != want {
			t.Errorf("%s: got %d %q", path, r.StatusCode, r.Header.Get("Content-Type"))
		}
	}
	for _, path := range []string{"/challenge/", "/challenge/page.html", "/challenge/x"} {
		if r := s.visitor().Fetch(path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %d", path, r.StatusCode)
		}
	}
}

// TestPostFromElsewhere holds that the page does not send as the site's own what
// another site's page sent.
func TestPostFromElsewhere(t *testing.T) {
	gate := newGate(t, nil)
	for site, want := range map[string]bool{"same-origin": true, "same-site": false, "cross-site": false} {
		r := httptest.NewRequest(http.MethodPost, "/notes", strings.NewReader("a=b"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", site)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		w := httptest.NewRecorder()
		gate.Show(w, r, &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: "new_user_limit"})
		page := w.Body.String()
		if got := strings.Contains(page, `id="again"`); got != want || !strings.Contains(page, "data-challenge") {
			t.Errorf("%s: got a form to send again: %v, want %v", site, got, want)
		}
	}
}

// TestSentAgain holds that the page sends what was stopped, or nothing: never a
// part of it, and never something else.
func TestSentAgain(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	parse := func(r *http.Request) { _ = r.ParseForm() }
	for _, tt := range []struct {
		name, kind, body string
		before           func(*http.Request) // what middleware did with it
		want             string              // the names and values; "-" is no form
	}{
		{"a form", form, "b=2&a=%3C1%3E&b=%F0%9F%8C%A7", nil, "b=2 a=<1> b=🌧"},
		{"a form of nothing", form, "", nil, ""},
		{"a charset", form + ";charset=utf-8", "a=%C3%BC", nil, "a=ü"},
		{"parsed", form, "b=2&a=1", parse, "a=1 b=2"},
		{"nothing, parsed", form, "", parse, ""},
		{"one field, parsed", form, "a=1", parse, "a=1"},
		{"no name, and then one", form, "=1&a=1", nil, "-"},
		{"a bad escape in a name", form, "%zz=1", nil, "-"},
		{"a type that cannot be read", form + "; =", "a=1", nil, "-"},
		{"no body", form, "", func(r *http.Request) { r.Body, r.ContentLength = nil, -1 }, "-"},
		{"cut off, of no length", form, "a=1&b=2", func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader("a=1&"), errorReader{})), -1
		}, "-"},
		{"a field behind 70 KB of nothing, of no length", form, "", func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("&", 70<<10)+"a=1")), -1
		}, "-"},
		{"odd separators", form, "&a=1&&b=2&", nil, "a=1 b=2"},
		{"a name alone", form, "a", nil, "a="},
		{"no name", form, "=1", nil, "-"}, // a browser drops it
		{"Latin-1", form, "a=%FC", nil, "-"},
		{"Latin-1 in a name", form, "%FC=a", nil, "-"},
		{"Latin-1, parsed", form, "a=%FC", parse, "-"},
		{"a NUL", form, "a=1%002", nil, "-"}, // HTML has none
		{"a NUL in a name", form, "a%00=1", nil, "-"},
		{"files, parsed by ParseForm", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n", parse, "-"},
		{"files, parsed", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n",
			func(r *http.Request) { _ = r.ParseMultipartForm(1 << 20) }, "-"},
		{"JSON, parsed", "application/json", "{}", parse, "-"},
		{"no type, parsed", "", "a=1", parse, "-"},
		{"plain text", "text/plain", "a=1", nil, "-"},
		{"parsed as far as a limit", form, "a=1&b=2", func(r *http.Request) {
			r.Body = http.MaxBytesReader(nil, r.Body, 5)
			_ = r.ParseForm()
		}, "-"},
		{"begun", form, "a=1&b=2", func(r *http.Request) { _, _ = r.Body.Read(make([]byte, 4)) }, "-"},
		{"read to the end", form, "a=1", func(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, "-"},
		{"64 KB", form, "a=" + strings.Repeat("x", 64<<10-2), nil, "a=" + strings.Repeat("x", 64<<10-2)},
		{"more", form, "a=" + strings.Repeat("x", 64<<10-1), nil, "-"},
		{"more, parsed", form, "a=" + strings.Repeat("x", 64<<10-1), parse, "-"},
		{"a thousand fields", form, strings.Repeat("a=&", 1000), nil, strings.TrimSuffix(strings.Repeat("a= ", 1000), " ")},
		{"more fields", form, strings.Repeat("a=&", 1001), nil, "-"},
		{"more fields, parsed", form, strings.Repeat("a=&", 1001), parse, "-"},
		{"fields without end", form, strings.Repeat("&", 64<<10), nil, ""},
	} {
		gate := newGate(t, nil)
		r := httptest.NewRequest(http.MethodPost, "/notes", strings.NewReader(tt.body))
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		if tt.kind != "" {
			r.Header.Set("Content-Type", tt.kind)
		}
		if tt.before != nil {
			tt.before(r)
		}
		w := httptest.NewRecorder()
		gate.Show(w, r, &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: "new_user_limit"})
		page := w.Body.String()
		got := "-"
		if strings.Contains(page, `id="again"`) {
			var fields []string
			for _, m := range fieldOf.FindAllStringSubmatch(page, -1) {
				fields = append(fields, html.UnescapeString(m[1]+"="+m[2]))
			}
			got = strings.Join(fields, " ")
		}
		if got != tt.want {
			t.Errorf("%s: got %.80q, want %.80q", tt.name, got, tt.want)
		}
		if len(page) > 256<<10 {
			t.Errorf("%s: a page of %d KB", tt.name, len(page)>>10)
		}
	}
}

// An errorReader is a connection that broke.
type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("it broke") }

// FuzzSentAgain holds the same for whatever a stranger sends.
func FuzzSentAgain(f *testing.F) {
	for _, body := range []string{"", "a=1&b=2&a=", "a=%3C1%3E&%22=%0D%0A", "a=%FC", "a=1%00", "&&=", "a=%zz", "a;b=1", "+=+", "a=</textarea>\n", "a=%E2%80%A8%EF%BB%BF%01%7F"} {
		f.Add(body)
	}
	gate := newGate(f, nil)
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/notes", strings.NewReader(body))
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		gate.Show(w, r, &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: "new_user_limit"})
		if !strings.Contains(w.Body.String(), `id="again"`) {
			return
		}
		var want []string
		for part := range strings.SplitSeq(body, "&") {
			name, value, _ := strings.Cut(part, "=")
			name, err1 := url.QueryUnescape(name)
			value, err2 := url.QueryUnescape(value)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatalf("%q is sent again: %v", body, err)
			}
			if part != "" {
				want = append(want, name, value)
			}
		}
		var got []string
		for _, m := range fieldOf.FindAllStringSubmatch(w.Body.String(), -1) {
			got = append(got, html.UnescapeString(m[1]), html.UnescapeString(m[2]))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q is sent again as %q", body, got)
		}
	})
}

var fieldOf = regexp.MustCompile(`(?s)<textarea name="([^"]*)"[^>]*>\n(.*?)</textarea>`)

// TestOtherHost holds that the page leads to no other site, whatever path it is
// shown at.
func TestOtherHost(t *testing.T) {
	gate := newGate(t, nil)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for path, want := range map[string]bool{"/notes": true, "/a//b": true, "//evil.example/notes": false, "///evil.example": false, `/\evil.example`: true} {
			r := httptest.NewRequest(method, "/", nil)
			r.URL.Path, r.RequestURI = path, path
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			w := httptest.NewRecorder()
			gate.Show(w, r, &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: "new_user_limit"})
			page := w.Body.String()
			if got := strings.Contains(page, `id="again"`); got != want || strings.Contains(page, "evil.example") != strings.Contains(path, `\`) || strings.Contains(page, `\evil`) {
				t.Errorf("%s %s: got %s", method, path, page)
			}
		}
	}
}

// TestOddParts holds that what the app brings can be odd: a visitor without a
// network, a limiter that counts wrong or not at all.
func TestOddParts(t *testing.T) {
	for name, tt := range map[string]struct {
		remote  string
		limiter limit.Limiter
		bits    string
	}{
		"no network":           {"@", nil, "17"},
		"more left than there": {"192.0.2.1:1", limiterFunc(func() (limit.Verdict, error) { return limit.Verdict{OK: true, Remaining: math.MaxInt}, nil }), "17"},
		"less than none left":  {"192.0.2.1:1", limiterFunc(func() (limit.Verdict, error) { return limit.Verdict{Remaining: math.MinInt}, nil }), "22"},
		"down":                 {"192.0.2.1:1", limiterFunc(func() (limit.Verdict, error) { return limit.Verdict{}, errors.New("down") }), "17"},
	} {
		gate := newGate(t, tt.limiter)
		r := httptest.NewRequest(http.MethodPost, "/notes", nil)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.RemoteAddr = tt.remote
		w := httptest.NewRecorder()
		shown := gate.Show(w, r, &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: "new_user_limit"})
		m := challenged.FindStringSubmatch(w.Body.String())
		if got := append(m, "", "", "")[2]; got != tt.bits || w.Code != http.StatusTooManyRequests || !shown {
			t.Errorf("%s: got %d and %q bits, want %q", name, w.Code, got, tt.bits)
		}
	}
}

type limiterFunc func() (limit.Verdict, error)

func (f limiterFunc) Take(context.Context, string, limit.Limit, int, time.Time) (limit.Verdict, error) {
	return f()
}

// TestCaptcha asks a stand-in for the two services, which cannot be reached from
// a test: it is a fake, with the fields that their documentation names.
func TestCaptcha(t *testing.T) {
	var mu sync.Mutex
	var asked url.Values
	answers := map[string]string{
		"good":    `{"success":true,"hostname":"app.example","action":"walkin"}`,
		"host":    `{"success":true,"hostname":"evil.example","action":"walkin"}`,
		"action":  `{"success":true,"hostname":"app.example","action":"login"}`,
		"bad":     `{"success":false,"error-codes":["timeout-or-duplicate"]}`,
		"secret":  `{"success":false,"error-codes":["invalid-input-secret"]}`,
		"garbage": `<html>`,
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		asked = r.PostForm
		if asked.Get("response") == "down" {
			w.WriteHeader(http.StatusBadGateway)
		}
		fmt.Fprint(w, answers[asked.Get("response")])
	}))
	t.Cleanup(service.Close)
	own := challenge.Turnstile{SiteKey: "site", Secret: "hush", Hostname: "app.example", Verify: service.URL}
	for name, captcha := range map[string]challenge.Captcha{"Turnstile": own, "hCaptcha": challenge.HCaptcha(own)} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			s := newSite(t, memstore.New(), func(c *walkin.Config, g *challenge.Config) {
				g.Captcha, c.Logger = captcha, slog.New(slog.NewTextHandler(&log, nil))
			})
			s.fill()
			c := s.visitor()
			r := c.Post("/notes", note)
			page := body(t, r)
			if !strings.Contains(page, `data-sitekey="site"`) || !strings.Contains(page, `data-callback="walkinSolved"`) || strings.Contains(page, "hush") || strings.Contains(page, `data-challenge="A`) {
				t.Errorf("got %s", page)
			}
			if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-src https://") {
				t.Errorf("got policy %q", csp)
			}
			for response, want := range map[string]int{
				"": 403, "host": 403, "bad": 403, "action": map[string]int{"Turnstile": 403, "hCaptcha": 204}[name],
				"secret": 503, "garbage": 503, "down": 503, "good": 204, strings.Repeat("x", 5000): 403,
			} {
				log.Reset()
				if got := answer(s.visitor(), "", response); got != want {
					t.Errorf("%.10q: got %d, want %d", response, got, want)
				}
				if got := log.String(); (got != "") != (want == 503) || strings.Contains(got, "hush") {
					t.Errorf("%.10q: the owner is told %q", response, got)
				}
			}
			if asked.Get("secret") != "hush" || asked.Get("sitekey") != "site" || asked.Has("remoteip") {
				t.Errorf("the service was asked %v", asked)
			}
			if got := answer(c, "", "good"); got != http.StatusNoContent {
				t.Fatalf("got %d", got)
			}
			if r := c.Post("/notes", note); r.StatusCode != http.StatusOK {
				t.Errorf("sent again: got %d", r.StatusCode)
			}
		})
	}
}

func TestNew(t *testing.T) {
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{secret}, Store: memstore.New()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := challenge.New(nil, challenge.Config{}); err == nil {
		t.Error("without a middleware: got no error")
	}
	_, err = challenge.New(wk, challenge.Config{Path: "//evil/", Captcha: challenge.Turnstile{SiteKey: "x"}})
	for _, part := range []string{"Config.Path", "Config.Captcha"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want it to name %s", err, part)
		}
	}
	if _, err := challenge.New(wk, challenge.Config{}); err != nil {
		t.Errorf("after a mistake: %v", err)
	}
	if _, err := challenge.New(wk, challenge.Config{}); err == nil {
		t.Error("two of one middleware: got no error")
	}
}

// TestInsecureIsToldOnce holds that the cookie follows the middleware's settings.
func TestInsecureIsToldOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		insecure bool
		name     string
	}{"secure": {false, "__Host-shop.pass"}, "on localhost": {true, "shop.pass"}} {
		s := newSite(t, memstore.New(), func(c *walkin.Config, _ *challenge.Config) { c.Cookies.Insecure, c.Cookies.Name = tt.insecure, "shop" })
		s.fill()
		c := s.visitor()
		text, difficulty := s.challengeOf(c)
		r := answered(c, text, solve(text, difficulty))
		if got := r.Cookies(); len(got) != 1 || got[0].Name != tt.name || got[0].Secure == tt.insecure || !got[0].HttpOnly {
			t.Errorf("%s: got %q, want %s", name, r.Header["Set-Cookie"], tt.name)
		}
	}
}
