package code

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
)

// Messages are limited four times over, since each limit alone is a weapon, or
// none. The tight ones are on what a stranger has: their browser, their network,
// and their network for one address. The one on the address alone stops a flood
// of its mailbox, and guesses, from many networks; it keeps the owner out of new
// browsers too, so it is twice as wide as what one network can use up.

// neighbours is how many times the limit of an IPv6 /64 its /48 has.
const neighbours = 4

const limiterTimeout = time.Second

// A bucket is one that a message is taken from.
type bucket struct {
	name      string // for the owner
	key       string
	limit     limit.Limit
	ofAddress bool
}

// buckets returns what a message counts in. The visitor's own come first: who is
// over their own limit must not use up that of an address.
//
// Where one of these is full, what a known device of the address asks for counts in
// none that strangers can use up, not that of their network either: it may be a café's.
func (c *Codes) buckets(r *http.Request, binding, address, device string) []bucket {
	buckets := []bucket{c.bucket("browser", binding, c.cfg.PerBrowser)}
	if device != "" {
		return append(buckets, c.addressBuckets(r, address, device)...)
	}
	for i, network := range c.cfg.Middleware.ClientNetworks(r) {
		limit := c.cfg.PerNetwork
		if i > 0 {
			limit.Count *= neighbours
		}
		buckets = append(buckets, c.bucket("network", network, limit))
	}
	return append(buckets, c.addressBuckets(r, address, "")...)
}

// addressBuckets returns those that are about an address; for a known device, its
// own and one for all known devices of the address.
func (c *Codes) addressBuckets(r *http.Request, address, device string) []bucket {
	networks := c.cfg.Middleware.ClientNetworks(r)
	address = c.mailbox(address)
	buckets := []bucket{
		c.bucket("address_and_network", address+" "+networks[len(networks)-1], c.cfg.PerAddressAndNetwork),
		c.bucket("address", address, c.cfg.PerAddress),
	}
	if device != "" {
		buckets = []bucket{
			c.bucket("device", address+" "+device, c.cfg.PerAddressAndNetwork),
			c.bucket("devices", address, c.cfg.PerAddress),
		}
	}
	for i := range buckets {
		buckets[i].ofAddress = true
	}
	return buckets
}

// mailbox returns what an address counts as: many servers deliver ann.lee and
// annlee+1 to one mailbox, and whoever wants to flood it knows that. Where they are
// two they share a limit, and nothing else.
func (c *Codes) mailbox(address string) string {
	local, domain, ok := strings.Cut(address, "@")
	if !ok { // a number
		return address
	}
	if i := strings.IndexByte(local, '+'); i > 0 {
		local = local[:i]
	}
	return strings.ReplaceAll(local, ".", "") + "@" + domain
}

// bucket hashes its key: a limiter that replicas share needs no addresses.
func (c *Codes) bucket(name, value string, limit limit.Limit) bucket {
	return bucket{name: name, key: "code:" + hex.EncodeToString(sum(c.keys[0], "limit", name, value)[:16]), limit: limit}
}

// limits count messages, in Config.Limiter, and in the process's own while that
// fails: neither open nor closed.
type limits struct{ shared, own limit.Limiter }

// taken is what a message was taken from.
type taken struct {
	limiter limit.Limiter
	buckets []bucket
}

// take takes one from every bucket, or from none; then it refuses with 429.
func (l limits) take(ctx context.Context, buckets []bucket) (taken, error) {
	t, refusal, err := takeFrom(ctx, l.shared, buckets)
	if err != nil {
		t, refusal, err = takeFrom(ctx, l.own, buckets)
	}
	if err != nil {
		return taken{}, fmt.Errorf("walkin: code: %w", err)
	}
	if refusal != nil {
		return taken{}, refusal
	}
	return t, nil
}

func takeFrom(ctx context.Context, limiter limit.Limiter, buckets []bucket) (taken, *walkin.Refusal, error) {
	t, now := taken{limiter: limiter}, time.Now()
	within, cancel := context.WithTimeout(ctx, limiterTimeout)
	defer cancel()
	// All are looked at before anything is taken: each new browser of a network
	// that is full would cost a shared limiter two writes.
	for _, n := range [...]int{0, 1} {
		for i, b := range buckets {
			verdict, err := limiter.Take(within, b.key, b.limit, n, now)
			if err != nil {
				t.giveBack(ctx)
				return taken{}, nil, err
			}
			if !verdict.OK {
				t.giveBack(ctx)
				return taken{}, tooMany(b.name, verdict.RetryAfter), nil
			}
			if n > 0 {
				t.buckets = buckets[:i+1]
			}
		}
	}
	return t, nil, nil
}

// ofAddress returns the part that is about an address.
func (t taken) ofAddress() taken {
	return taken{t.limiter, slices.DeleteFunc(slices.Clone(t.buckets), func(b bucket) bool { return !b.ofAddress })}
}

// giveBack is for a message that was not sent. What cannot be given back is one
// short for a while, and no more.
func (t taken) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limiterTimeout)
	defer cancel()
	for _, b := range t.buckets {
		_, _ = t.limiter.Take(ctx, b.key, b.limit, -1, time.Now())
	}
}

// proven gives back one of everybody's messages to an address that was proven, so that its owner
// is never kept out by signing in often. The browser's and the network's stay
// taken: somebody who is paid for messages to their own numbers proves them all.
func (l limits) proven(ctx context.Context, buckets []bucket) {
	taken{l.shared, buckets}.giveBack(ctx)
}

// tooMany says the same whatever limit it was, so that nobody learns what was
// sent to an address of somebody else; the owner gets its name.
func tooMany(name string, wait time.Duration) *walkin.Refusal {
	after := "a minute"
	if minutes := (wait + time.Minute - 1) / time.Minute; minutes > 1 {
		after = fmt.Sprintf("%d minutes", minutes)
	}
	return &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: "code_limit_" + name, RetryAfter: max(wait, time.Second),
		Message: "We have sent many codes just now. Please use the last one, or wait " + after + " and ask again."}
}
