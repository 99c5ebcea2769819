package code_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/faulty"
	"github.com/walkin-go/walkin/store"
)

// TestEveryStepFails holds that whichever call of the store fails while a code is sent
// or used, the answer is 503, nothing is sent, no address is proven, and the same code
// works when the store is back.
func TestEveryStepFails(t *testing.T) {
	send := func(path string, more ...string) func(visitor, string) *http.Response {
		return func(v visitor, _ string) *http.Response {
			form := url.Values{"email": {ann}, "password": {secret}}
			for i := 0; i < len(more); i += 2 {
				form.Set(more[i], more[i+1])
			}
			return v.Post(path, form)
		}
	}
	enter := func(path string) func(visitor, string) *http.Response {
		return func(v visitor, typed string) *http.Response { return v.Post(path, url.Values{"code": {typed}}) }
	}
	asked := func(path string) func(visitor) visitor {
		return func(v visitor) visitor {
			want(v.s.t, v.Post(path, url.Values{"email": {ann}, "password": {secret}}), http.StatusSeeOther)
			return v
		}
	}
	for _, tt := range []struct {
		name   string
		visit  func(*world, http.Handler) visitor
		before func(visitor) visitor
		ask    func(visitor, string) *http.Response
	}{
		{"send", (*world).anonymous, nil, send(sendPath)},
		{"send without a user", (*world).stranger, nil, send(sendPath)},
		{"send to an owner", (*world).stranger, func(v visitor) visitor {
			owner := v.s.anonymous(v.s.replica())
			want(v.s.t, owner.enter(owner.mustAsk(ann).Code), http.StatusSeeOther)
			return v
		}, send(sendPath)},
		{"send after a page view", (*world).stranger, func(v visitor) visitor {
			asked(sendPath)(v).Visit("/")
			v.Post("/act", nil)
			return v
		}, send(sendPath)},
		{"send with a password", (*world).anonymous, nil, send("/join/send")},
		{"enter", (*world).anonymous, asked(sendPath), enter("/upgrade")},
		{"enter without a user", (*world).stranger, asked(sendPath), enter("/signin")},
		{"enter with a password", (*world).anonymous, asked("/join/send"), enter("/join")},
		{"enter by the link", (*world).anonymous, asked(sendPath), enter("/code")},
		{"enter again", (*world).anonymous, func(v visitor) visitor {
			asked(sendPath)(v)
			second := v.plant().on(v.s.replica())
			want(v.s.t, v.enter(v.s.mail.last(v.s.t, ann).Code), http.StatusSeeOther)
			return second
		}, enter("/upgrade")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s *world
			var owner uuid.UUID
			var sent int
			faulty.EachStep(t, func(t *testing.T, st *faulty.Store) faulty.Call {
				s = newWorld(t)
				st.Store, s.over = s.store, st
				v := tt.visit(s, s.replica())
				if tt.before != nil {
					v = tt.before(v)
				}
				typed := ""
				if all := s.mail.sent(); len(all) > 0 {
					typed = all[len(all)-1].Code
				}
				owner, sent = s.owner("email", ann), len(s.mail.sent())
				return faulty.Call{Name: tt.name, Ask: func() *http.Response { return tt.ask(v, typed) }}
			}, func(t *testing.T, step string, answer *http.Response) {
				if got := s.owner("email", ann); got != owner || len(s.mail.sent()) != sent {
					t.Errorf("%s fails: the address is of %v, and %d were sent; want %v and %d", step, got, len(s.mail.sent()), owner, sent)
				}
				for _, c := range answer.Cookies() {
					if c.Name == cookie {
						t.Errorf("%s fails: it signs in", step)
					}
				}
			})
		})
	}
}

