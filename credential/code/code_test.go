package code_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/texts"
)

// An address with an account and one without get the same answers, from every form and
// for every visitor: status, headers, body, and what the operator logs. The message
// alone differs, and one is sent either way.
func TestEnumeration(t *testing.T) {
	type answer struct {
		status  int
		header  http.Header
		body    string
		reasons []string
	}
	const free = "bob@example.com"
	paths := func(v visitor, to, typed string) []*http.Response {
		return []*http.Response{
			v.Post(sendPath, url.Values{"email": {to}, "return_to": {"/notes"}}),
			v.Post("/signin", url.Values{"code": {typed}}),
			v.Post("/upgrade", url.Values{"code": {typed}}),
			v.Post("/code", url.Values{"code": {typed}}),
			v.Post("/join/send", url.Values{"email": {to}, "password": {secret}}),
			v.Post("/join", url.Values{"code": {typed}}),
			v.Post("/login", url.Values{"email": {to}, "password": {secret}}),
		}
	}
	for _, start := range []struct {
		name  string
		visit func(*world, http.Handler) visitor
	}{{"nobody", (*world).stranger}, {"a guest", (*world).anonymous}} {
		t.Run(start.name, func(t *testing.T) {
			var got [2][]answer
			for i, to := range []string{ann, free} {
				s := newWorld(t)
				site := s.replica()
				owner := s.anonymous(site)
				want(t, owner.enter(owner.mustAsk(ann).Code), http.StatusSeeOther)
				before := len(s.mail.sent())
				v := start.visit(s, site).from(100)
				for _, response := range paths(v, to, "000000") {
					h := maps.Clone(response.Header)
					for _, line := range h["Set-Cookie"] { // names and attributes; the values are random
						name, rest, _ := strings.Cut(line, "=")
						_, attributes, _ := strings.Cut(rest, ";")
						h.Add("X-Cookie", name+attributes)
					}
					h.Del("Set-Cookie")
					got[i] = append(got[i], answer{response.StatusCode, h, body(t, response), s.reasons()})
				}
				if sent := s.mail.sent()[before:]; len(sent) != 2 || sent[0].To != to || sent[0].Owned != (to == ann) {
					t.Errorf("sent %d messages: %+v", len(sent), sent)
				}
			}
			for i := range got[0] {
				// The reasons are for the operator alone; those of a
				// password tell an unknown name, and are compared up to there.
				a, b := got[0][i], got[1][i]
				if i == len(got[0])-1 {
					a.reasons, b.reasons = nil, nil
				}
				if fmt.Sprint(a) != fmt.Sprint(b) {
					t.Errorf("answer %d differs\n taken: %v\n free:  %v", i, a, b)
				}
			}
		})
	}
}

// The calls to the store and the sender are the same, in the same order, for a
// taken address and a free one: so is the time.
func TestSendDoesTheSameWork(t *testing.T) {
	var got [2][]string
	for i, to := range []string{ann, "bob@example.com"} {
		s := newWorld(t)
		v := s.anonymous(s.replica())
		want(t, v.enter(v.mustAsk(ann).Code), http.StatusSeeOther)
		log := &recorder{Store: s.store}
		s.over = log
		s.change = func(cfg *code.Config) {
			cfg.Sender = code.SenderFunc(func(context.Context, code.Message) error {
				log.calls = append(log.calls, "Send")
				return nil
			})
		}
		want(t, s.stranger(s.replica()).ask(to), http.StatusSeeOther)
		got[i] = log.calls
	}
	if !slices.Equal(got[0], got[1]) || len(got[0]) != 3 {
		t.Errorf("got %v for a taken address, %v for a free one", got[0], got[1])
	}
	// A code is replaced by the next one, with no moment between them.
	s := newWorld(t)
	log := &recorder{Store: s.store}
	s.over = log
	v := s.anonymous(s.replica())
	v.mustAsk(ann)
	v.mustAsk(ann)
	if want := []string{"Identity", "PutTicket", "Identity", "PutTicket"}; !slices.Equal(log.calls, want) {
		t.Errorf("two codes one after the other: got %v, want %v", log.calls, want)
	}
}

// A recorder notes what is asked of a store.
type recorder struct {
	store.Store
	calls []string
}

func (s *recorder) Identity(ctx context.Context, provider, subject string) (store.Identity, error) {
	s.calls = append(s.calls, "Identity")
	return s.Store.Identity(ctx, provider, subject)
}

func (s *recorder) PutTicket(ctx context.Context, ticket store.Ticket) error {
	s.calls = append(s.calls, "PutTicket")
	return s.Store.PutTicket(ctx, ticket)
}

func (s *recorder) TakeTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	s.calls = append(s.calls, "TakeTicket")
	return s.Store.TakeTicket(ctx, key, now)
}

// A spyLimiter counts what is taken and given back.
type spyLimiter struct {
	limit.Limiter
	writes atomic.Int32
}

func (l *spyLimiter) Take(ctx context.Context, key string, limit limit.Limit, n int, now time.Time) (limit.Verdict, error) {
	if n != 0 {
		l.writes.Add(1)
	}
	return l.Limiter.Take(ctx, key, limit, n, now)
}

