// Package redisstore keeps in Redis what a site on walkin can do without for a
// moment: the session data of scs, see [Sessions], and limits that replicas share,
// see [Limiter]. Users, identities and sessions stay in a walkin.Store: that an
// identity has one owner, and that an upgrade happens whole or not at all, cannot
// be promised across the slots of a cluster, nor past a fail-over.
//
// It is tested with Redis 7.0: one server, a cluster, and a primary that Sentinel
// replaces. An ACL needs ~prefix* +@connection +@read +@write +@transaction
// +@scripting +time, and for a cluster +cluster +command.
//
// # What Redis promises, and what that means for a cart
//
// Redis answers before its replicas have the write, and, with appendfsync
// everysec, before its disk has it. When a primary dies, the last second or so
// may be gone: the book put into the cart just then is not there on the next
// page, an item taken out is back, and what was in a new cart is lost whole. Who
// a visitor is does not depend on it; but what an upgrade or sign-in has carried
// over a moment before may have stayed behind. So keep here what a visitor can
// put together again, and orders, notes and payments in the database, under
// their user ID.
//
// While there is no primary, or none that can be reached, LoadAndSave answers
// 503 and leaves the cookie alone, and so does a change of identity of a visitor
// who has a session, since its data would have to go along. Pages and the
// sign-out that stand outside of LoadAndSave go on.
//
// Set maxmemory-policy to noeviction: a server that is out of memory then
// refuses to save, which is a 503 that somebody notices. Any other policy takes
// carts away instead.
package redisstore

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Config says where in Redis things are.
type Config struct {
	// Client reaches one server, a cluster, or a primary that Sentinel
	// names. Required; it is used and never closed. It needs
	// ContextTimeoutEnabled, or a request would wait for longer than its
	// context says, and must not read from replicas or from a cache of its
	// own: what was taken out of a cart would come back.
	Client redis.UniversalClient

	// Prefix begins the name of every key and sets this app, and each of
	// several session managers, apart. Empty is "walkin:". It has no braces,
	// which decide about a key's place in a cluster.
	Prefix string
}

// check fills in the defaults and returns one error that names every mistake.
func (cfg *Config) check() error {
	var errs []error
	mistake := func(text string) { errs = append(errs, errors.New("redisstore: "+text)) }
	bounded, stale := true, false
	// What else may be in the interface, as a wrapper for tests, is taken at
	// its word.
	switch c := cfg.Client.(type) {
	case nil:
		mistake("Config.Client is nil")
	case *redis.Client:
		if c == nil {
			mistake("Config.Client is a nil *redis.Client")
			break
		}
		o := c.Options()
		bounded, stale = o.ContextTimeoutEnabled, o.ClientSideCache != nil || o.ClientSideCacheConfig != nil
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
