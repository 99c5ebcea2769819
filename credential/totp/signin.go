package totp

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// A held proof is the data of a ticket.
type held struct {
	Provider string          `json:"provider"`
	Subject  string          `json:"subject"`
	User     uuid.UUID       `json:"user"`
	Version  []byte          `json:"version"` // of the identity's secret: a new password ends what the old one began
	Device   bool            `json:"device,omitempty"`
	Conflict walkin.Conflict `json:"conflict,omitempty"`
	Used     []byte          `json:"used,omitempty"` // the hash of the code that completed it
}

func (h held) isOf(identity store.Identity) bool {
	return identity.UserID == h.User && bytes.Equal(h.Version, versionOf(identity))
}

func versionOf(identity store.Identity) []byte {
	sum := sha256.Sum256(identity.Secret)
	return sum[:]
}

// heldKey names the ticket of a browser: it has one half-proven sign-in at a time.
func heldKey(flow string) string { return "totp:held:" + flow }

// usedKey is where it goes when it was completed.
func usedKey(flow string) string { return "totp:used:" + flow }

// Hold keeps a half-proven sign-in; see [walkin.Middleware.AttachSecondFactor].
func (t *TOTP) Hold(w http.ResponseWriter, r *http.Request, p walkin.Proof) error {
	flow, err := t.wk.StartFlow(w, r)
	if err != nil {
		return err
	}
	identity, err := t.store.Identity(r.Context(), p.Provider, p.Subject)
	if err != nil {
		return err
	}
	if _, err := t.take(r.Context(), t.buckets(r, "hold", identity, perHold, perHold)); err != nil {
		return err
	}
	err = t.store.InTx(r.Context(), func(ctx context.Context) error {
		if _, err := t.store.LockUser(ctx, identity.UserID); err != nil {
			return err
		}
		if p.Redeem != nil {
			if err := p.Redeem(ctx); err != nil {
				return err
			}
		}
		again, err := t.store.Identity(ctx, p.Provider, p.Subject)
		if err != nil {
			return err
		}
		if again.UserID != identity.UserID {
			return store.ErrNotFound
		}
		data, err := json.Marshal(held{Provider: p.Provider, Subject: p.Subject, User: again.UserID, Version: versionOf(again),
			Device: p.Device, Conflict: p.Conflict})
		if err != nil {
			return err
		}
		return t.store.PutTicket(ctx, store.Ticket{Key: heldKey(flow), Data: data, Tries: tries, ExpiresAt: time.Now().Add(heldFor), UserID: again.UserID})
	})
	if errors.Is(err, walkin.ErrRedeemed) && t.Pending(r) {
		err = nil // the second half of a double click, of which the first is held
	}
	if err != nil {
		return err
	}
	needed := *halfProven
	needed.Page = t.page
	return &needed
}

// Pending reports whether this browser has a half-proven sign-in, for the page that asks
// for the code. It is false as well when the store does not answer.
func (t *TOTP) Pending(r *http.Request) bool {
	_, _, _, err := t.find(r, heldKey)
	return err == nil
}

// find returns the ticket of this browser.
func (t *TOTP) find(r *http.Request, key func(flow string) string) (store.Ticket, held, string, error) {
	for _, flow := range t.wk.FlowIDs(r) {
		ticket, err := t.store.Ticket(r.Context(), key(flow), time.Now())
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return store.Ticket{}, held{}, "", err
		}
		var h held
		if err := json.Unmarshal(ticket.Data, &h); err != nil {
			return store.Ticket{}, held{}, "", fmt.Errorf("walkin: totp: a stored ticket: %w", err)
		}
		return ticket, h, flow, nil
	}
	return store.Ticket{}, held{}, "", store.ErrNotFound
}

// SignIn implements [walkin.Credential]: it reads the code, and returns the proof that
// this browser's half-proven sign-in lacked. Each call spends one of its tries. In a
// session that was proven within walkin.Config.Sessions.RecentProof, and has none, the
// code adds the factor to that proof.
//
// An error that the visitor can fix is a *[walkin.Refusal]: 422 for what is no code, 401
// for a wrong one, one that was used before, or a sign-in that has expired; 429 at a
// limit.
func (t *TOTP) SignIn(r *http.Request) (walkin.Proof, error) {
	code, err := t.read(r)
	if err != nil {
		return walkin.Proof{}, err
	}
	return t.signIn(r, code)
}

// SignInWith is SignIn with a code that the app has read itself, such as from JSON. Of the
// request it uses the cookies and where it comes from.
func (t *TOTP) SignInWith(r *http.Request, text string) (walkin.Proof, error) {
	code, err := read(text)
	if err != nil {
		return walkin.Proof{}, err
	}
	return t.signIn(r, code)
}

