package walkin

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// A successor says which session a change of identity opened, and which session or
// login flow it replaced. It is stored in the transaction of the change, for as long as
// a flow may take; a sign-out leaves none. So a flow that was begun in a browser finds
// the session that goes on there, and a flow that a sign-out ended does not.
type successor struct {
	Outcome   Outcome   `json:"outcome"`
	UserID    uuid.UUID `json:"user_id"`
	SessionID uuid.UUID `json:"session_id"`
	Provider  string    `json:"provider"`
	Subject   string    `json:"subject"`
	Method    string    `json:"method"`
	ProvenAt  time.Time `json:"proven_at"`
	IssuedAt  time.Time `json:"issued_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

func successorKey(bound string) string { return "successor:" + bound }

// succeed keeps the successor of the session that has ended, and of the flow that has
// come to its end, for [Middleware.again] and [Middleware.CameFrom].
func (s *identityChange) succeed(ctx context.Context) error {
	var names []string
	if s.endsOld {
		names = append(names, sessionFlowID(s.visitor))
	}
	if s.proof.FlowID != "" && (len(names) == 0 || s.proof.FlowID != names[0]) {
		names = append(names, s.proof.FlowID)
	}
	if len(names) == 0 {
		return nil
	}
	data, err := json.Marshal(successor{
		s.change.Outcome, s.claims.UserID, s.claims.SessionID, s.proof.Provider, s.proof.Subject,
		s.claims.Method, s.claims.ProvenAt, s.claims.IssuedAt, s.claims.ExpiresAt,
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		err := s.m.cfg.Store.PutTicket(ctx, store.Ticket{Key: successorKey(name), Data: data, ExpiresAt: s.now.Add(flowLifetime), UserID: s.claims.UserID})
		if err != nil {
			return err
		}
	}
	return nil
}

// successor returns what took the place of a session or a flow, or store.ErrNotFound.
func (h *storeHealth) successor(ctx context.Context, bound string) (next successor, err error) {
	ticket, err := h.cfg.Store.Ticket(ctx, successorKey(bound), time.Now())
	if err != nil {
		return successor{}, err
	}
	return next, json.Unmarshal(ticket.Data, &next)
}
