package handover_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/boombuler/barcode/qr"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/handover"
	"github.com/walkin-go/walkin/internal/faulty"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// A pair is a site of the methods alone, and two browsers.
type pair struct {
	*handover.Handovers
	wk          *walkin.Middleware
	site        http.Handler
	give, take  *walkintest.Client
	link, shown string // of the last answers
	stage       string
	svg, device string
	reasons     []string
}

func newPair(t *testing.T, st *faulty.Store, change func(*handover.Config)) *pair {
	t.Helper()
	st.Store = memstore.New()
	p := &pair{}
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("0123456789abcdef0123456789abcdef")}}, Store: st,
		Paths: walkin.Paths{Credentials: []string{"/h/"}}})
	if err != nil {
		t.Fatal(err)
	}
	p.wk = wk
	cfg := handover.Config{Link: origin + "/join"}
	if change != nil {
		change(&cfg)
	}
	if p.Handovers, err = handover.New(wk, cfg); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for path, do := range map[string]func(http.ResponseWriter, *http.Request) error{
		"POST /h/start": p.Start,
		"GET /h/offered": func(_ http.ResponseWriter, r *http.Request) (err error) {
			p.stage, p.link, p.svg, p.device, err = p.Offered(r)
			return err
		},
		"POST /h/confirm": func(w http.ResponseWriter, r *http.Request) error { return p.Confirm(w, r, r.FormValue("number")) },
		"POST /h/scan":    func(w http.ResponseWriter, r *http.Request) error { return p.Scan(w, r, r.FormValue("code"), "phone") },
		"GET /h/scanned": func(_ http.ResponseWriter, r *http.Request) (err error) {
			p.stage, p.shown, err = p.Scanned(r)
			return err
		},
		"POST /h/join": func(w http.ResponseWriter, r *http.Request) error { return p.Join(w, r, false) },
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if err := do(w, r); err != nil {
				if refusal, ok := err.(*walkin.Refusal); ok {
					p.reasons = append(p.reasons, string(refusal.Reason))
				}
				wk.Refuse(w, r, err)
			}
		})
	}
	mux.HandleFunc("POST /h/prove", func(w http.ResponseWriter, r *http.Request) {
		if _, err := wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"}); err != nil {
			wk.Refuse(w, r, err)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		w.Header().Set("X-User", c.UserID.String())
	})
	p.site = wk.Handler(mux)
	p.give, p.take = walkintest.NewClient(t, p.site), walkintest.NewClient(t, p.site)
	p.give.Visit("/")
	p.give.Post("/", nil)
	return p
}

func (p *pair) start() *http.Response { return p.give.Post("/h/start", nil) }

func (p *pair) scan() *http.Response {
	u, _ := url.Parse(p.link)
	return p.take.Post("/h/scan", url.Values{"code": {u.Query().Get(handover.Parameter)}})
}

func (p *pair) confirm(number string) *http.Response {
	return p.give.Post("/h/confirm", url.Values{"number": {number}})
}

func (p *pair) join() *http.Response { return p.take.Post("/h/join", nil) }