// Four limits, each on its own: a visitor over one gets 429 and Retry-After, nothing is
// sent, nothing else is used up, and nothing is written for it.
func TestLimits(t *testing.T) {
	const few = 3
	most := limit.Limit{Count: few, Per: time.Hour}
	for _, tt := range []struct {
		name, reason string
		set          func(*code.Config)
		ask          func(s *world, site http.Handler, first visitor, i int) *http.Response // number i of those that share the limit
		free         func(s *world, site http.Handler, first visitor) *http.Response        // one that does not
	}{
		{"per browser", "code_limit_browser", func(cfg *code.Config) { cfg.PerBrowser = most },
			func(_ *world, _ http.Handler, first visitor, i int) *http.Response {
				return first.from(i).ask(fmt.Sprintf("a%d@example.com", i))
			},
			func(s *world, site http.Handler, _ visitor) *http.Response { return s.anonymous(site).from(1).ask(ann) }},
		{"per network", "code_limit_network", func(cfg *code.Config) { cfg.PerNetwork = most },
			func(s *world, site http.Handler, _ visitor, i int) *http.Response {
				return s.stranger(site).from(1).ask(fmt.Sprintf("a%d@example.com", i))
			},
			func(_ *world, _ http.Handler, first visitor) *http.Response { return first.from(2).ask(ann) }},
		{"per address and network", "code_limit_address_and_network", func(cfg *code.Config) { cfg.PerAddressAndNetwork = most },
			func(s *world, site http.Handler, _ visitor, _ int) *http.Response {
				return s.stranger(site).from(1).ask(ann)
			},
			func(s *world, site http.Handler, _ visitor) *http.Response { return s.stranger(site).from(2).ask(ann) }},
		{"per address", "code_limit_address", func(cfg *code.Config) { cfg.PerAddress = most },
			func(s *world, site http.Handler, _ visitor, i int) *http.Response {
				return s.stranger(site).from(i).ask(ann)
			},
			func(s *world, site http.Handler, first visitor) *http.Response { return first.from(0).ask(eve) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newWorld(t)
				shared := &spyLimiter{Limiter: limit.New(0)} // by the replicas
				s.limiter = shared
				s.change = tt.set
				replicas := []http.Handler{s.replica(), s.replica()}
				first := s.anonymous(replicas[0])
				for i := range few {
					want(t, tt.ask(s, replicas[i%2], first.on(replicas[i%2]), i), http.StatusSeeOther)
				}
				shared.writes.Store(0)
				refused := tt.ask(s, replicas[1], first, few)
				want(t, refused, http.StatusTooManyRequests)
				if got := shared.writes.Load(); got > 0 {
					t.Errorf("a refusal changed the shared limiter %d times, want none", got)
				}
				if got := refused.Header.Get("Retry-After"); got != "1200" {
					t.Errorf("got Retry-After %q, want 1200", got)
				}
				if text := body(t, refused); !strings.Contains(text, "wait 20 minutes") || strings.Contains(text, "example.com") {
					t.Errorf("got %s", text)
				}
				if got := s.lastReason(); got != tt.reason {
					t.Errorf("got reason %q, want %q", got, tt.reason)
				}
				if got := len(s.mail.sent()); got != few {
					t.Errorf("%d messages were sent", got)
				}
				want(t, tt.free(s, replicas[0], first), http.StatusSeeOther)
				time.Sleep(20 * time.Minute)
				want(t, tt.ask(s, replicas[0], first, few), http.StatusSeeOther)
			})
		})
	}
}

// A visitor over the limit of their own network takes nothing away from the owner of an
// address; and signing in as often as one likes is no flood.
func TestLimitsSpareTheOwner(t *testing.T) {
	s := newWorld(t)
	s.change = func(cfg *code.Config) {
		cfg.PerNetwork = limit.Limit{Count: 20, Per: time.Hour}
		cfg.PerAddress = limit.Limit{Count: 6, Per: time.Hour}
		cfg.PerAddressAndNetwork = limit.Limit{Count: 3, Per: time.Hour}
	}
	site := s.replica()
	refused := 0
	for range 50 {
		if s.stranger(site).from(66).ask(ann).StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != 47 {
		t.Errorf("%d of 50 were refused, want 47", refused)
	}
	for i := range 15 {
		owner := s.stranger(site).from(i % 2)
		want(t, owner.ask(ann), http.StatusSeeOther)
		want(t, owner.enter(s.mail.last(t, ann).Code), http.StatusSeeOther)
	}
}

// One message is given back once, however often its code is typed in: an address of
// one's own must not make room for messages to another user's.
func TestGivenBackOnce(t *testing.T) {
	s := newWorld(t)
	s.change = func(cfg *code.Config) { cfg.PerAddress = limit.Limit{Count: 3, Per: time.Hour} }
	s.config = func(cfg *walkin.Config) {
		cfg.Hooks.OnUpgrade = func(context.Context, walkin.Change) error { return &walkin.Refusal{Reason: "closed"} }
	}
	site := s.replica()
	for i := range 2 {
		want(t, s.stranger(site).from(i).ask("annlee@example.com"), http.StatusSeeOther)
	}
	own := s.stranger(site).from(2)
	typed := own.mustAsk("ann.lee@example.com").Code
	for range 5 {
		want(t, own.enter(typed), http.StatusForbidden)
	}
	want(t, s.stranger(site).from(3).ask("annlee@example.com"), http.StatusSeeOther)
	want(t, s.stranger(site).from(4).ask("annlee@example.com"), http.StatusTooManyRequests)
}

// A visitor who writes one mailbox in many ways has one limit for it; the addresses
// stay different identities.
func TestLimitsOfOneMailbox(t *testing.T) {
	s := newWorld(t)
	s.change = func(cfg *code.Config) { cfg.PerAddress = limit.Limit{Count: 3, Per: time.Hour} }
	site := s.replica()
	for i, address := range []string{"ann.lee@example.com", "annlee+1@example.com", "a.n.n.l.e.e+2+3@example.com"} {
		v := s.stranger(site).from(i)
		want(t, v.ask(address), http.StatusSeeOther)
		if got := s.mail.sent()[i].To; got != address {
			t.Errorf("it was sent to %q, want %q", got, address)
		}
	}
	want(t, s.stranger(site).from(4).ask("ANNLEE+another@example.com"), http.StatusTooManyRequests)
	if got := s.lastReason(); got != "code_limit_address" {
		t.Errorf("got reason %q", got)
	}
	for i := range 3 {
		want(t, s.stranger(site).from(10+i).ask(fmt.Sprintf("b+%d@example.com", i)), http.StatusSeeOther)
		want(t, s.stranger(site).from(20+i).ask("+a@example.com"), http.StatusSeeOther)
	}
	want(t, s.stranger(site).from(13).ask("b+3@example.com"), http.StatusTooManyRequests)
	want(t, s.stranger(site).from(23).ask("+b@example.com"), http.StatusSeeOther)
	for i, other := range []string{"annlee@example.org", "annleo+1@example.com", "+annlee@example.com"} {
		want(t, s.stranger(site).from(5+i).ask(other), http.StatusSeeOther)
	}
}

// A password costs a hash, so it is looked at when there is room for a message,
// and takes none when it will not do.
func TestLimitsComeBeforeTheSecret(t *testing.T) {
	s := newWorld(t)
	looked, refuse := 0, false
	s.change = func(cfg *code.Config) {
		cfg.PerNetwork = limit.Limit{Count: 3, Per: time.Hour}
		cfg.Secret = func(*http.Request) ([]byte, error) {
			if looked++; refuse {
				return nil, &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: "password_short"}
			}
			return []byte("a hash"), nil
		}
	}
	site := s.replica()
	refuse = true
	for range 10 {
		want(t, s.stranger(site).from(1).ask(ann), http.StatusUnprocessableEntity)
	}
	refuse, looked = false, 0
	for range 3 {
		want(t, s.stranger(site).from(1).ask(ann), http.StatusSeeOther)
	}
	for range 10 {
		want(t, s.stranger(site).from(1).ask(ann), http.StatusTooManyRequests)
	}
	if looked != 3 {
		t.Errorf("the secret was looked at %d times, want 3", looked)
	}
}

