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
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// A count is what one sign-in counts in: the buckets of unknown clients, or those of a
// device that the name's owner has used before. Unknown clients cannot use those up, so they cannot
// lock an owner out of their own browser. A client with a stolen device cookie, or at the browser,
// has as few tries as every client.
type count struct {
	limits  limits.Limits
	buckets []limits.Bucket
	taken   limits.Taken
}

// count returns what a sign-in with a name counts in; identity is the name's, or zero.
func (p *Password) count(r *http.Request, name string, identity store.Identity) *count {
	bucket := func(kind, key string, limit limit.Limit) limits.Bucket {
		sum := sha256.Sum256([]byte(kind + "\x00" + key)) // a limiter needs no names
		return limits.Bucket{Name: kind, Key: "password:" + base64.RawURLEncoding.EncodeToString(sum[:16]), Limit: limit}
	}
	if device, known := p.wk.KnownDevice(r, identity); known {
		return &count{limits: p.limits, buckets: []limits.Bucket{
			bucket("device", name+" "+device, p.perNameAndNetwork),
			bucket("devices", name, p.perName),
		}}
	}
	from := p.origin(r)
	return &count{limits: p.limits, buckets: []limits.Bucket{
		bucket("address", from.address, p.perAddress),
		bucket("name and network", name+" "+from.network, p.perNameAndNetwork),
		bucket("name", name, p.perName),
	}}
}

// wait returns how long it is until the attempt may be made; 0 is now.
func (c *count) wait(ctx context.Context) (time.Duration, error) {
	full, err := c.limits.Look(ctx, c.buckets)
	return waitFor(full, err)
}

// take counts an attempt and returns 0; or it counts nothing and returns how long to
// wait.
func (c *count) take(ctx context.Context) (wait time.Duration, err error) {
	var full *limits.Full
	c.taken, full, err = c.limits.Take(ctx, c.buckets)
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
func (c *count) giveBack(ctx context.Context) { c.taken.GiveBack(ctx) }

func tooMany(wait time.Duration) *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: ReasonTooManyAttempts, RetryAfter: wait,
		Text: texts.Of("password.too_many", "minutes", texts.Minutes(wait))}
}