func (t *TOTP) signIn(r *http.Request, code typed) (walkin.Proof, error) {
	ticket, h, flow, err := t.find(r, heldKey)
	if errors.Is(err, store.ErrNotFound) {
		return t.withoutTicket(r, code)
	}
	if err != nil {
		return walkin.Proof{}, err
	}
	identity, err := t.owner(r.Context(), h)
	if err != nil {
		return walkin.Proof{}, err
	}
	err = t.guarded(r, identity, func() error {
		if _, err := t.store.TryTicket(r.Context(), ticket.Key, time.Now()); errors.Is(err, store.ErrNotFound) {
			return over()
		} else if err != nil {
			return err
		}
		_, err := t.check(r.Context(), h.User, code)
		return err
	})
	if err != nil {
		return walkin.Proof{}, err
	}
	return walkin.Proof{Provider: h.Provider, Subject: h.Subject, Method: mfa, Device: h.Device, Conflict: h.Conflict, FlowID: flow,
		Redeem: func(ctx context.Context) error { return t.complete(ctx, ticket, h, flow, code) }}, nil
}

// SignUp implements [walkin.Credential]; it does what SignIn does.
func (t *TOTP) SignUp(r *http.Request) (walkin.Proof, error) { return t.SignIn(r) }

// owner returns the identity that was half-proven, if it still is what it was.
func (t *TOTP) owner(ctx context.Context, h held) (store.Identity, error) {
	identity, err := t.store.Identity(ctx, h.Provider, h.Subject)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !h.isOf(identity):
		return store.Identity{}, over()
	case err != nil:
		return store.Identity{}, err
	}
	return identity, nil
}

// complete uses up the ticket and the code, in the transaction that opens the session.
// For a moment the ticket can be recognised, see sameClick.
func (t *TOTP) complete(ctx context.Context, tried store.Ticket, h held, flow string, code typed) error {
	now := time.Now()
	ticket, err := t.store.TakeTicket(ctx, tried.Key, now)
	if errors.Is(err, store.ErrNotFound) {
		last, err := t.store.Ticket(ctx, usedKey(flow), now)
		if err := sameCode(last, err, code); err != nil {
			return err
		}
		return redeemed() // the other half was faster
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(ticket.Data, tried.Data) {
		return over() // another sign-in took its place
	}
	if _, err := t.owner(ctx, h); err != nil {
		return err
	}
	if err := t.use(ctx, h.User, code); err != nil {
		return err
	}
	h.Used = recoveryHash(h.User, code.text)
	if ticket.Data, err = json.Marshal(h); err != nil {
		return err
	}
	ticket.Key, ticket.ExpiresAt = usedKey(flow), now.Add(sameClick)
	return t.store.PutTicket(ctx, ticket)
}

// sameCode returns nil if a ticket that was read was completed by a code, and otherwise
// why it was not.
func sameCode(ticket store.Ticket, err error, code typed) error {
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	var h held
	if json.Unmarshal(ticket.Data, &h) != nil || !hmac.Equal(h.Used, recoveryHash(h.User, code.text)) {
		return over()
	}
	return nil
}

// withoutTicket is for a browser without a half-proven sign-in: the second half of a
// double click, or a user who is signed in and adds the factor to their proof.
func (t *TOTP) withoutTicket(r *http.Request, code typed) (walkin.Proof, error) {
	ticket, h, flow, err := t.find(r, usedKey)
	switch {
	case err == nil:
		ticket, err = t.store.TryTicket(r.Context(), ticket.Key, time.Now())
		if err := sameCode(ticket, err, code); err != nil {
			return walkin.Proof{}, err
		}
		return walkin.Proof{Provider: h.Provider, Subject: h.Subject, Method: mfa, FlowID: flow,
			Redeem: func(context.Context) error { return redeemed() }}, nil
	case !errors.Is(err, store.ErrNotFound):
		return walkin.Proof{}, err
	}
	c, err := t.member(r)
	if err != nil {
		return walkin.Proof{}, over()
	}
	identities, err := t.store.Identities(r.Context(), c.UserID)
	if err != nil {
		return walkin.Proof{}, err
	}
	for _, identity := range identities {
		if identity.Provider == Provider {
			continue
		}
		if err := t.guarded(r, identity, func() error { _, err := t.check(r.Context(), c.UserID, code); return err }); err != nil {
			return walkin.Proof{}, err
		}
		return walkin.Proof{Provider: identity.Provider, Subject: identity.Subject, Method: mfa, At: c.ProvenAt,
			Redeem: func(ctx context.Context) error { return t.use(ctx, c.UserID, code) }}, nil
	}
	return walkin.Proof{}, over()
}