// A limiter that is down neither opens nor closes the form.
func TestLimiterDown(t *testing.T) {
	s := newWorld(t)
	s.limiter = down{}
	site := s.replica()
	refused := 0
	for range 8 {
		if s.stranger(site).from(1).ask(ann).StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != 3 {
		t.Errorf("%d of 8 were refused, want 3", refused)
	}
}

type down struct{}

func (down) Take(context.Context, string, limit.Limit, int, time.Time) (limit.Verdict, error) {
	return limit.Verdict{}, errors.New("no route to the limiter")
}

// A form from elsewhere sends nothing, and neither does a GET.
func TestSendIsAnActOfTheSite(t *testing.T) {
	s := newWorld(t)
	v := s.anonymous(s.replica())
	r := v.NewRequest(http.MethodPost, sendPath, form("email", ann))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	want(t, v.Do(r), http.StatusForbidden)
	want(t, v.Visit(sendPath+"?email="+ann), http.StatusMethodNotAllowed)
	r = v.NewRequest(http.MethodPost, "/own/send", form("email", ann)) // a handler of the app's own
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	want(t, v.Do(r), http.StatusForbidden)
	want(t, v.Post(sendPath+"?email="+ann, url.Values{"x": {"y"}}), http.StatusUnprocessableEntity)
	if got := len(s.mail.sent()); got != 0 {
		t.Errorf("%d messages were sent", got)
	}
	own := v.Post("/own/send", url.Values{"email": {ann}})
	if want(t, own, http.StatusOK); !strings.Contains(own.Header.Get("Cache-Control"), "no-store") || len(s.mail.sent()) != 1 {
		t.Errorf("got %v, and %d messages were sent", own.Header, len(s.mail.sent()))
	}
}

// TestWithoutLink holds that without Config.Link a message has none.
func TestWithoutLink(t *testing.T) {
	s := newWorld(t)
	s.change = func(cfg *code.Config) { cfg.Link = "" }
	if m := s.stranger(s.replica()).mustAsk(ann); m.Link != "" {
		t.Errorf("got the link %q", m.Link)
	}
}

// A link is a page: opening it changes nothing and spends no try, as often as a
// scanner may do it. Its button works in the browser that asked.
func TestLink(t *testing.T) {
	s := newWorld(t)
	site := s.replica()
	v := s.anonymous(site)
	id, _ := v.whoami()
	want(t, v.Post(sendPath, url.Values{"email": {ann}, "return_to": {"/notes?a=b"}}), http.StatusSeeOther)
	message := s.mail.last(t, ann)
	if message.Link != linkURL+"?code="+message.Code {
		t.Fatalf("got link %s", message.Link)
	}
	path := "/code?code=" + message.Code
	for range 20 {
		for _, scanner := range []visitor{s.stranger(site), v} {
			want(t, scanner.Visit(path), http.StatusOK)
			want(t, scanner.Do(scanner.NewRequest(http.MethodHead, path, nil)), http.StatusOK)
		}
	}
	v.must(id, false)

	page := v.Visit(path)
	text := body(t, page)
	if !contains(text, "<button>", `name="code" value="`+message.Code+`"`, `name="return_to" value="/notes?a=b"`) {
		t.Errorf("the page says %s", text)
	}
	for name, value := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "strict-origin", "X-Robots-Tag": "noindex",
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	} {
		if got := page.Header.Get(name); got != value {
			t.Errorf("got %s %q, want %q", name, got, value)
		}
	}
	// A wrong code looks like the right one until it is posted.
	if wrong := body(t, v.Visit("/code?code="+other(message.Code))); strings.ReplaceAll(wrong, other(message.Code), message.Code) != text {
		t.Error("the page tells a right code from a wrong one")
	}
	for _, query := range []string{"", "?code=", "?code=12345", "?code=<script>", "?code=call+0900", "?code=123456&code=x"} {
		response := v.Visit("/code" + query)
		if query == "?code=123456&code=x" {
			want(t, response, http.StatusOK)
			continue
		}
		want(t, response, http.StatusNotFound)
		if text := body(t, response); contains(text, "script>") || contains(text, "0900") || !contains(text, "not complete") {
			t.Errorf("%s: the page says %s", query, text)
		}
	}
	want(t, v.Post(path, url.Values{"x": {"y"}}), http.StatusUnprocessableEntity) // the body counts
	wrong := v.Post("/code", url.Values{"code": {other(message.Code)}})
	want(t, wrong, http.StatusUnauthorized)
	if text := body(t, wrong); !contains(text, "That code is not right") {
		t.Errorf("the page says %s", text)
	}
	done := v.Post("/code", url.Values{"code": {message.Code}, "return_to": {"/notes?a=b"}})
	want(t, done, http.StatusSeeOther)
	if got := done.Header.Get("Location"); got != "/notes?a=b" {
		t.Errorf("got %q", got)
	}
	v.must(id, true)
}

// What was asked for with a return_to to elsewhere leads nowhere else, and is in
// no message.
func TestLinkReturnsHome(t *testing.T) {
	s := newWorld(t)
	v := s.anonymous(s.replica())
	sent := v.Post(sendPath, url.Values{"email": {ann}, "return_to": {"https://evil.example/"}})
	if got := sent.Header.Get("Location"); got != "/signin?return_to=https%3A%2F%2Fevil.example%2F" {
		t.Errorf("got %q", got)
	}
	message := s.mail.last(t, ann)
	if strings.Contains(message.Link, "evil") {
		t.Errorf("got link %s", message.Link)
	}
	if text := body(t, v.Visit("/code?code="+message.Code)); contains(text, "evil") {
		t.Errorf("the page says %s", text)
	}
	done := v.Post("/signin", url.Values{"code": {message.Code}, "return_to": {"https://evil.example/"}})
	if got := done.Header.Get("Location"); got != "/" {
		t.Errorf("got %q", got)
	}
}

