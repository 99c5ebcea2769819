package totp

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

// perHold is how many half-proven sign-ins a user may begin: each is a ticket in the
// store, and a client that has a password could make them without end.
var perHold = limit.Limit{Count: 50, Per: time.Hour}

// buckets returns what a request for a user counts in; identity is one of the user's,
// which the browser may have proven before. Then no other client can use them up.
func (t *TOTP) buckets(r *http.Request, what string, identity store.Identity, perOne, perAll limit.Limit) []limits.Bucket {
	user := identity.UserID.String()
	bucket := func(kind, key string, limit limit.Limit) limits.Bucket {
		sum := sha256.Sum256([]byte(what + "\x00" + kind + "\x00" + user + "\x00" + key))
		return limits.Bucket{Name: kind, Key: "totp:" + base64.RawURLEncoding.EncodeToString(sum[:16]), Limit: limit}
	}
	if device, known := t.wk.KnownDevice(r, identity); known {
		return []limits.Bucket{bucket("device", device, perOne), bucket("devices", "", perAll)}
	}
	networks := t.wk.ClientNetworks(r)
	return []limits.Bucket{bucket("network", networks[len(networks)-1], perOne), bucket("user", "", perAll)}
}

func (t *TOTP) take(ctx context.Context, buckets []limits.Bucket) (limits.Taken, error) {
	taken, full, err := t.limits.Take(ctx, buckets)
	if err != nil {
		return limits.Taken{}, fmt.Errorf("walkin: totp: %w", err)
	}
	if full != nil {
		return limits.Taken{}, &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: ReasonLimit, RetryAfter: max(full.Wait, time.Second),
			Text: texts.Of("factor.too_many", "minutes", texts.Minutes(full.Wait))}
	}
	return taken, nil
}

// guarded counts a try before it is made, so that a hundred concurrent ones get no
// further than a hundred in a row, and gives it back if the code was right.
func (t *TOTP) guarded(r *http.Request, identity store.Identity, try func() error) error {
	taken, err := t.take(r.Context(), t.buckets(r, "try", identity, t.perUserAndNetwork, t.perUser))
	if err != nil {
		return err
	}
	if err := try(); err != nil {
		return err
	}
	taken.GiveBack(r.Context())
	return nil
}