// foreign posts as another site's form does.
func (p *pair) foreign(c *walkintest.Client, path string) *http.Response {
	r := c.NewRequest(http.MethodPost, path, nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Origin", "https://evil.example")
	return c.Do(r)
}

func (p *pair) user(c *walkintest.Client) string { return c.Fetch("/").Header.Get("X-User") }

// upTo walks the first n steps of a handover.
func (p *pair) upTo(t *testing.T, n int) {
	t.Helper()
	for i, step := range []func() *http.Response{
		p.start,
		func() *http.Response { return p.give.Fetch("/h/offered") },
		p.scan,
		func() *http.Response { return p.take.Fetch("/h/scanned") },
		func() *http.Response { return p.confirm(p.shown) },
		p.join,
	}[:n] {
		if r := step(); r.StatusCode != http.StatusOK {
			t.Fatalf("step %d: got %d", i, r.StatusCode)
		}
	}
}

// TestEveryStepFails holds that whichever call of the store fails, the answer is 503, no
// browser joins, and the same step succeeds when the store is back.
func TestEveryStepFails(t *testing.T) {
	for n, name := range []string{"start", "offered", "scan", "scanned", "confirm", "join", "start of a new visitor"} {
		t.Run(name, func(t *testing.T) {
			var p *pair
			faulty.EachStep(t, func(t *testing.T, st *faulty.Store) faulty.Call {
				p = newPair(t, st, nil)
				if n == 6 {
					p.give = walkintest.NewClient(t, p.site)
					p.give.Visit("/")
				} else {
					p.upTo(t, n)
				}
				return faulty.Call{Name: name, Ask: []func() *http.Response{
					p.start,
					func() *http.Response { return p.give.Fetch("/h/offered") },
					p.scan,
					func() *http.Response { return p.take.Fetch("/h/scanned") },
					func() *http.Response { return p.confirm(p.shown) },
					p.join,
					p.start,
				}[n]}
			}, func(t *testing.T, step string, answer *http.Response) {
				if p.user(p.take) == p.user(p.give) {
					t.Errorf("%s fails: the second browser has joined", step)
				}
				for _, c := range answer.Cookies() {
					if c.Name != "__Host-walkin-bind" && n != 6 { // which stores its visitor first
						t.Errorf("%s fails: got the cookie %s", step, c.Name)
					}
				}
			})
		})
	}
}

// TestOrder holds that each step is refused where it does not follow the one before, for
// its own reason, and that what has ended stays so, for the browser that scanned it too.
func TestOrder(t *testing.T) {
	for _, tt := range []struct {
		name   string
		upTo   int
		ask    func(p *pair) *http.Response
		reason walkin.Reason
	}{
		{"a number for none", 0, func(p *pair) *http.Response { return p.confirm("1234") }, walkin.ReasonHandoverOver},
		{"a number too early", 1, func(p *pair) *http.Response { return p.confirm("1234") }, handover.ReasonNotOpened},
		{"no number", 4, func(p *pair) *http.Response { return p.confirm("123") }, handover.ReasonNumberMissing},
		{"a wrong number", 4, func(p *pair) *http.Response { return p.confirm(other(p.shown)) }, handover.ReasonWrongNumber},
		{"the right number after a wrong one", 4, func(p *pair) *http.Response {
			p.confirm(other(p.shown))
			return p.confirm(p.shown)
		}, walkin.ReasonHandoverOver},
		{"a scan after a wrong number", 4, func(p *pair) *http.Response {
			p.confirm(other(p.shown))
			return p.scan()
		}, walkin.ReasonHandoverOver},
		{"a page after a wrong number", 4, func(p *pair) *http.Response {
			p.confirm(other(p.shown))
			return p.take.Fetch("/h/scanned")
		}, walkin.ReasonHandoverOver},
		{"a browser that scanned nothing", 4, func(p *pair) *http.Response {
			return walkintest.NewClient(t, p.site).Post("/h/join", nil)
		}, walkin.ReasonHandoverOver},
		{"too early", 4, (*pair).join, handover.ReasonWaiting},
		{"a code of an account", 0, func(p *pair) *http.Response {
			p.give.Post("/h/prove", url.Values{"name": {"ann"}})
			return p.start()
		}, handover.ReasonGivePermanent},
		{"a number of an account", 4, func(p *pair) *http.Response {
			p.give.Post("/h/prove", url.Values{"name": {"ann"}})
			return p.confirm(p.shown)
		}, handover.ReasonGivePermanent},
		{"a scan by an account", 2, func(p *pair) *http.Response {
			p.take.Post("/h/prove", url.Values{"name": {"ann"}})
			return p.scan()
		}, walkin.ReasonHandoverPermanent},
		{"a scan by the same user", 2, func(p *pair) *http.Response {
			p.take = p.give
			return p.scan()
		}, walkin.ReasonHandoverSame},
		{"a code by another site's form", 0, func(p *pair) *http.Response { return p.foreign(p.give, "/h/start") }, walkin.ReasonCrossOrigin},
		{"a number by another site's form", 4, func(p *pair) *http.Response { return p.foreign(p.give, "/h/confirm?number="+p.shown) }, walkin.ReasonCrossOrigin},
		{"a scan by another site's form", 2, func(p *pair) *http.Response {
			u, _ := url.Parse(p.link)
			return p.foreign(p.take, "/h/scan?"+u.RawQuery)
		}, walkin.ReasonCrossOrigin},
		{"joining by another site's form", 5, func(p *pair) *http.Response { return p.foreign(p.take, "/h/join") }, walkin.ReasonCrossOrigin},
		{"another browser's scan", 4, func(p *pair) *http.Response {
			p.take = walkintest.NewClient(t, p.site)
			return p.scan()
		}, handover.ReasonOpenedTwice},
		{"another browser's scan when it is done", 6, func(p *pair) *http.Response {
			p.take = walkintest.NewClient(t, p.site)
			return p.scan()
		}, walkin.ReasonHandoverOver},
	} {
		p := newPair(t, &faulty.Store{}, nil)
		p.upTo(t, tt.upTo)
		p.reasons = nil
		r := tt.ask(p)
		if n := len(p.reasons); r.StatusCode < 400 || n == 0 || p.reasons[n-1] != string(tt.reason) {
			t.Errorf("%s: got %d for %v, want %s", tt.name, r.StatusCode, p.reasons, tt.reason)
		}
		if tt.upTo < 6 && p.take != p.give && p.user(p.take) == p.user(p.give) {
			t.Errorf("%s: it joined", tt.name)
		}
	}
}

// TestStartWithoutAUser holds that a visitor who is none yet can hand over who they
// become by that.
func TestStartWithoutAUser(t *testing.T) {
	p := newPair(t, &faulty.Store{}, nil)
	p.give = walkintest.NewClient(t, p.site)
	p.upTo(t, 6)
	if p.user(p.take) != p.user(p.give) {
		t.Error("the second browser is another user")
	}
}

// TestLimits holds which limit refuses, and that the operator is told which.
func TestLimits(t *testing.T) {
	one := limit.Limit{Count: 1, Per: time.Hour}
	for name, tt := range map[string]struct {
		change func(*handover.Config)
		reason walkin.Reason
	}{
		"of a user":    {func(c *handover.Config) { c.PerUser = one }, handover.ReasonLimitUser},
		"of a network": {func(c *handover.Config) { c.PerNetwork = one }, handover.ReasonLimitNetwork},
	} {
		p := newPair(t, &faulty.Store{}, tt.change)
		p.upTo(t, 1)
		if r := p.start(); r.StatusCode != http.StatusTooManyRequests || len(p.reasons) != 1 || p.reasons[0] != string(tt.reason) {
			t.Errorf("%s: got %d for %v, want 429 for %s", name, r.StatusCode, p.reasons, tt.reason)
		}
	}
	p := newPair(t, &faulty.Store{}, func(c *handover.Config) { c.PerNetwork = limit.Limit{Count: 2, Per: time.Hour} })
	p.take = walkintest.NewClient(t, p.site).From("203.0.113.7:1")
	p.upTo(t, 3)
	p.scan()
	if r := p.scan(); r.StatusCode != http.StatusTooManyRequests || len(p.reasons) != 1 || p.reasons[0] != string(handover.ReasonLimitNetwork) {
		t.Errorf("the third scan: got %d for %v", r.StatusCode, p.reasons)
	}
	for name, cfg := range map[string]handover.Config{
		"PerUser":    {Link: origin + "/x", PerUser: limit.Limit{Count: -1, Per: time.Hour}},
		"PerNetwork": {Link: origin + "/x", PerNetwork: limit.Limit{Count: 1}},
	} {
		if _, err := handover.New(newSite(t).wk[0], cfg); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// TestImage holds that the picture is the QR code of the link, with a margin.
func TestImage(t *testing.T) {
	const link = origin + "/join?code=abcdefghijklmnopqrstuv"
	svg, err := handover.Image(link)
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(link, qr.M, qr.Unicode)
	if err != nil {
		t.Fatal(err)
	}
	size := code.Bounds().Dx()
	if want := fmt.Sprintf(`viewBox="0 0 %d %d"`, size+8, size+8); !regexp.MustCompile(regexp.QuoteMeta(want)).MatchString(svg) {
		t.Errorf("got %.200s, want %s", svg, want)
	}
	drawn := map[[2]int]bool{}
	for _, m := range regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`).FindAllStringSubmatch(svg, -1) {
		var n [4]int
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+1])
		}
		if n[2] != n[3] || n[2] == 0 {
			t.Errorf("a line is no rectangle: %s", m[0])
		}
		for x := range n[2] {
			drawn[[2]int{n[0] + x - 4, n[1] - 4}] = true
		}
	}
	for y := range size {
		for x := range size {
			if r, _, _, _ := code.At(x, y).RGBA(); (r == 0) != drawn[[2]int{x, y}] {
				t.Fatalf("at %d, %d: drawn %t", x, y, drawn[[2]int{x, y}])
			}
		}
	}
	if r, _, _, _ := code.At(0, 0).RGBA(); r != 0 {
		t.Fatal("the corner of a QR code is black")
	}
}
