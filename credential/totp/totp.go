// Package totp is a second factor for passwords and mailed codes: six digits from an
// authenticator app (TOTP, RFC 6238), with a QR code to set it up and recovery codes for
// the day the phone is lost. It is off until a user turns it on:
//
//	factor, err := totp.New(wk, totp.Config{Issuer: "Example", Page: "/signin/factor"})
//	…
//	mux.Handle("/signin/factor", wk.SignInHandler(factor, codePage))
//
// Name that path in walkin.Config.Paths.Credentials. Package pages has all the pages.
//
// # Half-proven
//
// For a user with the factor, a right password opens nothing: no session, and no cookie
// that a guard accepts. [walkin.Middleware.Continue] returns [ErrHalfProven],
// which leads to Config.Page, and the proof waits in a ticket that is bound to this
// browser by [walkin.Middleware.StartFlow]. It waits for five minutes and five tries. The
// code there completes the sign-in, and Claims.Method is then "mfa" (RFC 8176).
//
// The same holds for a mailed code, so for a forgotten password as well, and for each
// credential of the app's own. It does not hold for a passkey, which has verified its
// user and so is two factors already, and not for an OIDC provider, which asks for its
// own. With the factor on, a session that a provider opened cannot add an identity before
// the user has typed a code.
//
// # Guessing
//
// A code is right for 30 seconds and one step before and after. It is accepted once: the
// step is stored in the transaction that opens the session. Wrong codes are limited for
// each user, see [Config]. Only a client that has proven the password can try. A browser
// that its owner has used before counts in buckets of its own, so that a thief of the
// password does not lock the owner out.
//
// # What is stored
//
// An identity of the provider [store.FactorProvider], whose subject is the user ID. Its
// secret holds the key of the codes, encrypted under the middleware's keys
// ([walkin.Middleware.DeriveKeys]), so a copy of the database makes no codes. It also
// holds the last step and the SHA-256 of the recovery codes, which have 80 random bits.
// The identity is deleted and exported with its user.
//
// # Rotation
//
// What is encrypted under an older key is encrypted again when its user signs in. Before
// you remove an old key, call [TOTP.Reseal] for those who did not. Without the key their
// codes are refused. Their recovery codes still work.
//
// # What it does not do
//
// It does not stop its owner from typing a code into another site's page: a passkey does.
package totp

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/form"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/internal/numerals"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// Provider is the provider of the identities that hold the factor.
const Provider = store.FactorProvider

// The times of [ErrHalfProven] and of a set-up.
const (
	heldFor  = 5 * time.Minute
	tries    = 5
	setUpFor = 10 * time.Minute

	// sameClick is how long the same browser may send a code again after it was used.
	sameClick = 10 * time.Second
)

// A TOTP is the second factor of a site. Make one with [New]. Its methods may be called
// concurrently; it starts no goroutine.
type TOTP struct {
	wk                         *walkin.Middleware
	store                      store.Store
	issuer, page, field        string
	keys                       [][]byte // the first encrypts, all decrypt
	limits                     limits.Limits
	perUserAndNetwork, perUser limit.Limit
}

var _ walkin.Credential = (*TOTP)(nil)

// Lacks reports whether a proof by a method is not enough for a user; see
// [walkin.Middleware.AttachSecondFactor].
func (t *TOTP) Lacks(ctx context.Context, userID uuid.UUID, method string, adds bool) (bool, error) {
	switch method {
	case mfa, "hwk", "swk": // a passkey, whose device has verified its user
		return false, nil
	case "fed":
		if !adds {
			return false, nil
		}
	}
	// Any other method is one factor: fails closed.
	return t.isOn(ctx, userID)
}

// mfa is the method of a proof that had the factor, in the words of RFC 8176.
const mfa = "mfa"

// Page returns Config.Page.
func (t *TOTP) Page() string { return t.page }

// On reports whether a user has turned the factor on, and how many recovery codes are
// left.
func (t *TOTP) On(ctx context.Context, userID uuid.UUID) (on bool, recovery int, err error) {
	_, rec, err := t.recordOf(ctx, userID)
	if errors.Is(err, store.ErrNotFound) {
		return false, 0, nil
	}
	return err == nil, len(rec.Recovery), err
}

func (t *TOTP) isOn(ctx context.Context, userID uuid.UUID) (bool, error) {
	_, err := t.store.Identity(ctx, Provider, userID.String())
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Reset turns the factor off without a code: for the operator's support, after they know
// by other means whose account it is.
func (t *TOTP) Reset(ctx context.Context, userID uuid.UUID) error {
	err := t.store.DeleteIdentity(ctx, userID, Provider, userID.String())
	if errors.Is(err, store.ErrNotFound) {
		return off()
	}
	return err
}

// A typed code is what a visitor entered: six digits, or a recovery code.
type typed struct {
	text     string
	recovery bool
}

// read returns the code of a form.
func (t *TOTP) read(r *http.Request) (typed, error) {
	if err := form.Parse(r); err != nil {
		return typed{}, err
	}
	text, err := form.Field(r, t.field)
	if err != nil {
		return typed{}, err
	}
	return read(text)
}

func read(text string) (typed, error) {
	if len(text) <= 64 {
		// As visitors type it: in groups, in capitals, in digits of any script.
		text = strings.ToUpper(numerals.ASCII(text))
		switch {
		case len(text) == 6 && strings.Trim(text, "0123456789") == "":
			return typed{text: text}, nil
		case len(text) == recoveryLength && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == "":
			return typed{text: text, recovery: true}, nil
		}
	}
	return typed{}, form.Unfit(ReasonMissing, "factor.missing")
}

// ErrHalfProven is what [walkin.Middleware.Continue] returns for a sign-in that lacks the
// factor, for errors.Is: a *[walkin.Refusal] whose Page is Config.Page. The visitor has
// no session yet, or still the one they had.
var ErrHalfProven error = halfProven

var halfProven = refuse(http.StatusUnauthorized, walkin.ReasonHalfProven, "factor.needed")

func refuse(status int, reason walkin.Reason, key string, args ...any) *walkin.Refusal {
	return &walkin.Refusal{Status: status, Reason: reason, Text: texts.Of(key, args...)}
}

func wrong() *walkin.Refusal {
	return refuse(http.StatusUnauthorized, ReasonWrong, "factor.wrong")
}

func used() *walkin.Refusal { return refuse(http.StatusUnauthorized, ReasonUsed, "factor.used") }

func over() *walkin.Refusal { return refuse(http.StatusUnauthorized, ReasonOver, "factor.over") }

func off() *walkin.Refusal { return refuse(http.StatusNotFound, ReasonOff, "factor.off") }

// redeemed is the answer to the second half of a double click.
func redeemed() *walkin.Refusal {
	refusal := over()
	refusal.Err = walkin.ErrRedeemed
	return refusal
}
