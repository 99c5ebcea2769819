package walkin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// Feed makes every site of these tests one that can run its feed. It fails as "Feed",
// and its readers as "Next".
func (s *faultyStore) Feed(ctx context.Context) (store.Feed, error) {
	if err := s.call(ctx, "Feed"); err != nil {
		return nil, err
	}
	store, ok := s.Store.(store.FeedStore)
	if !ok {
		return nil, errors.New("no feed")
	}
	f, err := store.Feed(ctx)
	return faultyFeed{f, s}, err
}

type faultyFeed struct {
	store.Feed
	store *faultyStore
}

func (f faultyFeed) Next(ctx context.Context) ([]uuid.UUID, error) {
	if err := f.store.call(ctx, "Next"); err != nil {
		return nil, err
	}
	return f.Feed.Next(ctx)
}

// runFeed runs a site's feed until the test ends, or what it returns is called.
func runFeed(t *testing.T, s *site) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.RunFeed(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	synctest.Wait()
	return func() { cancel(); wg.Wait() }
}

// TestFeedSavesLookups holds that with the feed a visitor at a human's pace costs one
// look-up in ten minutes, and their writes one each.
func TestFeedSavesLookups(t *testing.T) {
	for _, kind := range kinds {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			stop := runFeed(t, s)
			c := resident(s, kind)
			id := body(t, c.Fetch("/"))
			time.Sleep(time.Minute)
			body(t, c.Fetch("/")) // a token that was just issued is looked up once
			s.store.count()
			for range 7 {
				time.Sleep(time.Minute)
				if got := body(t, c.Fetch("/")); got != id {
					t.Errorf("%s: got %q, want %q", kind, got, id)
				}
			}
			if n := s.store.count("LookupSession"); n != 0 {
				t.Errorf("%s: %d look-ups in seven minutes, want none", kind, n)
			}
			for range 4 {
				time.Sleep(time.Minute)
				body(t, c.Fetch("/"))
			}
			if n := s.store.count("LookupSession"); n != 1 {
				t.Errorf("%s: %d look-ups within eleven minutes, want one", kind, n)
			}
			if kind == "anonymous" {
				c.Post("/note", nil)
				if n := s.store.count("LookupSession"); n == 0 {
					t.Error("a write was not looked up")
				}
			}
			stop()
			time.Sleep(time.Minute)
			body(t, c.Fetch("/"))
			if n := s.store.count("LookupSession"); n != 1 {
				t.Errorf("%s: %d look-ups a minute after the feed ended, want one", kind, n)
			}
		})
	}
}

// What ends a user's other sessions, on the replica that is asked.
var ends = map[string]func(t *testing.T, on *site, c *walkintest.Client, user uuid.UUID) error{
	"sign-out everywhere": func(t *testing.T, on *site, _ *walkintest.Client, user uuid.UUID) error {
		return on.SignOutEverywhere(t.Context(), user)
	},
	"deletion": func(t *testing.T, on *site, _ *walkintest.Client, user uuid.UUID) error {
		return on.Middleware.DeleteUser(t.Context(), user)
	},
	"upgrade": func(t *testing.T, on *site, c *walkintest.Client, _ uuid.UUID) error {
		if got := on.prove(c.On(on.Handler(on.routes())), "bob"); got != "upgraded" && got != "linked" {
			return fmt.Errorf("got %q", got)
		}
		return nil
	},
	"sign-out": func(_ *testing.T, on *site, c *walkintest.Client, _ uuid.UUID) error {
		c.On(on.Handler(on.routes())).Post("/out", nil)
		return nil
	},
}

// endsNothing tells what a kind has nothing to end by: a permanent user's new identity
// leaves the sessions, and a user who is not stored has none.
func endsNothing(end, kind string) bool {
	return end == "upgrade" && kind == "permanent" || end == "sign-out everywhere" && kind == "provisional"
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestEndsCountAtOnce holds that what ended in a process is over at its next request,
// whichever browser it comes from, without any feed.
func TestEndsCountAtOnce(t *testing.T) {
	for name, end := range ends {
		for _, kind := range kinds {
			if endsNothing(name, kind) {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				c := resident(s, kind)
				token := c.Cookie(cookieOf(kind))
				thief := carrying(s, cookieOf(kind), token)
				id, _, _ := strings.Cut(body(t, thief.Fetch("/")), " ")
				thief.Fetch("/")
				noError(t, end(t, s, c, uuid.MustParse(id)))
				if got := body(t, thief.Fetch("/")); got != "nobody" {
					t.Errorf("%s of %s: another browser: got %q, want nobody", name, kind, got)
				}
			})
		}
	}
}

