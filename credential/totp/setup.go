package totp

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/form"
	"github.com/walkin-go/walkin/store"
)

// member returns the permanent visitor of a request, if their proof is fresh.
func (t *TOTP) member(r *http.Request) (walkin.Claims, error) {
	c, ok := walkin.FromContext(r.Context())
	switch {
	case !ok:
		return walkin.Claims{}, &walkin.Refusal{Status: http.StatusUnauthorized, Reason: walkin.ReasonNoUser}
	case c.Anonymous:
		return walkin.Claims{}, walkin.ErrAnonymous
	case time.Since(c.ProvenAt) > t.wk.RecentProof():
		return walkin.Claims{}, walkin.ErrNotRecent
	}
	return c, nil
}

// changing returns the visitor of a request that changes their factor, and the name of
// its flow.
func (t *TOTP) changing(w http.ResponseWriter, r *http.Request) (walkin.Claims, string, error) {
	flow, err := t.wk.StartFlow(w, r) // whether the request is the visitor's own
	if err != nil {
		return walkin.Claims{}, "", err
	}
	c, err := t.member(r)
	return c, flow, err
}

const keySize = 20 // bytes, as RFC 4226, 4, recommends

func setUpKey(flow string) string { return "totp:set-up:" + flow }

// Begin starts to turn the factor on for the visitor, with a new key; see [TOTP.SetUp].
// Call it behind walkin.Middleware.Handler. It needs a permanent visitor with a password
// and a proof within walkin.Config.Sessions.RecentProof. The error is for
// [walkin.Middleware.Refuse]: 409 if it is on already, or the visitor has no password.
func (t *TOTP) Begin(w http.ResponseWriter, r *http.Request) error {
	c, flow, err := t.changing(w, r)
	if err != nil {
		return err
	}
	if _, err := t.password(r.Context(), c); err != nil {
		return err
	}
	key := make([]byte, keySize)
	rand.Read(key)
	sealed, err := t.seal(c.UserID, encoding.EncodeToString(key))
	if err != nil {
		return err
	}
	return t.store.PutTicket(r.Context(), store.Ticket{Key: setUpKey(flow), Data: sealed, Tries: 4 * tries, ExpiresAt: time.Now().Add(setUpFor), UserID: c.UserID})
}

// password returns the identity by whose password the visitor signs in, if the factor is
// not on yet.
func (t *TOTP) password(ctx context.Context, c walkin.Claims) (store.Identity, error) {
	identities, err := t.store.Identities(ctx, c.UserID)
	if err != nil {
		return store.Identity{}, err
	}
	if slices.ContainsFunc(identities, func(i store.Identity) bool { return i.Provider == Provider }) {
		return store.Identity{}, refuse(http.StatusConflict, ReasonOn, "factor.on")
	}
	i := slices.IndexFunc(identities, func(i store.Identity) bool {
		return (i.Provider == "password" || i.Provider == "email" || i.Provider == "phone") && len(i.Secret) > 0
	})
	if i < 0 {
		return store.Identity{}, refuse(http.StatusConflict, ReasonNoPassword, "factor.no_password")
	}
	return identities[i], nil
}

// SetUp returns what the visitor needs to set their app up, after [TOTP.Begin]: the key
// in base32, to be typed in; the otpauth URI; and its QR code as an SVG element for the
// page. Show them to the visitor alone, on a page that no cache keeps. ok is false if
// Begin was not called, or too long ago.
func (t *TOTP) SetUp(r *http.Request) (key, uri, svg string, ok bool, err error) {
	c, err := t.member(r)
	if err != nil {
		return "", "", "", false, err
	}
	for _, flow := range t.wk.FlowIDs(r) {
		ticket, err := t.store.Ticket(r.Context(), setUpKey(flow), time.Now())
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return "", "", "", false, err
		}
		if key, _, err = t.open(c.UserID, ticket.Data); err != nil {
			return "", "", "", false, err
		}
		identity, err := t.password(r.Context(), c)
		if err != nil {
			return "", "", "", false, err
		}
		if uri, err = t.uri(key, identity.Subject); err != nil {
			return "", "", "", false, err
		}
		svg, err = drawing(uri)
		return key, uri, svg, err == nil, err
	}
	return "", "", "", false, nil
}

func (t *TOTP) uri(key, account string) (string, error) {
	secret, err := encoding.DecodeString(key)
	if err != nil {
		return "", err
	}
	made, err := totp.Generate(totp.GenerateOpts{Issuer: t.issuer, AccountName: account, Secret: secret, Algorithm: otp.AlgorithmSHA1, Digits: otp.DigitsSix, Period: period})
	if err != nil {
		return "", err
	}
	return made.URL(), nil
}

