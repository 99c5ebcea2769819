// Package redisstore keeps in Redis what a site on walkin can do without for a moment:
// the session data of scs, see [Sessions], and limits that replicas share, see
// [Limiter]. Users, identities and sessions stay in a store.Store. An identity must
// have one owner, and an upgrade must happen completely or not at all. Neither can be
// promised across the slots of a cluster, nor past a fail-over.
//
// It is tested with Redis 7.0: one server, a cluster, and a primary that Sentinel
// replaces. An ACL needs ~prefix* +@connection +@read +@write +@transaction
// +@scripting +time, and for a cluster +cluster +command.
//
// # What Redis promises, and what that means for a cart
//
// Redis answers before its replicas have the write. With appendfsync everysec it also
// answers before its disk has it. When a primary dies, the last second or so may be
// lost. A book just put into the cart is then missing on the next page, an item taken
// out is back, and a new cart is lost completely. Who a visitor is does not depend on
// it. But data that an upgrade or sign-in carried over a moment before may have stayed
// behind. So keep here what a visitor can put together again. Keep orders, notes and
// payments in the database, under their user ID.
//
// While no primary can be reached, LoadAndSave answers 503 and does not change the
// cookie. So does an identity change of a visitor who has a session, since its data
// would have to move along. Pages and the sign-out that stand outside of LoadAndSave
// still work.
//
// Set maxmemory-policy to noeviction. A server that is out of memory then refuses to
// save. That is a 503, which an operator notices. Any other policy deletes carts
// instead.
package redisstore

import (
	"errors"
	"reflect"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Config says where in Redis the data is.
type Config struct {
	// Client reaches one server, a cluster, or a primary that Sentinel names. Required.
	// It is used and never closed. It needs ContextTimeoutEnabled, or a request would
	// wait for longer than its context allows. It must not read from replicas or from a
	// cache of its own: an item that was taken out of a cart would come back.
	Client redis.UniversalClient

	// Prefix begins the name of every key. It separates this app from others, and
	// several session managers from each other. Empty is "walkin:". It has no braces,
	// which decide about a key's place in a cluster.
	Prefix string
}

// caches reports whether a client answers from a cache of its own. go-redis has that
// since 9.22 only, and an app may have an older one.
func caches(o *redis.Options) bool {
	options := reflect.ValueOf(o).Elem()
	for _, name := range []string{"ClientSideCache", "ClientSideCacheConfig"} {
		if field := options.FieldByName(name); field.IsValid() && !field.IsZero() {
			return true
		}
	}
	return false
}

// check fills in the defaults and returns one error that names every setting that is wrong.
func (cfg *Config) check() error {
	var errs []error
	mistake := func(text string) { errs = append(errs, errors.New("redisstore: "+text)) }
	bounded, stale := true, false
	// Other types in the interface, such as a wrapper for tests, are not checked.
	switch c := cfg.Client.(type) {
	case nil:
		mistake("Config.Client is nil")
	case *redis.Client:
		if c == nil {
			mistake("Config.Client is a nil *redis.Client")
			break
		}
		o := c.Options()
		bounded, stale = o.ContextTimeoutEnabled, caches(o)
	case *redis.ClusterClient:
		if c == nil {
			mistake("Config.Client is a nil *redis.ClusterClient")
			break
		}
		o := c.Options()
		bounded, stale = o.ContextTimeoutEnabled, o.ReadOnly || o.RouteByLatency || o.RouteRandomly
	case *redis.Ring:
		// Its keys move to another server when one is down, and back.
		mistake("Config.Client is a Ring, which loses sight of what is there; use a cluster")
	}
	if !bounded {
		mistake("Config.Client needs ContextTimeoutEnabled")
	}
	if stale {
		mistake("Config.Client reads from replicas or from a cache, which may be behind")
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "walkin:"
	}
	if strings.ContainsAny(cfg.Prefix, "{}") {
		mistake("Config.Prefix has a brace")
	}
	return errors.Join(errs...)
}