// Pending names the address for the page that asks for the code, in the browser
// that asked, while there is a code to type.
func TestPending(t *testing.T) {
	s := newWorld(t)
	site := s.replica()
	v, elsewhere := s.anonymous(site), s.anonymous(site)
	want(t, v.Fetch("/pending"), http.StatusNotFound)
	typed := v.mustAsk(ann).Code
	if got := body(t, v.Fetch("/pending")); got != ann {
		t.Errorf("got %q", got)
	}
	want(t, elsewhere.Fetch("/pending"), http.StatusNotFound)
	want(t, v.enter(typed), http.StatusSeeOther)
	want(t, v.Fetch("/pending"), http.StatusNotFound)

	tried := s.anonymous(site)
	typed = tried.mustAsk(eve).Code
	for i := range 5 {
		want(t, tried.Fetch("/pending"), http.StatusOK)
		if want(t, tried.enter(other(typed)), http.StatusUnauthorized); i == 4 {
			want(t, tried.Fetch("/pending"), http.StatusNotFound)
		}
	}
}

// What is stored does not give the code away to a reader without the key, and what is
// told and answered has neither code nor address.
func TestNothingLeaks(t *testing.T) {
	s := newWorld(t)
	log := &tickets{Store: s.store}
	s.over = log
	s.mail.fail = errors.New("the relay is down")
	v := s.anonymous(s.replica())
	failed := v.ask(ann)
	want(t, failed, http.StatusServiceUnavailable)
	s.mail.fail = nil
	first := v.mustAsk(ann).Code
	v.enter(other(first))
	second := v.mustAsk(ann).Code
	if len(log.data) != 3 || log.data[1] == log.data[2] {
		t.Errorf("got %d tickets", len(log.data))
	}
	for _, data := range log.data {
		for _, secret := range []string{first, second} {
			if strings.Contains(data, secret) {
				t.Error("a ticket holds the code")
			}
		}
	}
	told := fmt.Sprintf("%+v", s.events) + body(t, failed)
	for _, secret := range []string{first, second, ann, "example.com"} {
		if strings.Contains(told, secret) {
			t.Errorf("%q was told: %s", secret, told)
		}
	}
	for _, e := range s.events {
		if e.Reason == "send_failed" && !errors.Is(e.Err, s.mail.fail) && e.Err.Error() != "the relay is down" {
			t.Errorf("got %v", e.Err)
		}
	}
}

type tickets struct {
	store.Store
	data []string
}

func (s *tickets) PutTicket(ctx context.Context, ticket store.Ticket) error {
	s.data = append(s.data, string(ticket.Data))
	return s.Store.PutTicket(ctx, ticket)
}

// Another key makes another MAC: a code of before is none, unless its key still
// verifies. Then replicas change one after the other, and no code is lost.
func TestKey(t *testing.T) {
	one := walkin.Key{Secret: []byte("a test's own thirty-two bytes of it")}
	another := walkin.Key{Secret: []byte(strings.Repeat("another key, ", 3))}
	with := func(keys ...walkin.Key) func(*walkin.Config) {
		return func(cfg *walkin.Config) { cfg.Keys = keys }
	}
	known, swapped := with(one, another), with(another, one)
	for _, tt := range []struct {
		name          string
		first, second func(*walkin.Config)
		status        int
	}{
		{"replaced", with(one), with(another), http.StatusUnauthorized},
		{"kept to verify", with(one), swapped, http.StatusSeeOther},
		{"replicas, one before the swap", swapped, known, http.StatusSeeOther},
		{"replicas, one after the swap", known, swapped, http.StatusSeeOther},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newWorld(t)
			s.config = tt.first
			v := s.stranger(s.replica())
			typed := v.mustAsk(ann).Code
			s.config = tt.second
			want(t, v.on(s.replica()).enter(typed), tt.status)
		})
	}
}

// A message that cannot be sent is 503, uses nothing of the address up, and leaves
// the visitor as they were; one that hangs ends with Config.Timeout, and not with the client.
func TestSenderFails(t *testing.T) {
	t.Run("down", func(t *testing.T) {
		s := newWorld(t)
		s.mail.fail = errors.New("the relay is down")
		v := s.anonymous(s.replica())
		id, _ := v.whoami()
		for range 8 { // more than an address has, and fewer than a browser
			response := v.ask(ann)
			want(t, response, http.StatusServiceUnavailable)
			if response.Header.Get("Retry-After") == "" {
				t.Error("there is no Retry-After")
			}
		}
		v.must(id, false)
		s.mail.fail = nil
		want(t, v.ask(ann), http.StatusSeeOther)
		want(t, v.ask(ann), http.StatusSeeOther)
		want(t, v.ask(ann), http.StatusTooManyRequests) // the tries before count for the browser
		want(t, v.enter(s.mail.last(t, ann).Code), http.StatusSeeOther)
	})
	t.Run("a function", func(t *testing.T) {
		s := newWorld(t)
		s.change = func(cfg *code.Config) {
			cfg.PerNetwork = limit.Limit{Count: 3, Per: time.Hour}
			cfg.Sender = code.SenderFunc(func(context.Context, code.Message) error { return errors.New("the relay is down") })
		}
		site := s.replica()
		for range 3 {
			want(t, s.stranger(site).from(1).ask(ann), http.StatusServiceUnavailable)
		}
		want(t, s.stranger(site).from(1).ask(ann), http.StatusTooManyRequests) // the network's tries count
		if got := s.lastReason(); got != "code_limit_network" {
			t.Errorf("got reason %q", got)
		}
	})
	t.Run("hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newWorld(t)
			began, hangUp := 0, func() {}
			s.change = func(cfg *code.Config) {
				cfg.Timeout = 5 * time.Second
				cfg.Sender = code.SenderFunc(func(ctx context.Context, _ code.Message) error {
					began++
					hangUp()
					start := time.Now()
					<-ctx.Done()
					if got := time.Since(start); got != 5*time.Second {
						t.Errorf("the sender had %v", got)
					}
					return ctx.Err()
				})
			}
			v := s.anonymous(s.replica())
			for range 6 { // five, by the limit on an address from a network
				r := v.NewRequest(http.MethodPost, sendPath, form("email", ann))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				ctx, cancel := context.WithCancel(t.Context())
				hangUp = cancel
				v.Do(r.WithContext(ctx))
				cancel()
			}
			if began != 5 {
				t.Errorf("%d messages were begun, want 5", began)
			}
		})
	})
}

