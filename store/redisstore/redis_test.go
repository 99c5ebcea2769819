package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store/redisstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestRedis holds everything on one server.
func TestRedis(t *testing.T) {
	url := testserver.Redis(t)
	run(t, func(t testing.TB) redis.UniversalClient { return single(t, url) })
}

// TestCluster holds the same on three nodes.
func TestCluster(t *testing.T) {
	addrs := testserver.RedisCluster(t)
	run(t, func(t testing.TB) redis.UniversalClient {
		return closing(t, redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true}))
	})
	t.Run("users are spread over the nodes", func(t *testing.T) {
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true})
		r := newServer(t, closing(t, client))
		for range 100 {
			r.commit(t, walkintest.Anonymous(t), "token", "data", time.Now().Add(time.Hour))
		}
		var mu sync.Mutex
		nodes := 0
		err := client.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error {
			keys, err := scan(ctx, node, r.prefix)
			mu.Lock()
			defer mu.Unlock()
			if len(keys) > 0 {
				nodes++
			}
			return err
		})
		if err != nil || nodes != 3 {
			t.Errorf("got data on %d nodes, %v, want 3", nodes, err)
		}
	})
}

func run(t *testing.T, client func(t testing.TB) redis.UniversalClient) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, r *server)
	}{
		{"what is kept is found", testKept},
		{"the server forgets what has expired", testExpiry},
		{"the list of a user's sessions does not grow", testBounded},
		{"nobody sees another's data", testOwner},
		{"no visitor, no data", testNobody},
		{"one session ends", testDeleteSession},
		{"all sessions end but one", testDeleteSessions},
		{"a late save does not live long", testLate},
		{"list and data agree", testAgree},
		{"a server that forgot the script", testScript},
		{"contexts end the wait", testCancelled},
		{"nothing is left running", testLeaks},
		{"the rights that the docs name", testRights},
		{"a visitor's way", testSite},
		{"one visitor, many requests", testCrowd},
		{"Redis goes away", testDown},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, newServer(t, client(t))) })
	}
}

