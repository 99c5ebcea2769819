package handover_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/handover"
	"github.com/walkin-go/walkin/internal/faulty"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestOffered holds what the first browser is shown at each stage: the code until it
// was opened, and then the device.
func TestOffered(t *testing.T) {
	p := newPair(t, &faulty.Store{}, nil)
	for _, tt := range []struct {
		upTo   int
		stage  string
		device string
	}{
		{1, handover.Waiting, ""}, {3, handover.Scanned, "phone"}, {5, handover.Confirmed, "phone"}, {6, handover.Joined, "phone"},
	} {
		p.give, p.take = walkintest.NewClient(t, p.site), walkintest.NewClient(t, p.site)
		p.give.Visit("/")
		p.give.Post("/", nil)
		p.upTo(t, tt.upTo)
		if r := p.give.Fetch("/h/offered"); r.StatusCode != http.StatusOK {
			t.Fatalf("%s: got %d", tt.stage, r.StatusCode)
		}
		shown := tt.stage == handover.Waiting
		if p.stage != tt.stage || p.device != tt.device || strings.HasPrefix(p.link, origin+"/join?code=") != shown || strings.HasPrefix(p.svg, "<svg") != shown ||
			(p.link == "") == shown || (p.svg == "") == shown {
			t.Errorf("%s: got %q of %q, the link %q and %.20q", tt.stage, p.stage, p.device, p.link, p.svg)
		}
	}
	for name, visitor := range map[string]func() *walkintest.Client{
		"without a user": func() *walkintest.Client { return walkintest.NewClient(t, p.site) },
		"an anonymous user who began none": func() *walkintest.Client {
			c := walkintest.NewClient(t, p.site)
			c.Visit("/")
			c.Post("/", nil)
			return c
		},
		"a user with an account, who began one before": func() *walkintest.Client {
			p.give = walkintest.NewClient(t, p.site)
			p.upTo(t, 1)
			p.give.Post("/h/prove", url.Values{"name": {"ann"}})
			return p.give
		},
	} {
		c := visitor()
		p.stage, p.link = "x", "x"
		if r := c.Fetch("/h/offered"); r.StatusCode < 400 || p.stage+p.link != "" {
			t.Errorf("%s: got %d, %q and %q", name, r.StatusCode, p.stage, p.link)
		}
	}
}

// TestKeysRotate holds that a code which was begun under a key that has become an old
// one is still shown, and opens.
func TestKeysRotate(t *testing.T) {
	st := &faulty.Store{Store: memstore.New()}
	before := walkin.Key{ID: "1", Secret: []byte("0123456789abcdef0123456789abcdef")}
	after := walkin.Key{ID: "2", Secret: []byte("fedcba9876543210fedcba9876543210")}
	site := func(keys ...walkin.Key) (*handover.Handovers, func(func(http.ResponseWriter, *http.Request) error) http.Handler) {
		wk, err := walkin.New(walkin.Config{Keys: keys, Store: st})
		if err != nil {
			t.Fatal(err)
		}
		h, err := handover.New(wk, handover.Config{Link: origin + "/join"})
		if err != nil {
			t.Fatal(err)
		}
		return h, func(do func(http.ResponseWriter, *http.Request) error) http.Handler {
			return wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := do(w, r); err != nil {
					wk.Refuse(w, r, err)
				}
			}))
		}
	}
	old, onOld := site(before)
	rotated, onRotated := site(after, before)
	early, onEarly := site(before, after) // a replica that knows the next key already
	c := walkintest.NewClient(t, onOld(old.Start))
	if r := c.Post("/", nil); r.StatusCode != http.StatusOK {
		t.Fatalf("got %d", r.StatusCode)
	}
	var links [3]string
	c.On(onOld(func(_ http.ResponseWriter, r *http.Request) (err error) {
		_, links[0], _, _, err = old.Offered(r)
		return err
	})).Fetch("/")
	c.On(onRotated(func(_ http.ResponseWriter, r *http.Request) (err error) {
		_, links[1], _, _, err = rotated.Offered(r)
		return err
	})).Fetch("/")
	c.On(onEarly(func(_ http.ResponseWriter, r *http.Request) (err error) {
		_, links[2], _, _, err = early.Offered(r)
		return err
	})).Fetch("/")
	if links[0] == "" || links[0] != links[1] || links[0] != links[2] {
		t.Errorf("got %q", links)
	}
	u, _ := url.Parse(links[1])
	second := walkintest.NewClient(t, onRotated(func(w http.ResponseWriter, r *http.Request) error {
		return rotated.Scan(w, r, u.Query().Get(handover.Parameter), "phone")
	}))
	if r := second.Post("/", nil); r.StatusCode != http.StatusOK {
		t.Errorf("opening it: got %d", r.StatusCode)
	}
}