// While the store is down nothing is sent and nothing is proven, with 503.
func TestStoreDown(t *testing.T) {
	s := newWorld(t)
	site := s.replica()
	v := s.anonymous(site)
	typed := v.mustAsk(ann).Code
	s.over = broken{s.store}
	v = v.on(s.replica())
	want(t, v.ask(ann), http.StatusServiceUnavailable)
	want(t, v.enter(typed), http.StatusServiceUnavailable)
	want(t, v.Fetch("/pending"), http.StatusNotFound)
	if e := s.events[len(s.events)-1]; e.Reason != "code_pending" || !errors.Is(e.Err, errBroken) {
		t.Errorf("the operator is told %+v", e)
	}
	if page := body(t, v.Visit("/code?code="+typed)); !contains(page, "Your code is") {
		t.Errorf("the page says %s", page)
	}
	if got := len(s.mail.sent()); got != 1 {
		t.Errorf("%d messages were sent", got)
	}
	want(t, v.on(site).enter(typed), http.StatusSeeOther)
}

// A store that fails at any step of using a code up leaves the code, and the
// visitor, as they were; and the question what becomes of an anonymous user may be asked for
// as long as the code lives.
func TestStoreFailsMidway(t *testing.T) {
	for _, method := range []string{"TakeTicket", "PutTicket"} {
		s := newWorld(t)
		site := s.replica()
		v := s.anonymous(site)
		id, _ := v.whoami()
		typed := v.mustAsk(ann).Code
		s.over = failing{s.store, method}
		want(t, v.on(s.replica()).enter(typed), http.StatusServiceUnavailable)
		v.must(id, false)
		if s.owner("email", ann) != uuid.Nil {
			t.Errorf("%s: the address belongs to somebody", method)
		}
		want(t, v.enter(typed), http.StatusSeeOther)
		v.must(id, true)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newWorld(t)
		keep := true
		s.config = func(cfg *walkin.Config) {
			cfg.Hooks.OnMerge = func(context.Context, walkin.Change) error {
				if keep {
					return &walkin.Refusal{Status: http.StatusConflict, Reason: "ask"}
				}
				return nil
			}
		}
		site := s.replica()
		owner := s.anonymous(site)
		want(t, owner.enter(owner.mustAsk(ann).Code), http.StatusSeeOther)
		v := s.anonymous(site)
		id, _ := v.whoami()
		typed := v.mustAsk(ann).Code
		want(t, v.enter(typed), http.StatusConflict)
		v.must(id, false)
		keep = false
		time.Sleep(time.Minute)
		want(t, v.enter(typed), http.StatusSeeOther)
		v.must(s.owner("email", ann).String(), true)
	})
}

type failing struct {
	store.Store
	method string
}

func (s failing) TakeTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if s.method == "TakeTicket" {
		return store.Ticket{}, errBroken
	}
	return s.Store.TakeTicket(ctx, key, now)
}

func (s failing) PutTicket(ctx context.Context, ticket store.Ticket) error {
	if s.method == "PutTicket" {
		return errBroken
	}
	return s.Store.PutTicket(ctx, ticket)
}

type broken struct{ store.Store }

var errBroken = errors.New("the store is down")

func (broken) Identity(context.Context, string, string) (store.Identity, error) {
	return store.Identity{}, errBroken
}
func (broken) Ticket(context.Context, string, time.Time) (store.Ticket, error) {
	return store.Ticket{}, errBroken
}
func (broken) TryTicket(context.Context, string, time.Time) (store.Ticket, error) {
	return store.Ticket{}, errBroken
}

// Codes have as many digits as were asked for, and all of them occur.
func TestDigits(t *testing.T) {
	for digits := 6; digits <= 8; digits++ {
		s := newWorld(t)
		wide := limit.Limit{Count: 1000, Per: time.Hour}
		s.change = func(cfg *code.Config) {
			cfg.Digits, cfg.PerBrowser, cfg.PerNetwork, cfg.PerAddress, cfg.PerAddressAndNetwork = digits, wide, wide, wide, wide
		}
		v := s.anonymous(s.replica())
		seen := map[rune]bool{}
		first := map[byte]bool{}
		for range 300 {
			typed := v.mustAsk(ann).Code
			if len(typed) != digits || strings.Trim(typed, "0123456789") != "" {
				t.Fatalf("got %q", typed)
			}
			for _, c := range typed {
				seen[c] = true
			}
			first[typed[0]] = true
		}
		if len(seen) != 10 || len(first) != 10 {
			t.Errorf("%d digits: %d occur, %d as the first", digits, len(seen), len(first))
		}
	}
}

// TestTyped holds that a code is right in whichever digits the keyboard writes, and that
// what is no code costs no try.
func TestTyped(t *testing.T) {
	arabic := strings.NewReplacer("0", "٠", "1", "١", "2", "٢", "3", "٣", "4", "٤", "5", "٥", "6", "٦", "7", "٧", "8", "٨", "9", "٩")
	wide := strings.NewReplacer("0", "０", "1", "１", "2", "２", "3", "３", "4", "４", "5", "５", "6", "６", "7", "７", "8", "８", "9", "９")
	for _, as := range []func(code string) string{
		func(code string) string { return " " + code[:3] + " " + code[3:] },
		func(code string) string { return code[:3] + "-" + code[3:] },
		func(code string) string { return strings.Repeat(" ", 58) + code },
		func(code string) string { return "\u200f" + arabic.Replace(code) },
		func(code string) string { return wide.Replace(code[:3] + "－" + code[3:]) },
	} {
		s := newWorld(t)
		v := s.anonymous(s.replica())
		typed := v.mustAsk(ann).Code
		for range 6 {
			want(t, v.enter(strings.Repeat(" ", 59)+typed), http.StatusUnprocessableEntity)
			want(t, v.enter(typed[1:]), http.StatusUnprocessableEntity)
			if got := s.lastReason(); got != "no_code" {
				t.Errorf("got reason %q", got)
			}
			want(t, v.enter(typed+arabic.Replace("0")), http.StatusUnprocessableEntity)
		}
		want(t, v.enter(as(typed)), http.StatusSeeOther)
	}
}

