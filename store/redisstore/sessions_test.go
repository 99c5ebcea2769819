package redisstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/redisstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestNew holds that every mistake is named at once.
func TestNew(t *testing.T) {
	fine := &redis.Options{ContextTimeoutEnabled: true}
	cluster := func(change func(*redis.ClusterOptions)) redis.UniversalClient {
		o := &redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, ContextTimeoutEnabled: true}
		change(o)
		return closing(t, redis.NewClusterClient(o))
	}
	const replica, unbounded = "replicas or from a cache", "ContextTimeoutEnabled"
	caching, cached := &redis.Options{ContextTimeoutEnabled: true, Protocol: 3}, []string(nil)
	if field := reflect.ValueOf(caching).Elem().FieldByName("ClientSideCacheConfig"); field.IsValid() { // since go-redis 9.22
		field.Set(reflect.New(field.Type().Elem()))
		cached = []string{replica}
	}
	for _, tt := range []struct {
		name string
		cfg  redisstore.Config
		want []string // in the error; none is none
	}{
		{"one server", redisstore.Config{Client: closing(t, redis.NewClient(fine))}, nil},
		{"a cluster", redisstore.Config{Client: cluster(func(*redis.ClusterOptions) {})}, nil},
		{"Sentinel", redisstore.Config{Client: closing(t, redis.NewFailoverClient(
			&redis.FailoverOptions{MasterName: "one", SentinelAddrs: []string{"127.0.0.1:1"}, ContextTimeoutEnabled: true}))}, nil},
		{"a prefix", redisstore.Config{Client: closing(t, redis.NewClient(fine)), Prefix: "shop:"}, nil},
		{"nothing", redisstore.Config{}, []string{"Client is nil"}},
		{"a nil client", redisstore.Config{Client: (*redis.Client)(nil)}, []string{"nil *redis.Client"}},
		{"a nil cluster", redisstore.Config{Client: (*redis.ClusterClient)(nil)}, []string{"nil *redis.ClusterClient"}},
		{"waits, and braces", redisstore.Config{Client: closing(t, redis.NewClient(&redis.Options{})), Prefix: "{shop}"}, []string{unbounded, "brace"}},
		{"a cache", redisstore.Config{Client: closing(t, redis.NewClient(caching))}, cached},
		{"a ring", redisstore.Config{Client: closing(t, redis.NewRing(&redis.RingOptions{}))}, []string{"Ring"}},
		{"a cluster that waits", redisstore.Config{Client: cluster(func(o *redis.ClusterOptions) { o.ContextTimeoutEnabled = false })}, []string{unbounded}},
		{"replicas", redisstore.Config{Client: cluster(func(o *redis.ClusterOptions) { o.ReadOnly = true })}, []string{replica}},
		{"near ones", redisstore.Config{Client: cluster(func(o *redis.ClusterOptions) { o.RouteByLatency = true })}, []string{replica}},
		{"random ones", redisstore.Config{Client: cluster(func(o *redis.ClusterOptions) { o.RouteRandomly = true })}, []string{replica}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := redisstore.New(tt.cfg)
			if (err != nil) != (len(tt.want) > 0) || (s != nil) != (err == nil) {
				t.Fatalf("got %v, %v", s, err)
			}
			if err == nil {
				return
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Errorf("got %q, want %d mistakes", lines, len(tt.want))
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q named", err, want)
				}
			}
			for _, line := range lines {
				if !strings.HasPrefix(line, "redisstore: ") {
					t.Errorf("got %q, want redisstore: before it", line)
				}
			}
		})
	}
}