// TestNumbers holds which numbers are no guess, and what a second one does at each
// stage.
func TestNumbers(t *testing.T) {
	for _, number := range []string{"", "123", "12345", "12a4", "-123", "12 4"} {
		p := newPair(t, &faulty.Store{}, nil)
		p.upTo(t, 4)
		if r := p.confirm(number); r.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%q: got %d", number, r.StatusCode)
		}
		if r := p.confirm(p.shown); r.StatusCode != http.StatusOK {
			t.Errorf("the right one after %q: got %d", number, r.StatusCode)
		}
	}
	for _, tt := range []struct {
		name    string
		upTo    int
		right   bool
		status  int
		goesOn  bool // the second browser joins, or has joined
		outcome string
	}{
		{"the right one again", 5, true, http.StatusOK, true, handover.Confirmed},
		{"a wrong one after the right one", 5, false, http.StatusConflict, false, handover.Ended},
		{"the right one when it is done", 6, true, http.StatusOK, true, handover.Joined},
		{"a wrong one when it is done", 6, false, http.StatusOK, true, handover.Joined},
	} {
		p := newPair(t, &faulty.Store{}, nil)
		p.upTo(t, tt.upTo)
		number := p.shown
		if !tt.right {
			number = other(number)
		}
		if r := p.confirm(number); r.StatusCode != tt.status {
			t.Errorf("%s: got %d", tt.name, r.StatusCode)
		}
		if p.give.Fetch("/h/offered"); p.stage != tt.outcome {
			t.Errorf("%s: got %q, want %q", tt.name, p.stage, tt.outcome)
		}
		p.join()
		if got := p.user(p.take) == p.user(p.give); got != tt.goesOn {
			t.Errorf("%s: the second browser is the user: %t", tt.name, got)
		}
	}
	p := newPair(t, &faulty.Store{}, nil)
	p.upTo(t, 4)
	if r := walkintest.NewClient(t, p.site).Post("/h/confirm", url.Values{"number": {p.shown}}); r.StatusCode != http.StatusConflict {
		t.Errorf("a number of a visitor without a user: got %d", r.StatusCode)
	}
}