// New lists every error at once.
func TestConfigMistakes(t *testing.T) {
	if _, err := code.New(nil, code.Config{Sender: &mailbox{}}); err == nil {
		t.Error("without a middleware: got no error")
	}
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a test's own thirty-two bytes of it")}}, Store: memstore.New()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = code.New(wk, code.Config{
		Kind: 7, Digits: 5, Link: "/code", AddressField: "x", CodeField: "x",
		PerAddress: limit.Limit{Count: -1, Per: time.Hour}, PerNetwork: limit.Limit{Count: 1}, Timeout: -1,
	})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, part := range []string{"Sender", "Kind", "Digits", "Link", "CodeField", "PerAddress", "PerNetwork", "Timeout"} {
		if !strings.Contains(err.Error(), "Config."+part) && !strings.Contains(err.Error(), " and "+part) {
			t.Errorf("%s is not named in: %v", part, err)
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*code.Config)
		bad    bool
	}{
		{"the least", func(*code.Config) {}, false},
		{"nine digits", func(cfg *code.Config) { cfg.Digits = 9 }, true},
		{"eight digits", func(cfg *code.Config) { cfg.Digits = 8 }, false},
		{"a link with a query", func(cfg *code.Config) { cfg.Link = "https://example.com/code?a=b" }, true},
		{"a link with a fragment", func(cfg *code.Config) { cfg.Link = "https://example.com/code#a" }, true},
		{"a link with a user", func(cfg *code.Config) { cfg.Link = "https://a@example.com/code" }, true},
		{"a link of two lines", func(cfg *code.Config) { cfg.Link = "https://example.com/code\n" }, true},
		{"a link without a host", func(cfg *code.Config) { cfg.Link = "https:///code" }, true},
		{"a link without a path", func(cfg *code.Config) { cfg.Link = "https://example.com" }, true},
		{"a link with a blank", func(cfg *code.Config) { cfg.Link = "https://example.com/my code" }, true},
		{"a link beyond ASCII", func(cfg *code.Config) { cfg.Link = "https://example.com/schlüssel" }, true},
		{"a link with a tilde", func(cfg *code.Config) { cfg.Link = "https://example.com/~ann/code" }, false},
		{"five digits", func(cfg *code.Config) { cfg.Digits = 5 }, true},
		{"no time", func(cfg *code.Config) { cfg.Timeout = -1 }, true},
		{"the field of the address for the code", func(cfg *code.Config) { cfg.CodeField = "email" }, true},
		{"and of a number", func(cfg *code.Config) { cfg.Kind, cfg.CodeField = code.Phone, "phone" }, true},
		{"a kind that is none", func(cfg *code.Config) { cfg.Kind = 2 }, true},
		{"another scheme", func(cfg *code.Config) { cfg.Link = "ftp://example.com/code" }, true},
		{"a script", func(cfg *code.Config) { cfg.Link = "javascript:alert(1)" }, true},
		{"localhost", func(cfg *code.Config) { cfg.Link = "http://localhost:8080/code" }, false},
	} {
		cfg := code.Config{Sender: &mailbox{}}
		tt.change(&cfg)
		if _, err := code.New(wk, cfg); (err != nil) != tt.bad {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}

func TestPrint(t *testing.T) {
	for _, tt := range []struct {
		message code.Message
		want    string
	}{
		{code.Message{To: ann, Code: "012345", Link: linkURL + "?code=012345", Owned: true, ExpiresIn: 10 * time.Minute},
			"To ann@example.com: the code 012345 signs in, and so does https://app.example/code?code=012345 (works for 10m0s)\n"},
		{code.Message{To: ann, Code: "012345", ExpiresIn: time.Minute},
			"To ann@example.com: the code 012345 opens an account (works for 1m0s)\n"},
	} {
		var out strings.Builder
		if err := code.Print(&out).Send(t.Context(), tt.message); err != nil || out.String() != tt.want {
			t.Errorf("got %q, %v, want %q", out.String(), err, tt.want)
		}
	}
	r, w := io.Pipe()
	r.CloseWithError(errBroken)
	if err := code.Print(w).Send(t.Context(), code.Message{}); !errors.Is(err, errBroken) {
		t.Errorf("nothing can be written: got %v", err)
	}
}

// TestCompose holds what a mail says: whether there is an account, the code, how long it
// works, and the link if there is one.
func TestCompose(t *testing.T) {
	const link = linkURL + "?code=012345"
	for _, owned := range []bool{true, false} {
		for _, to := range []string{"", link} {
			subject, text, html := code.Compose("Notes", code.Message{Code: "012345", Link: to, Owned: owned, ExpiresIn: 10 * time.Minute, Texts: texts.English()})
			if subject != "012345 is your code for Notes" {
				t.Errorf("got the subject %q", subject)
			}
			for _, says := range []string{text, html} {
				if !contains(says, "012345", "within 10 minutes", "If this was not you") {
					t.Errorf("it says %s", says)
				}
				if strings.Contains(says, "to sign in with") != owned || strings.Contains(says, "create an account") == owned {
					t.Errorf("owned %t: it says %s", owned, says)
				}
				if strings.Contains(says, "the same browser") != (to != "") || strings.Contains(says, linkURL) != (to != "") {
					t.Errorf("the link %q: it says %s", to, says)
				}
			}
		}
	}
}

// TestLinkPages holds what the page of a link says, in the browser that asked, in
// another one, and for what is no code.
func TestLinkPages(t *testing.T) {
	for _, path := range []string{"/code", "/links"} {
		s := newWorld(t)
		site := s.replica()
		here, elsewhere := s.stranger(site), s.stranger(site)
		typed := here.mustAsk(ann).Code
		for _, tt := range []struct {
			name, query string
			v           visitor
			status      int
			title       string
			button      bool
			says        string
		}{
			{"here", "?code=" + typed, here, http.StatusOK, "Use this code?", true, "You asked for this code in this browser."},
			{"elsewhere", "?code=" + typed, elsewhere, http.StatusOK, "Your code is " + typed, false, "do not give the code to anyone"},
			{"no code", "", here, http.StatusNotFound, "This link is not complete", false, "Please enter the code from the message"},
			{"no code elsewhere", "?code=12", elsewhere, http.StatusNotFound, "This link is not complete", false, "Please enter the code from the message"},
		} {
			r := tt.v.Visit(path + tt.query)
			want(t, r, tt.status)
			if page := body(t, r); !contains(page, "<title>"+tt.title+"</title>", "<h1>"+tt.title+"</h1>", tt.says, `<a href="/">`) || strings.Contains(page, "<button>") != tt.button {
				t.Errorf("%s, %s: the page says %s", path, tt.name, page)
			}
		}
		r := here.Post(path, url.Values{"code": {other(typed)}})
		want(t, r, http.StatusUnauthorized)
		if page := body(t, r); !contains(page, `<p role="alert">That code is not right`, `<a href="/">`) || contains(page, "Use this code?") || contains(page, "<button>") {
			t.Errorf("%s, wrong: the page says %s", path, page)
		}
		want(t, here.Post(path, url.Values{"code": {typed}}), http.StatusSeeOther)
	}
}

// TestOwnLinkPage holds what a page of the app's own is given: the code that was followed
// or posted, where it is posted, and where the visitor goes afterwards.
func TestOwnLinkPage(t *testing.T) {
	s := newWorld(t)
	site := s.replica()
	v := s.stranger(site)
	want(t, v.Post(sendPath, url.Values{"email": {ann}, "return_to": {"/notes"}}), http.StatusSeeOther)
	typed := s.mail.last(t, ann).Code
	wrong := other(typed)
	for _, tt := range []struct {
		name   string
		r      *http.Response
		status int
		want   string
	}{
		{"here", v.Visit("/page?code=" + typed), 200, typed + " in code, here true, refused false, to /notes"},
		{"elsewhere", s.stranger(site).Visit("/page?code=" + typed), 200, typed + " in code, here false, refused false, to /"},
		{"no code", v.Visit("/page?code=12"), 404, " in code, here false, refused false, to /notes"},
		{"posted", v.Post("/page?code="+typed, url.Values{"code": {wrong}}), 401, wrong + " in code, here true, refused true, to /"},
	} {
		want(t, tt.r, tt.status)
		if got := body(t, tt.r); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestLinkKeepsTheRequest holds that the page of a link leaves the caller's request as it
// was.
func TestLinkKeepsTheRequest(t *testing.T) {
	s := newWorld(t)
	v := s.stranger(s.replica())
	want(t, v.Visit("/kept?code="+v.mustAsk(ann).Code), http.StatusOK)
}

// TestNextPage holds where the form that asks for an address leads, with a query of its
// own or without.
func TestNextPage(t *testing.T) {
	for _, tt := range []struct{ path, fields, want string }{
		{sendPath, "", "/signin"},
		{sendPath, "&return_to=/notes", "/signin?return_to=%2Fnotes"},
		{sendPath, "&again=1&return_to=/notes", "/signin?again=1&return_to=%2Fnotes"},
		{"/ask", "", "/signin?by=mail"},
		{"/ask", "&return_to=/notes", "/signin?by=mail&return_to=%2Fnotes"},
		{"/ask", "&again=yes", "/signin?by=mail&again=1"},
	} {
		s := newWorld(t)
		form, err := url.ParseQuery("email=" + ann + tt.fields)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.stranger(s.replica()).Post(tt.path, form).Header.Get("Location"); got != tt.want {
			t.Errorf("%s%s: got %q, want %q", tt.path, tt.fields, got, tt.want)
		}
	}
}

// TestDefaultLimits holds how many messages there are when no limit is set, how long the
// wait is then, and how long a Sender may take.
func TestDefaultLimits(t *testing.T) {
	for _, tt := range []struct {
		reason string
		most   int
		wait   string
		ask    func(v visitor, i int) *http.Response
	}{
		{"code_limit_browser", 10, "360", func(v visitor, i int) *http.Response { return v.from(i).ask(fmt.Sprintf("a%d@example.com", i)) }},
		{"code_limit_network", 30, "120", func(v visitor, i int) *http.Response {
			return v.s.stranger(v.s.replica()).from(1).ask(fmt.Sprintf("a%d@example.com", i))
		}},
		{"code_limit_address_and_network", 5, "4320", func(v visitor, _ int) *http.Response { return v.s.stranger(v.s.replica()).from(1).ask(ann) }},
		{"code_limit_address", 10, "2160", func(v visitor, i int) *http.Response { return v.s.stranger(v.s.replica()).from(i).ask(ann) }},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newWorld(t)
			s.limiter = limit.New(0) // each visitor comes to another replica
			s.change = func(cfg *code.Config) {
				cfg.Sender = code.SenderFunc(func(ctx context.Context, _ code.Message) error {
					if end, _ := ctx.Deadline(); time.Until(end) != 10*time.Second {
						t.Errorf("the sender has %v", time.Until(end))
					}
					return nil
				})
			}
			v := s.anonymous(s.replica())
			for i := range tt.most {
				want(t, tt.ask(v, i), http.StatusSeeOther)
			}
			r := tt.ask(v, tt.most)
			want(t, r, http.StatusTooManyRequests)
			if got := s.lastReason(); got != tt.reason || r.Header.Get("Retry-After") != tt.wait {
				t.Errorf("got %s, wait %s, want %s, %s", got, r.Header.Get("Retry-After"), tt.reason, tt.wait)
			}
		})
	}
}

// TestLimitsOfNeighbours holds that the networks of one IPv6 /48 have four times as many
// messages as one of its /64s, and that another /48 has its own.
func TestLimitsOfNeighbours(t *testing.T) {
	s := newWorld(t)
	s.change = func(cfg *code.Config) { cfg.PerNetwork = limit.Limit{Count: 2, Per: time.Hour} }
	site := s.replica()
	ask := func(network string, i int) *http.Response {
		v := s.stranger(site)
		return visitor{v.From("[2001:db8:" + network + "::1]:1"), s}.ask(fmt.Sprintf("a%d@example.com", i))
	}
	for i := range 8 {
		want(t, ask(fmt.Sprintf("1:%d", i/2), i), http.StatusSeeOther)
	}
	want(t, ask("1:5", 8), http.StatusTooManyRequests)
	if got := s.lastReason(); got != "code_limit_network" {
		t.Errorf("got reason %q", got)
	}
	want(t, ask("2:1", 9), http.StatusSeeOther)
	want(t, ask("2:1", 10), http.StatusSeeOther)
	want(t, ask("2:1", 11), http.StatusTooManyRequests)
}

// A code is for what it was made for: a ticket that was changed in the store, or moved
// to another browser, proves nothing.
func TestTicketsAreBound(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string
	}{
		{"to the address", ann, eve},
		{"to the session", `"binding":"`, `"binding":"x`},
		{"to the browser", `"browser":"`, `"browser":"x`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newWorld(t)
			log := &keys{Store: s.store}
			s.over = log
			v := s.anonymous(s.replica())
			typed := v.mustAsk(ann).Code
			ticket, err := s.store.Ticket(t.Context(), log.key, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.ReplaceAll(string(ticket.Data), tt.old, tt.new)
			if changed == string(ticket.Data) {
				t.Fatal("there is nothing to change")
			}
			ticket.Data = []byte(changed)
			if err := s.store.PutTicket(t.Context(), ticket); err != nil {
				t.Fatal(err)
			}
			want(t, v.enter(typed), http.StatusUnauthorized)
			if got := s.lastReason(); got != "wrong_code" {
				t.Errorf("got reason %q", got)
			}
		})
	}
}