// TestFeedEnds holds that what ended on one replica reads on no other for longer than
// two seconds, or RecheckAfter where the feed is cut.
func TestFeedEnds(t *testing.T) {
	for name, end := range ends {
		for _, cut := range []string{"", "Next fails", "Next hangs", "the store is lost", "the feed is lost"} {
			for _, kind := range kinds {
				if endsNothing(name, kind) {
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					there := newSite(t)
					here := newSite(t, over(there))
					here.store = &faultyStore{Store: there.store.Store}
					var err error
					here.Middleware, err = walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: here.store})
					noError(t, err)
					runFeed(t, here)
					c := resident(there, kind)
					thief := carrying(here, cookieOf(kind), c.Cookie(cookieOf(kind)))
					id, _, _ := strings.Cut(body(t, thief.Fetch("/")), " ")
					for range 5 {
						time.Sleep(time.Minute)
						body(t, thief.Fetch("/"))
					}
					most := 2 * time.Second
					switch cut {
					case "Next fails":
						most = 30 * time.Second
						here.store.failAt("Next", errDown)
					case "Next hangs":
						most = 30 * time.Second
						here.store.failAt("Next", errHang)
					case "the feed is lost":
						here.store.failAt("Next", store.ErrFeedLost)
					case "the store is lost":
						most = 30 * time.Second
						here.store.be(errDown)
					}
					noError(t, end(t, there, c, uuid.MustParse(id)))
					time.Sleep(most + time.Millisecond)
					if cut == "the store is lost" {
						here.store.be(nil) // what the store does not say is another test's
					}
					if got := body(t, thief.Fetch("/")); got != "nobody" {
						t.Errorf("%s of %s, %s: after %v: got %q, want nobody", name, kind, cut, most, got)
					}
				})
			}
		}
	}
}

// TestFeedDoesNotBegin holds that the operator is told of a feed that cannot be opened,
// and that it begins by itself when the store is back.
func TestFeedDoesNotBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.store.failAt("Feed", errDown)
		stop := runFeed(t, s)
		defer stop()
		time.Sleep(10 * time.Second)
		if n := s.reasons(walkin.Failed, walkin.ReasonFeed); n != 1 {
			t.Errorf("the operator was told %d times, want once", n)
		}
		s.store.be(nil)
		s.store.count()
		time.Sleep(10 * time.Second)
		if s.store.count("Next") == 0 {
			t.Error("it is not read")
		}
	})
}

// An alarmed store's feeds can wait.
type alarmedStore struct {
	*faultyStore
	ring chan error
}

func (s alarmedStore) Feed(ctx context.Context) (store.Feed, error) {
	f, err := s.faultyStore.Feed(ctx)
	return alarmedFeed{f, s.ring}, err
}

type alarmedFeed struct {
	store.Feed
	ring chan error
}

func (f alarmedFeed) Wait(ctx context.Context) error {
	select {
	case err := <-f.ring:
		return err
	case <-ctx.Done():
		time.Sleep(time.Second) // a driver takes its time
		close(f.ring)
		return ctx.Err()
	}
}

// TestFeedAlarm holds that a store which can tell is read at once, twenty times a second
// at most; that one which cannot any more is read every second, and the operator told
// once; and that RunFeed ends with nothing left behind.
func TestFeedAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		there := newSite(t)
		here := newSite(t, over(there))
		here.store = &faultyStore{Store: there.store.Store}
		ring := make(chan error)
		var failed []string
		var err error
		here.Middleware, err = walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: alarmedStore{here.store, ring},
			OnEvent: func(_ context.Context, e walkin.Event) {
				if e.Outcome == walkin.Failed {
					failed = append(failed, string(e.Reason))
				}
			}})
		noError(t, err)
		stop := runFeed(t, here)
		c := resident(there, "permanent")
		thief := carrying(here, permName, c.Cookie(permName))
		id := body(t, thief.Fetch("/"))
		time.Sleep(time.Minute)
		body(t, thief.Fetch("/"))
		time.Sleep(time.Minute + time.Second/2)
		if got := body(t, thief.Fetch("/")); got != id {
			t.Fatalf("got %q, want %q", got, id)
		}
		user, _, _ := strings.Cut(id, " ")
		noError(t, there.SignOutEverywhere(t.Context(), uuid.MustParse(user)))
		ring <- nil
		synctest.Wait()
		if got := body(t, thief.Fetch("/")); got != "nobody" {
			t.Errorf("when it rings: got %q, want nobody", got)
		}

		here.store.count()
		flood, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for flood.Err() == nil {
			select {
			case ring <- nil:
			case <-flood.Done():
			}
		}
		if n := here.store.count("Next"); n < 100 || n > 220 {
			t.Errorf("read %d times in ten seconds of ringing, want 200", n)
		}

		for range 5 {
			ring <- errors.New("the connection is gone")
		}
		time.Sleep(feedDeaf)
		here.store.count()
		time.Sleep(10 * time.Second)
		if n := here.store.count("Next"); n < 9 || n > 11 {
			t.Errorf("read %d times in ten seconds without it, want ten", n)
		}
		if len(failed) != 1 || failed[0] != "feed_alarm" {
			t.Errorf("got failures %q, want one of the alarm", failed)
		}
		time.Sleep(feedDeaf) // until it listens again
		stop()
		select {
		case <-ring:
		default:
			t.Error("RunFeed has ended, and its alarm has not")
		}
	})
}