// TestSecondBrowser holds what the second browser keeps, and that only the cookie of
// the one that opened the code counts, for the code it opened.
func TestSecondBrowser(t *testing.T) {
	const name = "__Host-walkin.handover"
	p := newPair(t, &faulty.Store{}, nil)
	p.upTo(t, 2)
	var set *http.Cookie
	for _, c := range p.scan().Cookies() {
		if c.Name == name {
			set = c
		}
	}
	if set == nil || set.MaxAge != 120 || !set.HttpOnly || len(set.Value) != 26 {
		t.Fatalf("got %v", set)
	}
	p.take.Fetch("/h/scanned")
	number := p.shown
	if r := p.scan(); r.StatusCode != http.StatusOK || p.take.Cookie(name) != set.Value {
		t.Errorf("the second half of a double click: got %d, and another cookie: %t", r.StatusCode, p.take.Cookie(name) != set.Value)
	}
	if p.take.Fetch("/h/scanned"); p.shown != number {
		t.Errorf("the number was %s and is %s", number, p.shown)
	}
	for what, value := range map[string]string{
		"none": "", "shorter": set.Value[:25], "longer": set.Value + "A", "another": strings.Repeat("A", 26),
		"one of two": set.Value + "; " + name + "=" + strings.Repeat("A", 26),
	} {
		thief := walkintest.NewClient(t, p.site)
		r := thief.NewRequest(http.MethodGet, "/h/scanned", nil)
		r.Header.Set("Cookie", name+"="+value)
		p.shown = ""
		if response, err := thief.Serve(r); err != nil || response.StatusCode != http.StatusConflict || p.shown != "" {
			t.Errorf("%s: got %d, %v and the number %q", what, response.StatusCode, err, p.shown)
		}
	}
	// A code that is shown in place of the first one ends what was opened.
	p.start()
	p.shown = ""
	if r := p.take.Fetch("/h/scanned"); r.StatusCode != http.StatusConflict || p.shown != "" {
		t.Errorf("after another code: got %d and the number %q", r.StatusCode, p.shown)
	}
	p.confirm(number)
	if r := p.join(); r.StatusCode != http.StatusConflict || p.user(p.take) == p.user(p.give) {
		t.Errorf("joining after another code: got %d", r.StatusCode)
	}
}

// A meanwhile store does something just before a transaction begins.
type meanwhile struct {
	store.Store
	do func()
}

func (m *meanwhile) InTx(ctx context.Context, fn func(context.Context) error) error {
	if do := m.do; do != nil {
		m.do = nil
		do()
	}
	return m.Store.InTx(ctx, fn)
}

// TestMeanwhile holds that what happens between a look at a handover and the
// transaction counts: nothing is decided by what was seen before.
func TestMeanwhile(t *testing.T) {
	for _, tt := range []struct {
		name      string
		upTo      int
		ask       func(p *pair) *http.Response
		meanwhile func(p *pair)
		want      int
		joined    bool
	}{
		{"it is over", 5, func(p *pair) *http.Response {
			time.Sleep(handover.Lifetime - time.Second)
			return p.join()
		}, func(*pair) { time.Sleep(time.Second) }, http.StatusConflict, false},
		{"a wrong number", 5, (*pair).join, func(p *pair) { p.confirm(other(p.shown)) }, http.StatusConflict, false},
		{"another code", 5, (*pair).join, func(p *pair) { p.start() }, http.StatusConflict, false},
		{"another code that another browser opened, and that was confirmed", 5, (*pair).join, func(p *pair) {
			first := p.take
			p.take = walkintest.NewClient(t, p.site)
			p.upTo(t, 5)
			p.take = first
		}, http.StatusConflict, false},
		{"the number, just in time", 4, (*pair).join, func(p *pair) { p.confirm(p.shown) }, http.StatusOK, true},
		{"an account", 5, (*pair).join, func(p *pair) { p.give.Post("/h/prove", url.Values{"name": {"ann"}}) }, http.StatusConflict, false},
		{"a scan of another code", 2, (*pair).scan, func(p *pair) { p.start() }, http.StatusConflict, false},
		{"a number for another code", 4, func(p *pair) *http.Response { return p.confirm(p.shown) }, func(p *pair) { p.start() }, http.StatusConflict, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := &faulty.Store{}
				p := newPair(t, st, nil)
				m := &meanwhile{Store: st.Store}
				st.Store = m
				p.upTo(t, tt.upTo)
				m.do = func() { tt.meanwhile(p) }
				if r := tt.ask(p); r.StatusCode != tt.want || m.do != nil {
					t.Errorf("got %d for %v, want %d", r.StatusCode, p.reasons, tt.want)
				}
				if got := p.user(p.take) == p.user(p.give); got != tt.joined {
					t.Errorf("the second browser is the user: %t", got)
				}
			})
		})
	}
}