// Under the key of another browser's session a ticket is worth nothing there.
func TestTicketsStayWhereTheyAre(t *testing.T) {
	s := newWorld(t)
	log := &keys{Store: s.store}
	s.over = log
	site := s.replica()
	v, elsewhere := s.anonymous(site), s.anonymous(site)
	want(t, elsewhere.ask(eve), http.StatusSeeOther)
	to := log.key
	typed := v.mustAsk(ann).Code
	ticket, err := s.store.Ticket(t.Context(), log.key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ticket.Key = to
	if err := s.store.PutTicket(t.Context(), ticket); err != nil {
		t.Fatal(err)
	}
	want(t, elsewhere.enter(typed), http.StatusUnauthorized)
	want(t, v.enter(typed), http.StatusSeeOther)
}

// A code that is asked for while the one before is being used stays as it is,
// and the one before is over.
func TestResendWhileInUse(t *testing.T) {
	s := newWorld(t)
	site := s.replica()
	v := s.anonymous(site)
	first := v.mustAsk(ann).Code
	var second string
	s.over = &slow{Store: s.store, before: func() { second = v.mustAsk(eve).Code }}
	want(t, v.on(s.replica()).enter(first), http.StatusUnauthorized)
	want(t, v.enter(second), http.StatusSeeOther)
	if s.owner("email", ann) != uuid.Nil || s.owner("email", eve) == uuid.Nil {
		t.Error("the code before was not over")
	}
}

// A slow store does something between a try and what comes of it.
type slow struct {
	store.Store
	before func()
}

func (s *slow) TryTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	ticket, err := s.Store.TryTicket(ctx, key, now)
	s.before()
	return ticket, err
}