// testKept is scs's contract: what was committed is found byte for byte, the
// last of it, until it is deleted; a miss is no error.
func testKept(t *testing.T, r *server) {
	c, hour := walkintest.Anonymous(t), time.Now().Add(time.Hour)
	var every strings.Builder
	for b := range 256 {
		every.WriteByte(byte(b))
	}
	for name, data := range map[string]string{
		"text": "1 book", "every byte": every.String(), "a megabyte": strings.Repeat(every.String(), 1<<12), "line ends": "\r\n$-1\r\n",
	} {
		for _, token := range []string{c.SessionID.String(), "", "a b\x00\xff", "{x}", "over:" + name} {
			r.want(t, c, token, "")
			r.commit(t, c, token, data, hour)
			r.want(t, c, token, data)
			r.commit(t, c, token, "2 books", hour)
			r.want(t, c, token, "2 books")
			for range 2 {
				if err := r.DeleteCtx(as(t, c), token); err != nil {
					t.Errorf("%s, %q: deleting: %v", name, token, err)
				}
				r.want(t, c, token, "")
			}
		}
	}
	r.commit(t, c, "empty", "", hour)
	if got, found, err := r.FindCtx(as(t, c), "empty"); len(got) != 0 || !found || err != nil {
		t.Errorf("an empty value: got %q, %t, %v, want it found", got, found, err)
	}
	r.commit(t, c, "one", "1", hour)
	r.commit(t, c, "two", "2", hour)
	r.want(t, c, "one", "1")
	r.want(t, c, "two", "2")
}

// testExpiry holds that data is deleted at the time that scs says, whether it moved
// back or forth, and that the server does so by itself.
func testExpiry(t *testing.T, r *server) {
	c := walkintest.Anonymous(t)
	day := time.Now().Add(24 * time.Hour).Truncate(time.Millisecond)
	for _, expiry := range []time.Time{day, day.Add(time.Hour), day.Add(-time.Hour)} {
		r.commit(t, c, "token", "1 book", expiry)
		for _, key := range []string{"data:token", "sessions"} {
			if got := r.expires(t, r.key(c, key)); !got.Equal(expiry) {
				t.Errorf("%s: got %v, want %v", key, got, expiry)
			}
		}
	}
	for _, past := range []time.Time{time.Now().Add(-time.Second), time.Unix(0, 0), {}} {
		r.commit(t, c, "token", "1 book", day)
		r.commit(t, c, "token", "2 books", past)
		r.want(t, c, "token", "")
		if got := r.keys(t); len(got) > 0 {
			t.Errorf("expired at %v: got keys %q, want none", past, got)
		}
	}
	r.commit(t, c, "token", "1 book", time.Now().Add(50*time.Millisecond))
	until(t, "for the end of the data", func() bool {
		_, found, err := r.FindCtx(as(t, c), "token")
		if err != nil {
			t.Fatal(err)
		}
		return !found
	})
	until(t, "for the end of the keys", func() bool { return len(r.keys(t)) == 0 })
}

