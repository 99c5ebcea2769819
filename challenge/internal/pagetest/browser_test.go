package pagetest_test

import (
	"bytes"
	"context"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/challenge"
	"github.com/walkin-go/walkin/internal/browser"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// The form has what is hard to send again: names that a form has itself, one name
// twice, lines, markup, what is not in Latin-1, and two buttons.
var form = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>A note</title>
<form method="post" action="/notes?a=1&amp;b=%22">
	<textarea name="text">

 rain &amp; &lt;/textarea&gt;<b>
süß 🌧	</textarea>
	<input type="hidden" name="submit" value="1">
	<input type="hidden" name="action" value="//evil.example">
	<input type="hidden" name="method" value="get">
	<input type="hidden" name="getAttribute" value="">
	<input type="hidden" name="querySelector" value=" ">
	<input type="hidden" name="a b&amp;c=d" value="+%00">
	<select name="tag" multiple><option selected>x<option selected>y</select>
	<input type="hidden" name="text" value="second">
	<button id="send" name="button" value="the one">Send</button>
	<button name="button" value="another">Send</button>
</form>
`))

// A site takes one new user an hour from all the browsers here together.
type site struct {
	base    string
	limiter limit.Limiter
	roomy   atomic.Bool // it takes any number

	mu      sync.Mutex
	came    []string // what browsers posted to the form
	arrived []string // what of it reached the handler

	// between, when set, answers requests for the gate's own paths, or returns
	// false.
	between func(http.ResponseWriter, *http.Request) bool
}

func serve(t *testing.T, change func(*challenge.Config)) *site {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	s := &site{base: "http://localhost:" + port, limiter: limit.New(0)}
	store := memstore.New()
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: store, Cookies: walkin.Cookies{Insecure: true}, NewUsers: walkin.NewUsers{
			Mint:  walkin.MintOnWrite,
			Limit: limit.Limit{Count: 1, Per: time.Hour},
			LimitOf: func(*http.Request) limit.Limit {
				if s.roomy.Load() {
					return limit.Limit{Count: -1}
				}
				return limit.Limit{}
			},
		}, Limiter: s.limiter,
	})
	if err != nil {
		t.Fatal(err)
	}
	var cfg challenge.Config
	if change != nil {
		change(&cfg)
	}
	gate, err := challenge.New(wk, cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _ = form.Execute(w, nil) })
	mux.HandleFunc("POST /notes", func(w http.ResponseWriter, r *http.Request) {
		s.note(&s.arrived, r)
		_, _ = io.WriteString(w, "<title>There</title><p id=there>It is there.")
	})
	mux.HandleFunc("GET /start", func(w http.ResponseWriter, r *http.Request) {
		if _, err := wk.Ensure(w, r); err != nil {
			wk.Refuse(w, r, err)
			return
		}
		_, _ = io.WriteString(w, "<title>There</title><p id=there>"+template.HTMLEscapeString(r.URL.RawQuery))
	})
	handler := wk.Handler(mux)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/favicon.ico":
			w.WriteHeader(http.StatusNoContent)
		case strings.HasPrefix(r.URL.Path, "/challenge/"):
			if s.between == nil || !s.between(w, r) {
				gate.ServeHTTP(w, r)
			}
		default:
			if r.Method == http.MethodPost {
				s.note(&s.came, r)
			}
			handler.ServeHTTP(w, r)
		}
	})
	server.Start()
	t.Cleanup(server.Close)
	if r := walkintest.NewClient(t, handler).From("127.0.0.1:1").Post("/notes", nil); r.StatusCode != http.StatusOK {
		t.Fatalf("the first row: got %d", r.StatusCode)
	}
	s.arrived = nil
	return s
}

// note keeps what a request brings.
func (s *site) note(list *[]string, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(b))
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, r.URL.RequestURI()+" "+r.Header.Get("Content-Type")+" "+string(b))
}

// wantSame wants the form to have come so many times, each time the same, and to
// have arrived once.
func (s *site) wantSame(t *testing.T, times int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.came) != times || len(s.arrived) != 1 || slices.ContainsFunc(slices.Concat(s.came, s.arrived), func(one string) bool { return one != s.came[0] }) {
		t.Errorf("the form came as %q, and arrived as %q", s.came, s.arrived)
	}
	if len(s.came) > 0 && !strings.Contains(s.came[0], "button=the+one") {
		t.Errorf("got %q", s.came[0])
	}
}

// A tab is one visitor's browser.
type tab struct {
	*browser.Tab
	base string
}

// newTab returns a browser with cookies of its own. What it says about our page
// in its console fails the test, unless that is quiet.
func newTab(t *testing.T, chromium context.Context, s *site, quiet bool) *tab {
	t.Helper()
	b := &tab{browser.NewTab(t, chromium), s.base}
	b.Quiet = quiet
	return b
}

// there waits for the page that the site shows to those it lets through.
func (b *tab) there() {
	b.T.Helper()
	wait, cancel := context.WithTimeout(b.Ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(wait, chromedp.WaitVisible(chromedp.CSS("#there"))); err != nil {
		b.T.Fatalf("%v; the page says %q", err, b.Says())
	}
}

// post sends the form, and returns when its answer is there.
func (b *tab) post() {
	b.T.Helper()
	b.Do(chromedp.Navigate(b.base + "/"))
	b.Click("#send")
}

// TestPost is what a new visitor in a crowd sees: they send a form, the worker solves
// the challenge, and the very same form goes through once.
func TestPost(t *testing.T) {
	s := serve(t, nil)
	ann := newTab(t, browser.New(t), s, false)
	ann.post()
	ann.there()
	s.wantSame(t, 2)
	if got := browser.Ask(ann.Tab, chromedp.Location()); got != s.base+"/notes?a=1&b=%22" {
		t.Errorf("got to %s", got)
	}
	// They are a stored user now, and meet nothing of it any more.
	ann.post()
	ann.there()
	if len(s.came) != 3 || len(s.arrived) != 2 {
		t.Errorf("a second form came %d times and arrived %d times", len(s.came), len(s.arrived))
	}
}

// TestPage is a page that was asked for, with its query.
func TestPage(t *testing.T) {
	s := serve(t, nil)
	ann := newTab(t, browser.New(t), s, false)
	ann.Do(chromedp.Navigate(s.base + "/start?x=1&y=%22#here"))
	ann.there()
	if got, at := ann.Says(), browser.Ask(ann.Tab, chromedp.Location()); got != "x=1&y=%22" || !strings.HasPrefix(at, s.base+"/start?x=1&y=%22") {
		t.Errorf("got to %s, which says %q", at, got)
	}
}

// TestHarder is a visitor whom the crowd overtook while their browser was at work.
func TestHarder(t *testing.T) {
	s := serve(t, nil)
	var asked atomic.Int32
	s.between = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/challenge/solved" && asked.Add(1) == 1 {
			for range 16 {
				_, _ = s.limiter.Take(r.Context(), "challenge:127.0.0.1", limit.Limit{Count: 40, Per: time.Hour}, 1, time.Now())
			}
		}
		return false
	}
	ann := newTab(t, browser.New(t), s, false)
	ann.post()
	ann.there()
	s.wantSame(t, 2)
	if asked.Load() != 2 {
		t.Errorf("it solved %d challenges, want 2", asked.Load())
	}
}

// TestWithoutScripts holds that the page says plainly what to do, whatever does
// not work, and that nothing is lost: the button sends the very same form.
func TestWithoutScripts(t *testing.T) {
	chromium := browser.New(t)
	const (
		wait = "There are many new visitors from your network just now. Please wait 60 minutes and try again."
		keep = "One moment, please " + wait + " What you sent is kept on this page. With JavaScript turned on you would not have to wait. Try again"
		fail = "That did not work. " + wait + " Try again"
	)
	without := func(name string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/challenge/"+name {
				return false
			}
			http.Error(w, "no", http.StatusForbidden)
			return true
		}
	}
	for _, tt := range []struct {
		name    string
		off     bool
		between func(http.ResponseWriter, *http.Request) bool
		says    string
	}{
		{"scripts are off", true, nil, keep},
		{"the script is blocked", false, without("solve.js"), keep},
		{"the worker is blocked", false, without("work.js"), fail},
		{"the solution is refused", false, without("solved"), fail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, nil)
			s.between = tt.between
			ann := newTab(t, chromium, s, true)
			if tt.off {
				if _, err := chromedp.Call(ann.Ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
					t.Fatal(err)
				}
			}
			ann.post()
			ann.Do(chromedp.WaitVisible(chromedp.CSS("#again > button")))
			if got := ann.Says(); !strings.HasSuffix(got, tt.says) || strings.Contains(got, "Working") {
				t.Errorf("it says %q, want %q", got, tt.says)
			}
			s.roomy.Store(true)
			ann.Click("#again > button")
			ann.there()
			s.wantSame(t, 2)
		})
	}
}

// TestPolicy holds that nothing but the page's own script and worker would run.
func TestPolicy(t *testing.T) {
	s := serve(t, nil)
	s.between = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/challenge/solved" {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not see the browser go
			<-r.Context().Done()               // the page stays
			return true
		}
		return false
	}
	ann := newTab(t, browser.New(t), s, true)
	ann.post()
	ann.Do(chromedp.WaitVisible(chromedp.CSS("#challenge")))
	const try = `new Promise(resolve => {
		const refused = [];
		document.addEventListener("securitypolicyviolation", e => { refused.push(e.effectiveDirective); if (refused.length === 7) resolve(refused.sort().join(" ")); });
		const add = (name, set) => document.body.append(Object.assign(document.createElement(name), set));
		add("script", { text: "window.injected = 1" });
		add("script", { src: "data:text/javascript,injected=1" });
		add("img", { src: "https://elsewhere.example/x.png" });
		add("style", { textContent: "body { display: none }" });
		add("iframe", { src: "/" });
		fetch("data:text/plain,x").catch(() => {});
		try { new Worker(URL.createObjectURL(new Blob(["1"]))); } catch {}
	})`
	want := "connect-src frame-src img-src script-src-elem script-src-elem style-src-elem worker-src"
	if got := browser.Ask(ann.Tab, chromedp.Evaluate[string](try, chromedp.EvalAwaitPromise)); got != want {
		t.Errorf("refused was %q, want %q", got, want)
	}
	if browser.Ask(ann.Tab, chromedp.Evaluate[bool](`"injected" in window`)) {
		t.Error("a script ran")
	}
}

// TestCaptcha has a stand-in for Cloudflare's script, which cannot be reached from
// a test: it loads from their address, into the place that is made for it, and
// does what theirs does.
func TestCaptcha(t *testing.T) {
	widget := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/turnstile/v0/api.js" {
			w.Header().Set("Content-Type", "text/html")
			return
		}
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(w, `(function () {
			const place = document.querySelector(".cf-turnstile"), frame = document.createElement("iframe");
			frame.src = "https://challenges.cloudflare.com/frame";
			frame.onload = function () { window[place.dataset.callback]("an answer for " + place.dataset.sitekey); };
			place.append(frame);
		})();`)
	}))
	t.Cleanup(widget.Close)
	_, port, _ := strings.Cut(widget.Listener.Addr().String(), ":")
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("response") == "an answer for site" {
			_, _ = io.WriteString(w, `{"success":true,"hostname":"localhost","action":"walkin"}`)
		}
	}))
	t.Cleanup(service.Close)
	for name, to := range map[string]string{"there": "127.0.0.1:" + port, "blocked": "~NOTFOUND"} {
		t.Run(name, func(t *testing.T) {
			chromium := browser.New(t, chromedp.Flag("host-resolver-rules", "MAP challenges.cloudflare.com "+to), chromedp.Flag("ignore-certificate-errors", true))
			s := serve(t, func(c *challenge.Config) {
				c.Captcha = challenge.Turnstile{SiteKey: "site", Secret: "hush", Hostname: "localhost", Verify: service.URL}
			})
			ann := newTab(t, chromium, s, name == "blocked")
			ann.post()
			if name == "blocked" {
				ann.Do(chromedp.WaitVisible(chromedp.CSS("#again > button")))
				if got := ann.Says(); !strings.Contains(got, "That did not work.") {
					t.Errorf("it says %q", got)
				}
				return
			}
			ann.there()
			s.wantSame(t, 2)
		})
	}
}