// testRights holds that a user with the rights that the package's docs name, and
// no others, can do everything.
func testRights(t *testing.T, r *server) {
	name := "walkin_test_" + uuid.NewString()
	rights := []any{"ACL", "SETUSER", name, "on", ">secret", "~" + r.prefix + "*",
		"+@connection", "+@read", "+@write", "+@transaction", "+@scripting", "+time"}
	each := func(do func(ctx context.Context, node *redis.Client) error) {
		t.Helper()
		var err error
		switch c := r.client.(type) {
		case *redis.Client:
			err = do(t.Context(), c)
		case *redis.ClusterClient:
			err = c.ForEachMaster(t.Context(), do)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var limited redis.UniversalClient
	switch c := r.client.(type) {
	case *redis.Client:
		o := options(t, "redis://unused")
		o.Network, o.Addr, o.DB, o.TLSConfig = c.Options().Network, c.Options().Addr, c.Options().DB, c.Options().TLSConfig
		o.Username, o.Password = name, "secret"
		limited = closing(t, redis.NewClient(o))
	case *redis.ClusterClient:
		rights = append(rights, "+cluster", "+command")
		limited = closing(t, redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: c.Options().Addrs, Username: name, Password: "secret", ContextTimeoutEnabled: true}))
	}
	each(func(ctx context.Context, node *redis.Client) error { return node.Do(ctx, rights...).Err() })
	defer each(func(ctx context.Context, node *redis.Client) error { return node.Do(ctx, "ACL", "DELUSER", name).Err() })

	c := walkintest.Permanent(t)
	for name, call := range calls(newSessions(t, limited, r.prefix)) {
		if err := call(as(t, c)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := calls(newSessions(t, limited, "another:"))["FindCtx"](as(t, c)); err == nil {
		t.Error("under another prefix: got no error")
	}
	s := newSessions(t, limited, r.prefix)
	for range 3 {
		if err := s.CommitCtx(as(t, c), uuid.NewString(), []byte("1 book"), time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
	}
	if err := s.DeleteSessions(t.Context(), c.UserID, uuid.Nil); err != nil {
		t.Error(err)
	}
}

// A server is a place in Redis for one test.
type server struct {
	client redis.UniversalClient
	prefix string
	*redisstore.Sessions
}

func newServer(t testing.TB, client redis.UniversalClient) *server {
	t.Helper()
	prefix := "walkin_test:" + uuid.NewString() + ":"
	r := &server{client: client, prefix: prefix, Sessions: newSessions(t, client, prefix)}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		keys, err := r.all(ctx)
		for _, key := range keys {
			err = errors.Join(err, client.Del(ctx, prefix+key).Err())
		}
		if err != nil {
			t.Error(err)
		}
	})
	return r
}

func newSessions(t testing.TB, client redis.UniversalClient, prefix string) *redisstore.Sessions {
	t.Helper()
	s, err := redisstore.New(redisstore.Config{Client: client, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// options are those of a client for a server at url.
func options(t testing.TB, url string) *redis.Options {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal("WALKIN_TEST_REDIS_URL is not the URL of a Redis server") // which may hold a password
	}
	o.ContextTimeoutEnabled = true
	return o
}

func single(t testing.TB, url string) *redis.Client {
	t.Helper()
	return closing(t, redis.NewClient(options(t, url)))
}

func closing[C interface{ Close() error }](t testing.TB, client C) C {
	t.Cleanup(func() { client.Close() })
	return client
}

// as is the context of a request of c.
func as(t testing.TB, c walkin.Claims) context.Context { return walkin.NewContext(t.Context(), c) }

func (r *server) commit(t testing.TB, c walkin.Claims, token, data string, expiry time.Time) {
	t.Helper()
	if err := r.CommitCtx(as(t, c), token, []byte(data), expiry); err != nil {
		t.Fatal(err)
	}
}

// want checks what is found; "" is a miss.
func (r *server) want(t testing.TB, c walkin.Claims, token, want string) {
	t.Helper()
	got, found, err := r.FindCtx(as(t, c), token)
	if err != nil || found != (want != "") || string(got) != want || !found && got != nil {
		t.Errorf("%q: got %.50q, %t, %v, want %.50q", token, got, found, err, want)
	}
}

// keys returns the names of what is there, without the prefix, in order.
func (r *server) keys(t testing.TB) []string {
	t.Helper()
	all, err := r.all(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func (r *server) all(ctx context.Context) (all []string, err error) {
	cluster, ok := r.client.(*redis.ClusterClient)
	if !ok {
		return scan(ctx, r.client, r.prefix)
	}
	var mu sync.Mutex
	err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		keys, err := scan(ctx, node, r.prefix)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, keys...)
		return err
	})
	return all, err
}

func scan(ctx context.Context, client redis.Cmdable, prefix string) (keys []string, err error) {
	seen := client.Scan(ctx, 0, prefix+"*", 1000).Iterator()
	for seen.Next(ctx) {
		keys = append(keys, strings.TrimPrefix(seen.Val(), prefix))
	}
	slices.Sort(keys) // a scan may name one twice
	return slices.Compact(keys), seen.Err()
}

// key returns the whole name of a key of a user's.
func (r *server) key(c walkin.Claims, rest string) string {
	return fmt.Sprintf("%s{%s}:%s", r.prefix, c.UserID, rest)
}

// expires returns when the server will forget a key.
func (r *server) expires(t testing.TB, key string) time.Time {
	t.Helper()
	left, err := r.client.PExpireTime(t.Context(), key).Result()
	if err != nil || left < 0 {
		t.Fatalf("%s: got %v, %v, want a time", key, left, err)
	}
	return time.UnixMilli(left.Milliseconds())
}

// until waits for what the server does by itself.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("still waiting: ", what)
		}
	}
}
