package code

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/texts"
)

// Messages have four limits, since each alone is either a weapon or useless. The tight
// ones are on what any client has: its browser, its network, and its network for
// one address. The one on the address alone stops floods of its mailbox, and guesses,
// from many networks. It keeps the owner out of new browsers too, so it is twice as
// wide as what one network can use up.

// buckets returns what a message counts in. The visitor's own come first: a visitor
// over their own limit must not use up that of an address.
//
// When one of these is full, requests of a known device of the address count in none
// that other clients can use up, not even that of their network: it may be a café's.
func (c *Codes) buckets(r *http.Request, binding, address, device string) []limits.Bucket {
	buckets := []limits.Bucket{c.bucket("browser", binding, c.cfg.PerBrowser)}
	if device != "" {
		return append(buckets, c.addressBuckets(r, address, device)...)
	}
	for i, network := range c.wk.ClientNetworks(r) {
		limit := c.cfg.PerNetwork
		if i > 0 {
			limit.Count *= limits.Neighbours
		}
		buckets = append(buckets, c.bucket("network", network, limit))
	}
	return append(buckets, c.addressBuckets(r, address, "")...)
}

// addressBuckets returns those that are about an address; for a known device, its
// own and one for all known devices of the address.
func (c *Codes) addressBuckets(r *http.Request, address, device string) []limits.Bucket {
	networks := c.wk.ClientNetworks(r)
	address = c.mailbox(address)
	buckets := []limits.Bucket{
		c.bucket("address_and_network", address+" "+networks[len(networks)-1], c.cfg.PerAddressAndNetwork),
		c.bucket("address", address, c.cfg.PerAddress),
	}
	if device != "" {
		buckets = []limits.Bucket{
			c.bucket("device", address+" "+device, c.cfg.PerAddressAndNetwork),
			c.bucket("devices", address, c.cfg.PerAddress),
		}
	}
	return buckets
}

// mailbox returns what an address counts as: many servers deliver ann.lee and annlee+1
// to one mailbox, and an attacker who floods it knows that. Where they are two
// mailboxes they share a limit, and nothing else.
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

// limitReasons are the reasons of a full bucket, by its name.
var limitReasons = map[string]walkin.Reason{
	"browser": ReasonLimitBrowser, "network": ReasonLimitNetwork,
	"address": ReasonLimitAddress, "address_and_network": ReasonLimitAddressAndNetwork,
	"device": ReasonLimitDevice, "devices": ReasonLimitDevices,
}

// bucket hashes its key: a limiter that replicas share needs no addresses.
func (c *Codes) bucket(name, value string, limit limit.Limit) limits.Bucket {
	return limits.Bucket{Name: name, Key: "code:" + hex.EncodeToString(sum(c.keys[0], "limit", name, value)[:16]), Limit: limit}
}

// take takes one from every bucket, or from none; then it refuses with 429.
func (c *Codes) take(ctx context.Context, buckets []limits.Bucket) (limits.Taken, error) {
	taken, full, err := c.limits.Take(ctx, buckets)
	if err != nil {
		return limits.Taken{}, fmt.Errorf("walkin: code: %w", err)
	}
	if full != nil {
		return limits.Taken{}, tooMany(full.Name, full.Wait)
	}
	return taken, nil
}

// isOfAddress reports whether a bucket is about an address.
func isOfAddress(b limits.Bucket) bool { return b.Name != "browser" && b.Name != "network" }

// tooMany gives the same answer for every limit, so that the visitor does not learn
// what was sent to another user's address. The operator gets the limit's name.
func tooMany(name string, wait time.Duration) *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: limitReasons[name], RetryAfter: max(wait, time.Second),
		Text: texts.Of("code.too_many", "minutes", texts.Minutes(wait))}
}
