package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store/redisstore"
	"github.com/walkin-go/walkin/store/storetest"
)

// TestLimiter runs the suite of all limiters, on one server and on a cluster.
func TestLimiter(t *testing.T) {
	url, addrs := testserver.Redis(t), testserver.RedisCluster(t)
	for name, client := range map[string]func(t testing.TB) redis.UniversalClient{
		"one server": func(t testing.TB) redis.UniversalClient { return single(t, url) },
		"a cluster": func(t testing.TB) redis.UniversalClient {
			return closing(t, redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.RunLimiter(t, func(t *testing.T) func(t *testing.T) limit.Limiter {
				prefix := strings.ReplaceAll(t.Name(), " ", "_") + ":"
				return func(t *testing.T) limit.Limiter { return newLimiter(t, client(t), prefix) }
			})
			t.Run("the server sees no key and forgets", func(t *testing.T) {
				c := client(t)
				l := newLimiter(t, c, "forgets:")
				const key = "rows:203.0.113.7"
				for range 3 {
					if v, err := l.Take(t.Context(), key, limit.Limit{Count: 4, Per: time.Hour}, 1, time.Now()); err != nil || !v.OK {
						t.Fatalf("got %+v, %v", v, err)
					}
				}
				r := &server{client: c, prefix: "forgets:"}
				keys := r.keys(t)
				if len(keys) != 1 || strings.Contains(keys[0], "203") {
					t.Fatalf("got keys %q, want one that says nothing", keys)
				}
				if ttl := c.PTTL(t.Context(), "forgets:"+keys[0]).Val(); ttl < 40*time.Minute || ttl > 47*time.Minute {
					t.Errorf("it is forgotten after %v, want three quarters of an hour and a minute", ttl)
				}
			})
		})
	}
}

func TestLimiterDown(t *testing.T) {
	c := closing(t, redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true, MaxRetries: -1}))
	l := newLimiter(t, c, "x:")
	v, err := l.Take(t.Context(), "secret", limit.Limit{Count: 1, Per: time.Hour}, 1, time.Now())
	if err == nil || v.OK || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %+v, %v, want an error that names no key", v, err)
	}
	if _, err := redisstore.NewLimiter(redisstore.Config{Prefix: "{"}); err == nil || !strings.Contains(err.Error(), "Config.Client") || !strings.Contains(err.Error(), "Config.Prefix") {
		t.Errorf("got %v, want it to name both mistakes", err)
	}
}

func newLimiter(t testing.TB, client redis.UniversalClient, prefix string) *redisstore.Limiter {
	t.Helper()
	l, err := redisstore.NewLimiter(redisstore.Config{Client: client, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