// testBounded holds that a user who opens sessions for ever has no more sessions in
// their list than there is data of, and in the end no list.
func testBounded(t *testing.T, r *server) {
	c := walkintest.Anonymous(t)
	size := func() int64 {
		n, err := r.client.ZCard(t.Context(), r.key(c, "sessions")).Result()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	soon, hour := time.Now().Add(300*time.Millisecond), time.Now().Add(time.Hour).Truncate(time.Millisecond)
	for i := range 50 {
		r.commit(t, c, fmt.Sprint("short ", i), "1 book", soon)
	}
	r.commit(t, c, "long", "2 books", hour)
	until(t, "for the end of the short ones", func() bool { return len(r.keys(t)) == 2 })
	r.commit(t, c, "another", "3 books", time.Now().Add(time.Minute))
	if got := size(); got != 2 {
		t.Errorf("got %d sessions in the list, want 2", got)
	}
	if got := r.expires(t, r.key(c, "sessions")); !got.Equal(hour) {
		t.Errorf("got a list until %v, want until %v as the longest of its data", got, hour)
	}
	for _, token := range []string{"long", "another"} {
		if err := r.DeleteCtx(as(t, c), token); err != nil {
			t.Error(err)
		}
	}
	if got := r.keys(t); len(got) > 0 {
		t.Errorf("got keys %q, want none", got)
	}
}

// testOwner holds that a token leads to the data of the visitor in the context and to
// no other visitor's.
func testOwner(t *testing.T, r *server) {
	ann, bob, hour := walkintest.Permanent(t), walkintest.Anonymous(t), time.Now().Add(time.Hour)
	r.commit(t, ann, "token", "Ann's", hour)
	r.want(t, bob, "token", "")
	r.commit(t, bob, "token", "Bob's", hour)
	r.want(t, ann, "token", "Ann's")
	if err := r.DeleteCtx(as(t, bob), "token"); err != nil {
		t.Error(err)
	}
	r.want(t, ann, "token", "Ann's")
	r.want(t, bob, "token", "")

	r.commit(t, bob, ann.SessionID.String(), "Bob's", hour)
	r.commit(t, ann, ann.SessionID.String(), "Ann's", hour)
	if err := r.DeleteSession(t.Context(), bob.UserID, ann.SessionID); err != nil {
		t.Error(err)
	}
	if err := r.DeleteSessions(t.Context(), bob.UserID, uuid.Nil); err != nil {
		t.Error(err)
	}
	r.want(t, ann, ann.SessionID.String(), "Ann's")
	r.want(t, bob, ann.SessionID.String(), "")

	// Another app, or another manager, over the same server.
	other := newSessions(t, r.client, r.prefix+"other:")
	if got, found, err := other.FindCtx(as(t, ann), "token"); found || err != nil {
		t.Errorf("under another prefix: got %q, %v", got, err)
	}
	if err := other.DeleteSessions(t.Context(), ann.UserID, uuid.Nil); err != nil {
		t.Error(err)
	}
	r.want(t, ann, "token", "Ann's")
}

// testNobody holds that data without a user is an error, which says what to do.
func testNobody(t *testing.T, r *server) {
	_, _, err1 := r.FindCtx(t.Context(), "token")
	_, _, err2 := r.Find("token")
	for name, err := range map[string]error{
		"FindCtx":   err1,
		"CommitCtx": r.CommitCtx(t.Context(), "token", []byte("x"), time.Now().Add(time.Hour)),
		"DeleteCtx": r.DeleteCtx(t.Context(), "token"),
		"Find":      err2,
		"Commit":    r.Commit("token", []byte("x"), time.Now().Add(time.Hour)),
		"Delete":    r.Delete("token"),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "redisstore: ") || !strings.Contains(err.Error(), "LoadAndSave") {
			t.Errorf("%s: got %v, want an error that names LoadAndSave", name, err)
		}
	}
	if got := r.keys(t); len(got) > 0 {
		t.Errorf("got keys %q, want none", got)
	}
}

// spellings are what scs may call a session.
func spellings(session uuid.UUID) []string {
	sum := sha256.Sum256([]byte(session.String()))
	return []string{session.String(), base64.RawURLEncoding.EncodeToString(sum[:])}
}

// testDeleteSession holds that one session of a user can be ended, under either name
// that scs has for it, and that one without data can be ended as well.
func testDeleteSession(t *testing.T, r *server) {
	c, hour := walkintest.Permanent(t), time.Now().Add(time.Hour)
	for i, token := range spellings(c.SessionID) {
		another := spellings(uuid.New())[i]
		r.commit(t, c, token, "1 book", hour)
		r.commit(t, c, another, "2 books", hour)
		for range 2 {
			if err := r.DeleteSession(t.Context(), c.UserID, c.SessionID); err != nil {
				t.Error(err)
			}
		}
		r.want(t, c, token, "")
		r.want(t, c, another, "2 books")
	}
}

// testDeleteSessions holds the meaning of store.Store's method of that name.
func testDeleteSessions(t *testing.T, r *server) {
	hour := time.Now().Add(time.Hour)
	for _, n := range []int{0, 1, 2, 250} {
		for i, name := range []string{"plain", "hashed"} {
			t.Run(fmt.Sprint(n, " ", name), func(t *testing.T) {
				c := walkintest.Permanent(t)
				kept := spellings(c.SessionID)[i]
				r.commit(t, c, kept, "kept", hour)
				var others []string
				for range n {
					token := spellings(uuid.New())[i]
					others = append(others, token)
					r.commit(t, c, token, "gone", hour)
				}
				for range 2 {
					if err := r.DeleteSessions(t.Context(), c.UserID, c.SessionID); err != nil {
						t.Fatal(err)
					}
				}
				r.want(t, c, kept, "kept")
				for _, token := range others {
					r.want(t, c, token, "")
				}
				listed, err := r.client.ZRange(t.Context(), r.key(c, "sessions"), 0, -1).Result()
				if err != nil || !slices.Equal(listed, []string{kept}) {
					t.Errorf("got %q in the list, %v, want the one that was kept", listed, err)
				}
				if err := r.DeleteSessions(t.Context(), c.UserID, uuid.Nil); err != nil {
					t.Fatal(err)
				}
				r.want(t, c, kept, "")
				for _, key := range r.keys(t) {
					if strings.Contains(key, c.UserID.String()) && !strings.Contains(key, "over:") {
						t.Errorf("got key %q, want none of the data", key)
					}
				}
			})
		}
	}
}