// feedDeaf is how long RunFeed leaves a feed alone that cannot listen.
const feedDeaf = 10 * time.Second

// TestFeedTellsOperator holds that a feed that is lost is an event, that one that is
// not run is one warning, and that two of one site are a mistake.
func TestFeedTellsOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newSite(t, func(c *walkin.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		c := resident(s, "anonymous")
		for range 5 {
			time.Sleep(time.Minute)
			c.Fetch("/")
		}
		if n := strings.Count(log.String(), "RunFeed"); n != 1 {
			t.Errorf("%d warnings that nothing runs the feed, want one:\n%s", n, log.String())
		}
		s.told()
		runFeed(t, s)
		if err := s.RunFeed(t.Context()); err == nil {
			t.Error("a second RunFeed: got no error")
		}
		s.store.failAt("Next", store.ErrFeedLost)
		time.Sleep(3 * time.Second)
		s.store.be(nil)
		time.Sleep(3 * time.Second)
		if got := s.outcomes(); strings.Count(got, "failed") != 1 {
			t.Errorf("got %q, want one failure", got)
		}
		c.Fetch("/")
		s.store.count()
		time.Sleep(time.Minute)
		c.Fetch("/")
		if n := s.store.count("LookupSession"); n != 0 {
			t.Errorf("%d look-ups after the feed was lost and began again, want none", n)
		}
	})
}

// TestSharedLookups holds that requests of one visitor that come together are one
// look-up, whose own end fails no other, and that writes have their own.
func TestSharedLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		c := resident(s, "permanent")
		id := body(t, c.Fetch("/"))
		crowd := func(n int, ctx func(i int) context.Context) (got []string) {
			got = make([]string, n)
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					r := s.request(http.MethodGet, "/").WithContext(ctx(i))
					c.Carry(r)
					w := httptest.NewRecorder()
					s.Handler(s.routes()).ServeHTTP(w, r)
					got[i] = w.Body.String()
					if cookies := w.Result().Cookies(); len(cookies) > 0 {
						t.Errorf("got cookies %v, want none", cookies)
					}
				})
			}
			wg.Wait()
			return got
		}
		s.store.mu.Lock()
		s.store.delay = 100 * time.Millisecond
		s.store.mu.Unlock()
		time.Sleep(time.Minute)
		s.store.count()
		for _, got := range crowd(32, func(int) context.Context { return t.Context() }) {
			if got != id {
				t.Errorf("got %q, want %q", got, id)
			}
		}
		if n := s.store.count("LookupSession"); n != 1 {
			t.Errorf("%d look-ups of 32 requests, want one", n)
		}

		// It fails for all of them, and none of them loses the cookie.
		time.Sleep(time.Minute)
		s.store.failAt("LookupSession", errDown)
		for _, got := range crowd(32, func(int) context.Context { return t.Context() }) {
			if !strings.Contains(got, `"status":503`) {
				t.Errorf("while the store is down: got %q, want 503", got)
			}
		}
		s.store.failAt("", nil)
		time.Sleep(10 * time.Second)
		if got := body(t, c.Fetch("/")); got != id {
			t.Errorf("afterwards: got %q, want %q", got, id)
		}

		// Some of them leave in the middle, the first perhaps.
		time.Sleep(time.Minute)
		left := 0
		for i, got := range crowd(32, func(i int) context.Context {
			if i%2 == 1 {
				return t.Context()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			t.Cleanup(cancel)
			return ctx
		}) {
			if got != id {
				left++
				if i%2 == 1 {
					t.Errorf("who stayed: got %q, want %q", got, id)
				}
			}
		}
		if left == 0 {
			t.Error("nobody left in the middle")
		}
		if n := s.store.count("LookupSession"); n > 17 {
			t.Errorf("%d look-ups of 16 requests that left and 16 that did not, want 17 at most", n)
		}

		// One that fails is of that moment alone.
		s.store.failAt("LookupSession", errDown)
		time.Sleep(time.Minute)
		crowd(8, func(int) context.Context { return t.Context() })
		s.store.be(nil)
		if got := body(t, c.Fetch("/")); got != id {
			t.Errorf("after a failure: got %q, want %q", got, id)
		}
		s.store.count()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				r := s.form("/note", nil)
				c.Carry(r)
				s.Handler(s.routes()).ServeHTTP(httptest.NewRecorder(), r)
			})
		}
		wg.Wait()
		if n := s.store.count("LookupSession"); n != 4 {
			t.Errorf("%d look-ups of four writes, want four", n)
		}
	})
}
