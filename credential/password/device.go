package password

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/limit"
)

// A count is what one sign-in counts in: the buckets of strangers, in the process or
// in Config.Limiter, or those of a device that the name's owner has used before.
// Strangers cannot use those up, so they lock nobody out of their own browser; whoever
// has stolen a mark, or sits at the browser, has as few tries as everybody.
type count struct {
	p       *Password
	attempt attempt         // where buckets is nil
	buckets []limits.Bucket // in p.shared
	taken   limits.Taken
}

// count returns what a sign-in with a name counts in; identity is the name's, or zero.
func (p *Password) count(r *http.Request, name string, identity walkin.Identity) *count {
	from := p.origin(r)
	bucket := func(kind, key string, most limit.Limit) limits.Bucket {
		sum := sha256.Sum256([]byte(kind + "\x00" + key)) // a shared limiter needs no names
		return limits.Bucket{Name: kind, Key: "password:" + base64.RawURLEncoding.EncodeToString(sum[:16]),
			Limit: most}
	}
	if device, known := walkin.KnownDevice(r, identity); known {
		return &count{p: p, buckets: []limits.Bucket{
			bucket("device", name+" "+device, p.perNameAndNetwork),
			bucket("devices", name, p.perName),
		}}
	}
	if !p.isShared {
		return &count{p: p, attempt: p.limits.attempt(name, from)}
	}
	return &count{p: p, buckets: []limits.Bucket{
		bucket("address", from.address, p.perAddress),
		bucket("name and network", name+" "+from.network, p.perNameAndNetwork),
		bucket("name", name, p.perName),
	}}
}

// wait returns how long it is until the attempt may be made; 0 is now.
func (c *count) wait(ctx context.Context) (time.Duration, error) {
	if c.buckets == nil {
		return c.p.limits.wait(c.attempt), nil
	}
	full, err := c.p.shared.Look(ctx, c.buckets)
	return waitFor(full, err)
}

// take counts an attempt and returns 0; or it counts nothing and returns how long to
// wait.
func (c *count) take(ctx context.Context) (wait time.Duration, err error) {
	if c.buckets == nil {
		return c.p.limits.take(c.attempt), nil
	}
	var full *limits.Full
	c.taken, full, err = c.p.shared.Take(ctx, c.buckets)
	return waitFor(full, err)
}

func waitFor(full *limits.Full, err error) (time.Duration, error) {
	if err != nil {
		return 0, fmt.Errorf("walkin: password: %w", err)
	}
	if full != nil {
		return max(full.Wait, time.Second), nil
	}
	return 0, nil
}

// giveBack takes an attempt out of the count again.
func (c *count) giveBack(ctx context.Context) {
	if c.buckets == nil {
		c.p.limits.giveBack(c.attempt)
		return
	}
	c.taken.GiveBack(ctx)
}