// testLate holds that a request which saves after its session ended leaves
// nothing for long, and that only the end of a session does that.
func testLate(t *testing.T, r *server) {
	day := time.Now().Add(24 * time.Hour).Truncate(time.Millisecond)
	late := time.Now().Add(time.Hour) // much later than what may stay, much sooner than a day
	for i, name := range []string{"plain", "hashed"} {
		for _, tt := range []struct {
			name  string
			end   func(c walkin.Claims) error
			short bool
		}{
			{"DeleteSession", func(c walkin.Claims) error { return r.DeleteSession(t.Context(), c.UserID, c.SessionID) }, true},
			{"DeleteSessions", func(c walkin.Claims) error { return r.DeleteSessions(t.Context(), c.UserID, uuid.New()) }, true},
			{"DeleteSessions but this one", func(c walkin.Claims) error { return r.DeleteSessions(t.Context(), c.UserID, c.SessionID) }, false},
			{"DeleteCtx", func(c walkin.Claims) error { return r.DeleteCtx(as(t, c), spellings(c.SessionID)[i]) }, false},
			{"another user's", func(c walkin.Claims) error { return r.DeleteSession(t.Context(), uuid.New(), c.SessionID) }, false},
		} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				c := walkintest.Permanent(t)
				token := spellings(c.SessionID)[i]
				r.commit(t, c, token, "1 book", day)
				if err := tt.end(c); err != nil {
					t.Fatal(err)
				}
				for range 2 { // the second must not prolong it
					r.commit(t, c, token, "2 books", day)
				}
				for _, key := range []string{"data:" + token, "sessions"} {
					got := r.expires(t, r.key(c, key))
					if tt.short && got.After(late) || !tt.short && !got.Equal(day) {
						t.Errorf("%s: got until %v; short: %t", key, got, tt.short)
					}
				}
				// One that would have gone sooner still does.
				soon := time.Now().Add(time.Minute).Truncate(time.Millisecond)
				r.commit(t, c, token, "3 books", soon)
				if got := r.expires(t, r.key(c, "data:"+token)); !got.Equal(soon) {
					t.Errorf("got until %v, want %v", got, soon)
				}
			})
		}
	}
	c := walkintest.Permanent(t)
	if err := r.DeleteSession(t.Context(), c.UserID, c.SessionID); err != nil {
		t.Fatal(err)
	}
	for _, key := range r.keys(t) {
		r.expires(t, r.prefix+key) // whatever is there goes by itself
	}
}

