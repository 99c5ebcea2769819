package password

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// guess returns the identity of a name and its stored hash if the password is right.
// Each call is a limited attempt: it is counted before its hash, so that a hundred
// concurrent ones get no further than a hundred in a row, and given back if the
// password was right. Attempts that wait for their turn do not count yet, or users who
// know their password would stand in each other's way.
func (p *Password) guess(r *http.Request, name, password string) (store.Identity, phc, error) {
	identity, stored, known, err := p.lookUp(r.Context(), name)
	if err != nil {
		return store.Identity{}, phc{}, err
	}
	count := p.count(r, name, identity)
	if wait, err := count.wait(r.Context()); err != nil {
		return store.Identity{}, phc{}, err
	} else if wait > 0 {
		return store.Identity{}, phc{}, tooMany(wait)
	}
	err = p.gate.turn(r.Context(), func() error {
		if wait, err := count.take(r.Context()); err != nil {
			return err
		} else if wait > 0 {
			return tooMany(wait)
		}
		switch right := p.hashes.matches(stored, password); {
		case !known:
			return mismatch(ReasonUnknownName)
		case !right:
			return mismatch(ReasonWrongPassword)
		}
		count.giveBack(r.Context())
		return nil
	})
	return identity, stored, err
}

// lookUp returns what is stored of a name. An unknown name gets a hash too, which takes
// as long as others and matches no password. So neither the answer nor the time tells
// which names are known. Until a hash with another cost is renewed, its own time does
// tell it.
func (p *Password) lookUp(ctx context.Context, name string) (identity store.Identity, stored phc, known bool, err error) {
	identity, err = p.store.Identity(ctx, p.provider, name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.Identity{}, p.hashes.nobodys, false, nil
	case err != nil:
		return store.Identity{}, phc{}, false, err
	case p.isProven() && len(identity.Secret) == 0: // their address is proven, and they have no password
		return store.Identity{}, p.hashes.nobodys, false, nil
	}
	stored, err = parsePHC(string(identity.Secret))
	if err != nil {
		return store.Identity{}, phc{}, false, fmt.Errorf("walkin: password: a stored hash: %w", err)
	}
	return identity, stored, true, nil
}

func mismatch(reason walkin.Reason) *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusUnauthorized, Reason: reason, Code: "wrong_credentials",
		Text: texts.Of("password.wrong")}
}

// renew gives an identity the hash of a password, and returns it. While it holds the
// user's lock it compares what is stored with what was proven: a renewed hash of the
// old password must not undo a change to a new one.
func (p *Password) renew(ctx context.Context, proven store.Identity, password string) (secret []byte, err error) {
	err = p.gate.turn(ctx, func() error {
		secret = p.hashes.hash(password)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return secret, p.store.InTx(ctx, func(ctx context.Context) error {
		_, err := p.store.LockUser(ctx, proven.UserID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		stored, err := p.store.Identity(ctx, p.provider, proven.Subject)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err != nil || stored.UserID != proven.UserID || !bytes.Equal(stored.Secret, proven.Secret) {
			return &walkin.Refusal{Status: http.StatusConflict, Reason: walkin.ReasonRaced,
				Text: texts.Of("password.raced")}
		}
		return p.store.SetSecret(ctx, p.provider, proven.Subject, secret)
	})
}
