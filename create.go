package walkin

import (
	"context"
	"time"
)

// storeAnonymous stores the anonymous user of c with their session, and returns a token
// that says so. It signs the token before the commit: if the token cannot be issued, no
// user may be stored.
//
// Config.Hooks.OnCreate runs in the same transaction, before Config.Tokens.AppClaims,
// which so finds what it wrote. Such a user is not stored in a batch: a hook cannot be
// part of one.
func (is *issuer) storeAnonymous(ctx context.Context, c Claims, now time.Time) (token string, with Claims, created bool, err error) {
	if is.cfg.Hooks.OnCreate == nil {
		if token, with, err = is.issue(ctx, c); err == nil {
			created, err = is.persist(ctx, with, now)
		} else {
			err = &hookError{Persisted, err}
		}
		return token, with, created && err == nil, err
	}
	err = is.cfg.Store.InTx(ctx, func(ctx context.Context) error {
		var err error
		if created, err = is.persist(ctx, c, now); err != nil {
			return err
		}
		if created {
			if err := is.onCreate(ctx, c); err != nil {
				return err
			}
		}
		if token, with, err = is.issue(ctx, c); err != nil {
			return &hookError{Persisted, err}
		}
		return nil
	})
	return token, with, created && err == nil, err
}

// onCreate calls Config.Hooks.OnCreate for a user whom this transaction has stored.
func (is *issuer) onCreate(ctx context.Context, c Claims) error {
	if is.cfg.Hooks.OnCreate == nil {
		return nil
	}
	c.Provisional = false
	if err := is.cfg.Hooks.OnCreate(ctx, c); err != nil {
		return &hookError{Persisted, err}
	}
	return nil
}

// onCreate calls Config.Hooks.OnCreate if this change has stored a user who stays: for
// the permanent user they are from now on, or for an anonymous one whom the store had
// lost.
func (s *identityChange) onCreate(ctx context.Context) error {
	if !s.created {
		return nil
	}
	c := Claims{UserID: s.change.UserID, SessionID: s.session, Method: s.proof.Method, IssuedAt: s.now, ProvenAt: s.now}
	if s.change.UserID == s.visitor.UserID && s.lost {
		c = s.visitor
	}
	return s.m.issuer.onCreate(ctx, c)
}
