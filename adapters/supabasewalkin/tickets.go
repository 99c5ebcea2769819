package supabasewalkin

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// put keeps a value until then. It is of the user in as, or of none where that is nil.
func (h *Handler) put(ctx context.Context, key string, as *walkin.Claims, value any, until time.Time) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return h.store.PutTicket(ctx, store.Ticket{Key: key, Data: data, ExpiresAt: until, UserID: userOf(as), Tries: reads})
}

// reads is how often try returns a value: a browser may load its page again.
const reads = 20

// try reads a value of which each read makes another, so that one of a stranger's does
// not fill the store.
func (h *Handler) try(ctx context.Context, key string, into any) error {
	t, err := h.store.TryTicket(ctx, key, time.Now())
	if err != nil {
		return err
	}
	return json.Unmarshal(t.Data, into)
}

func userOf(c *walkin.Claims) uuid.UUID {
	if c == nil {
		return uuid.Nil
	}
	return c.UserID
}

// ticket reads a value, and leaves it.
func (h *Handler) ticket(ctx context.Context, key string, into any) error {
	t, err := h.store.Ticket(ctx, key, time.Now())
	if err != nil {
		return err
	}
	return json.Unmarshal(t.Data, into)
}

// take reads a value, once.
func (h *Handler) take(ctx context.Context, key string, into any) error {
	t, err := h.store.TakeTicket(ctx, key, time.Now())
	if err != nil {
		return err
	}
	return json.Unmarshal(t.Data, into)
}