// testAgree holds that a user's list and data say the same after requests of
// theirs met in every way.
func testAgree(t *testing.T, r *server) {
	c, hour := walkintest.Permanent(t), time.Now().Add(time.Hour)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 30 {
				token := fmt.Sprint("token ", (i+n)%5)
				var err error
				switch (i + n) % 4 {
				case 0:
					err = r.DeleteCtx(as(t, c), token)
				case 1:
					err = r.DeleteSessions(t.Context(), c.UserID, c.SessionID)
				default:
					err = r.CommitCtx(as(t, c), token, []byte("1 book"), hour)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.commit(t, c, "last", "1 book", hour)
	listed, err := r.client.ZRange(t.Context(), r.key(c, "sessions"), 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	var data []string
	for _, key := range r.keys(t) {
		if _, token, ok := strings.Cut(key, ":data:"); ok {
			data = append(data, token)
		}
	}
	slices.Sort(listed)
	if slices.Sort(data); !slices.Equal(listed, data) || len(data) == 0 {
		t.Errorf("got %q in the list and data of %q, want the same", listed, data)
	}
}

// testScript holds that a server which was restarted, or took over, learns the script
// again.
func testScript(t *testing.T, r *server) {
	c, hour := walkintest.Anonymous(t), time.Now().Add(time.Hour)
	r.commit(t, c, "token", "1 book", hour)
	if err := r.client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.commit(t, c, "token", "2 books", hour)
	r.want(t, c, "token", "2 books")
}

// calls are all methods that ask Redis.
func calls(s *redisstore.Sessions) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"FindCtx":        func(ctx context.Context) error { _, _, err := s.FindCtx(ctx, "token"); return err },
		"CommitCtx":      func(ctx context.Context) error { return s.CommitCtx(ctx, "token", nil, time.Now().Add(time.Hour)) },
		"DeleteCtx":      func(ctx context.Context) error { return s.DeleteCtx(ctx, "token") },
		"DeleteSession":  func(ctx context.Context) error { return s.DeleteSession(ctx, uuid.New(), uuid.New()) },
		"DeleteSessions": func(ctx context.Context) error { return s.DeleteSessions(ctx, uuid.New(), uuid.New()) },
	}
}

// testCancelled holds that a context which has ended is an error that says so,
// and that nothing was done.
func testCancelled(t *testing.T, r *server) {
	cancelled, cancel := context.WithCancel(as(t, walkintest.Anonymous(t)))
	cancel()
	for name, call := range calls(r.Sessions) {
		if err := call(cancelled); !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "redisstore: ") {
			t.Errorf("%s: got %v, want redisstore: context canceled", name, err)
		}
	}
	if got := r.keys(t); len(got) > 0 {
		t.Errorf("got keys %q, want none", got)
	}
}

// TestHanging holds how long a call waits for a server that does not answer, or does
// not even accept a connection: until the context ends, and 3 seconds at most.
func TestHanging(t *testing.T) {
	servers := map[string]func(ctx context.Context) (net.Conn, error){
		"silent": func(context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, there) }() // until here is closed
			return here, nil
		},
		"out of reach": func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
	}
	for server, dial := range servers {
		for _, patience := range []time.Duration{time.Second, 0} {
			for name := range calls(nil) {
				for _, tries := range []int{-1, 3} { // the client may do without tries of its own
					t.Run(fmt.Sprint(server, ", ", name, ", ", patience, ", tries ", tries), func(t *testing.T) {
						client := func() redis.UniversalClient {
							return redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", ContextTimeoutEnabled: true, MaxRetries: tries,
								Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }})
						}
						synctest.Test(t, func(t *testing.T) { hanging(t, closing(t, client()), name, patience) })
					})
				}
			}
		}
	}
}

func hanging(t *testing.T, client redis.UniversalClient, name string, patience time.Duration) {
	ctx, want := as(t, walkintest.Anonymous(t)), 3*time.Second
	if patience > 0 {
		short, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		ctx, want = short, patience
	}
	start := time.Now()
	err := calls(newSessions(t, client, ""))[name](ctx)
	if waited := time.Since(start); waited > want { // of the bubble's time
		t.Errorf("waited for %v, want %v at the most", waited, want)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
	time.Sleep(time.Minute) // of the bubble's too: the client goes on dialling for a while
}

// testLeaks holds that neither a goroutine nor a connection stays behind, also
// not of calls that failed.
func testLeaks(t *testing.T, r *server) {
	c, hour := walkintest.Anonymous(t), time.Now().Add(time.Hour)
	all := func() {
		cancelled, cancel := context.WithCancel(as(t, c))
		cancel()
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for _, call := range calls(r.Sessions) {
					if err := call(as(t, c)); err != nil {
						t.Error(err)
					}
					_ = call(cancelled)
				}
				r.commit(t, c, fmt.Sprint(i), "1 book", hour)
			})
		}
		wg.Wait()
	}
	all() // opens the client's own
	before := runtime.NumGoroutine()
	for range 20 {
		newSessions(t, r.client, r.prefix)
		all()
	}
	until(t, "for goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
	until(t, "for connections to be given back", func() bool {
		stats := r.client.PoolStats()
		return stats.TotalConns == stats.IdleConns
	})
}