// Confirm turns the factor on, once the visitor's app shows the right code. It ends the
// visitor's other sessions, which were opened without the factor, and this browser goes
// on with a new one. It returns ten recovery codes, which are shown this once. Call it
// as [TOTP.Begin]. A refusal is 422 or 401 for the code, 404 if Begin was not called or
// too long ago.
func (t *TOTP) Confirm(w http.ResponseWriter, r *http.Request) ([]string, error) {
	c, flow, err := t.changing(w, r)
	if err != nil {
		return nil, err
	}
	code, err := t.read(r)
	if err != nil {
		return nil, err
	}
	if code.recovery {
		return nil, form.Unfit(ReasonMissing, "factor.missing")
	}
	identity, err := t.password(r.Context(), c)
	if err != nil {
		return nil, err
	}
	ticket, err := t.store.TryTicket(r.Context(), setUpKey(flow), time.Now())
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse(http.StatusNotFound, ReasonSetUpOver, "factor.set_up_over")
	}
	if err != nil {
		return nil, err
	}
	key, _, err := t.open(c.UserID, ticket.Data)
	if err != nil {
		return nil, err
	}
	rec := record{Sealed: ticket.Data}
	if rec.Last, err = match(key, code.text, 0); err != nil {
		return nil, err
	}
	codes, hashes := newRecovery(c.UserID)
	rec.Recovery = hashes
	secret, err := json.Marshal(rec)
	if err != nil {
		return nil, err
	}
	_, err = t.wk.Continue(w, r, walkin.Proof{Provider: identity.Provider, Subject: identity.Subject, Method: mfa, At: c.ProvenAt, FlowID: flow,
		Redeem: func(ctx context.Context) error {
			again, err := t.store.TakeTicket(ctx, ticket.Key, time.Now())
			if errors.Is(err, store.ErrNotFound) || err == nil && !bytes.Equal(again.Data, ticket.Data) {
				return refuse(http.StatusNotFound, ReasonSetUpOver, "factor.set_up_over")
			}
			if err != nil {
				return err
			}
			err = t.store.CreateIdentity(ctx, store.Identity{Provider: Provider, Subject: c.UserID.String(), UserID: c.UserID, Secret: secret, CreatedAt: time.Now()})
			if errors.Is(err, store.ErrIdentityTaken) {
				return refuse(http.StatusConflict, ReasonOn, "factor.on")
			}
			if err != nil {
				return err
			}
			return t.store.DeleteSessions(ctx, c.UserID, c.SessionID)
		}})
	if err != nil {
		return nil, err
	}
	// The sessions are gone; what the app kept in them goes too.
	if now, ok := walkin.FromContext(r.Context()); ok {
		if err := t.wk.EndOtherSessions(r.Context(), c.UserID, now.SessionID); err != nil {
			t.wk.Report(r.Context(), ReasonSessions, err) // the codes are shown once, so they are
		}
	}
	return codes, nil
}

// change makes a change to the visitor's factor that needs a code, in the transaction
// that uses it up.
func (t *TOTP) change(w http.ResponseWriter, r *http.Request, do func(ctx context.Context, c walkin.Claims) error) error {
	c, _, err := t.changing(w, r)
	if err != nil {
		return err
	}
	code, err := t.read(r)
	if err != nil {
		return err
	}
	return t.guarded(r, store.Identity{UserID: c.UserID}, func() error {
		return t.store.InTx(r.Context(), func(ctx context.Context) error {
			if _, err := t.store.LockUser(ctx, c.UserID); err != nil {
				return err
			}
			if err := t.use(ctx, c.UserID, code); err != nil {
				return err
			}
			return do(ctx, c)
		})
	})
}

// NewCodes replaces the visitor's recovery codes and returns the new ones, which are
// shown this once. It needs a code, and what [TOTP.Begin] needs.
func (t *TOTP) NewCodes(w http.ResponseWriter, r *http.Request) (codes []string, err error) {
	err = t.change(w, r, func(ctx context.Context, c walkin.Claims) error {
		_, rec, err := t.recordOf(ctx, c.UserID)
		if err != nil {
			return err
		}
		codes, rec.Recovery = newRecovery(c.UserID)
		return t.save(ctx, c.UserID, rec)
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// TurnOff turns the visitor's factor off. It needs a code, and what [TOTP.Begin] needs.
func (t *TOTP) TurnOff(w http.ResponseWriter, r *http.Request) error {
	return t.change(w, r, func(ctx context.Context, c walkin.Claims) error {
		return t.store.DeleteIdentity(ctx, c.UserID, Provider, c.UserID.String())
	})
}