// TestForms holds what is a form with a code: no other type, no broken one, and no field
// twice.
func TestForms(t *testing.T) {
	s := newWorld(t)
	v := s.anonymous(s.replica())
	v.mustAsk(ann)
	for _, path := range []string{"/upgrade", "/code", sendPath} {
		for name, tt := range map[string]struct {
			kind, body string
			want       int
		}{
			"JSON":      {"text/plain", `{"code":"000000"}`, http.StatusUnsupportedMediaType},
			"malformed": {"application/x-www-form-urlencoded", "code=%zz", http.StatusBadRequest},
			"too large": {"application/x-www-form-urlencoded", "code=" + strings.Repeat("0", 70<<10), http.StatusRequestEntityTooLarge},
			"repeated":  {"application/x-www-form-urlencoded", "code=000000&code=000001&email=a&email=b", http.StatusBadRequest},
		} {
			r := v.NewRequest(http.MethodPost, path, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.kind)
			if got := v.Do(r).StatusCode; got != tt.want {
				t.Errorf("%s, %s: got %d, want %d", path, name, got, tt.want)
			}
		}
	}
}

// TestLongReturn holds that what is too long to be a page of the site is kept nowhere.
func TestLongReturn(t *testing.T) {
	for _, n := range []int{2048, 2049} {
		s := newWorld(t)
		v := s.anonymous(s.replica())
		to := "/" + strings.Repeat("x", n-1)
		log := &tickets{Store: s.store}
		s.over = log
		r := v.on(s.replica()).Post(sendPath, url.Values{"email": {ann}, "return_to": {to}})
		page := body(t, v.Visit("/code?code="+s.mail.last(t, ann).Code))
		if kept := strings.Contains(log.data[0], "xxx"); kept != (n <= 2048) {
			t.Errorf("%d bytes: kept %t", n, kept)
		}
		if ok := n <= 2048; strings.Contains(r.Header.Get("Location"), "xxx") != ok || strings.Contains(page, to) != ok {
			t.Errorf("%d bytes: got %q and %t on the page", n, r.Header.Get("Location"), strings.Contains(page, to))
		}
	}
}

// garbled is a store whose tickets cannot be read.
type garbled struct{ store.Store }

func (s garbled) Ticket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	ticket, err := s.Store.Ticket(ctx, key, now)
	ticket.Data = []byte("{")
	return ticket, err
}

func (s garbled) TryTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	ticket, err := s.Store.TryTicket(ctx, key, now)
	ticket.Data = []byte("{")
	return ticket, err
}

// TestUnreadableTicket holds that a ticket which cannot be read proves nothing, and that
// the operator is told.
func TestUnreadableTicket(t *testing.T) {
	s := newWorld(t)
	v := s.anonymous(s.replica())
	typed := v.mustAsk(ann).Code
	s.over = garbled{s.store}
	v = v.on(s.replica())
	for typed, status := range map[string]int{typed: 500, other(typed): 500, "": 422} {
		if r := v.enter(typed); r.StatusCode != status || s.owner("email", ann) != uuid.Nil {
			t.Errorf("%q: got %d, want %d", typed, r.StatusCode, status)
		}
	}
	want(t, v.Fetch("/pending"), http.StatusNotFound)
	told := 0
	for _, e := range s.events {
		if e.Outcome == walkin.Failed {
			told++
		}
	}
	if told == 0 {
		t.Error("the operator is told nothing")
	}
}

// TestPendingOfNoCode holds that it is no failure to have asked for none.
func TestPendingOfNoCode(t *testing.T) {
	s := newWorld(t)
	site := s.replica()
	for _, v := range []visitor{s.stranger(site), s.anonymous(site)} {
		want(t, v.Fetch("/pending"), http.StatusNotFound)
	}
	for _, e := range s.events {
		if e.Outcome == walkin.Failed {
			t.Errorf("the operator is told %+v", e)
		}
	}
	// Asked without a user, and looked for as a new one.
	v := s.stranger(site)
	v.mustAsk(ann)
	v.Visit("/")
	if got := body(t, v.Fetch("/pending")); got != ann {
		t.Errorf("got %q, want %s", got, ann)
	}
}