// TestWait holds that who is refused by a limit learns how long to wait, and that an
// IPv6 /48 has four times as much.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, &faulty.Store{}, func(c *handover.Config) { c.PerUser = limit.Limit{Count: 2, Per: time.Hour} })
		p.start()
		p.start()
		if r := p.start(); r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") != "1800" {
			t.Errorf("got %d and Retry-After %q", r.StatusCode, r.Header.Get("Retry-After"))
		}
		time.Sleep(30 * time.Minute)
		if r := p.start(); r.StatusCode != http.StatusOK {
			t.Errorf("half an hour later: got %d", r.StatusCode)
		}
	})
	p := newPair(t, &faulty.Store{}, func(c *handover.Config) { c.PerNetwork = limit.Limit{Count: 1, Per: time.Hour} })
	good := 0
	for _, address := range []string{"[2001:db8:7:1::1]:1", "[2001:db8:7:1::2]:1", "[2001:db8:7:2::1]:1", "[2001:db8:7:3::1]:1", "[2001:db8:7:4::1]:1", "[2001:db8:7:5::1]:1"} {
		p.give = walkintest.NewClient(t, p.site).From(address)
		if p.start().StatusCode == http.StatusOK {
			good++
		}
	}
	if good != 4 {
		t.Errorf("got %d of a /48, want 4", good)
	}
}

// TestUnreadable holds that a handover which the store brings back damaged opens nothing,
// and that a link too long for a picture is an error.
func TestUnreadable(t *testing.T) {
	for n, ask := range map[int]func(p *pair) *http.Response{
		1: func(p *pair) *http.Response { return p.give.Fetch("/h/offered") },
		2: (*pair).scan,
		3: func(p *pair) *http.Response { return p.take.Fetch("/h/scanned") },
		4: func(p *pair) *http.Response { return p.confirm(p.shown) },
		5: (*pair).join,
	} {
		st := &faulty.Store{}
		p := newPair(t, st, nil)
		p.upTo(t, n)
		kept := st.Store
		st.Store = damaging{kept}
		if r := ask(p); r.StatusCode != http.StatusInternalServerError {
			t.Errorf("step %d: got %d for %v", n, r.StatusCode, p.reasons)
		}
		st.Store = kept
		if p.user(p.take) == p.user(p.give) {
			t.Errorf("step %d: the second browser has joined", n)
		}
	}
	p := newPair(t, &faulty.Store{}, func(c *handover.Config) { c.Link = origin + "/" + strings.Repeat("x", 3000) })
	p.upTo(t, 1)
	if r := p.give.Fetch("/h/offered"); r.StatusCode != http.StatusInternalServerError {
		t.Errorf("a link of 3,000 bytes: got %d", r.StatusCode)
	}
}

// A damaging store cuts short what tickets hold.
type damaging struct{ store.Store }

func (d damaging) Ticket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	t, err := d.Store.Ticket(ctx, key, now)
	if len(t.Data) > 0 {
		t.Data = t.Data[:len(t.Data)-1]
	}
	return t, err
}

// TestSessionOfTheFirst holds that a handover ends with the session that began it, at
// each stage, though its user is still there.
func TestSessionOfTheFirst(t *testing.T) {
	for n, ask := range map[int]func(p *pair) *http.Response{2: (*pair).scan, 5: (*pair).join} {
		st := &faulty.Store{}
		p := newPair(t, st, nil)
		p.upTo(t, n)
		user := uuid.MustParse(p.user(p.give))
		sessions, err := st.UserSessions(t.Context(), user)
		if err != nil || len(sessions) != 1 {
			t.Fatalf("got %v, %v", sessions, err)
		}
		if err := st.DeleteSession(t.Context(), user, sessions[0].ID); err != nil {
			t.Fatal(err)
		}
		p.reasons = nil
		if r := ask(p); r.StatusCode != http.StatusConflict || len(p.reasons) != 1 || p.reasons[0] != string(walkin.ReasonHandoverOver) {
			t.Errorf("step %d: got %d for %v", n, r.StatusCode, p.reasons)
		}
		if p.user(p.take) == user.String() {
			t.Errorf("step %d: the second browser has joined", n)
		}
	}
}