// A keys remembers under which key the last ticket was put.
type keys struct {
	store.Store
	key string
}

func (s *keys) PutTicket(ctx context.Context, ticket store.Ticket) error {
	s.key = ticket.Key
	return s.Store.PutTicket(ctx, ticket)
}

// Strangers may ask for codes from however many networks and from the owner's own. They
// do not lock out a browser that has proven the address before or is signed in.
// Replicas that share a limiter count together, and such a browser has a limit as well.
func TestKnownDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWorld(t)
		s.limiter = limit.New(0)
		sites := []http.Handler{s.replica(), s.replica()}
		signedIn, signedOut := s.stranger(sites[0]).from(1), s.stranger(sites[1]).from(2)
		for _, v := range []visitor{signedIn, signedOut} {
			want(t, v.ask(ann), http.StatusSeeOther)
			want(t, v.enter(s.mail.last(t, ann).Code), http.StatusSeeOther)
		}
		const device = "__Host-walkin.device"
		mark := signedOut.Cookie(device)
		if mark == "" || strings.Contains(mark, "ann") {
			t.Fatalf("the mark is %q", mark)
		}
		signedIn.SetCookie(device, "") // the session alone makes it known
		signedOut.Post("/signout", nil)
		time.Sleep(time.Minute)

		sent := 0
		for i := range 200 {
			if s.stranger(sites[i%2]).from(1+i%5).ask(ann).StatusCode == http.StatusSeeOther {
				sent++
			}
		}
		if sent > 10 {
			t.Errorf("%d messages to one address, want 10 at most", sent)
		}
		want(t, s.stranger(sites[0]).from(7).ask(ann), http.StatusTooManyRequests)
		forged := s.stranger(sites[0]).from(8)
		forged.SetCookie(device, strings.Repeat("A", 26)+mark[26:])
		want(t, forged.ask(ann), http.StatusTooManyRequests)
		elsewhere := s.stranger(sites[0]).from(8)
		elsewhere.SetCookie(device, mark)
		want(t, elsewhere.ask("bea@example.com"), http.StatusSeeOther) // as any stranger
		for _, v := range []visitor{signedIn, signedOut} {
			want(t, v.ask(ann), http.StatusSeeOther)
			want(t, v.enter(s.mail.last(t, ann).Code), http.StatusSeeOther)
		}
		// The mailbox is not flooded by a thief of a mark either.
		thief, sent := s.stranger(sites[0]).from(9), 0
		for i := range 30 {
			thief.SetCookie(device, mark)
			if thief.on(sites[i%2]).ask(ann).StatusCode == http.StatusSeeOther {
				sent++
			}
		}
		if sent > 5 {
			t.Errorf("a thief has %d messages sent, want 5 at most", sent)
		}
	})
}

// A known device counts as every other client while there is room, and a proof gives
// back what it took: what the device has besides is for when others have used that up.
func TestKnownDeviceTakesItsOwnLast(t *testing.T) {
	s := newWorld(t)
	v := s.stranger(s.replica()).from(1)
	for range 12 { // more than a network and a device have together
		want(t, v.ask(ann), http.StatusSeeOther)
		want(t, v.enter(s.mail.last(t, ann).Code), http.StatusSeeOther)
	}
}

// A known device is no way to have messages without end: a fraudster who is paid for
// those to a number of their own proves each, and forgets the browser in between.
func TestKnownDevicePumpsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWorld(t)
		site := s.replica()
		first := s.stranger(site).from(1)
		want(t, first.ask(ann), http.StatusSeeOther)
		want(t, first.enter(s.mail.last(t, ann).Code), http.StatusSeeOther)
		const device = "__Host-walkin.device"
		mark, sent := first.Cookie(device), 0
		for range 100 {
			pump := s.stranger(site).from(1)
			pump.SetCookie(device, mark)
			if pump.ask(ann).StatusCode != http.StatusSeeOther {
				break
			}
			sent++
			pump.enter(s.mail.last(t, ann).Code)
		}
		if sent > 30+5+10 {
			t.Errorf("%d messages, want no more than a network has and a little", sent)
		}
	})
}
