package walkin

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// A Proof is what a credential found out about a visitor: that they are the user whom
// an identity names. [Middleware.Continue] believes it, so put in only what was proven:
// an unverified address is not an identity.
type Proof struct {
	Provider string // who vouches: "password", "email", an OIDC issuer; 1 to 255 bytes of UTF-8, no NUL
	Subject  string // who it is there; the same, compared byte for byte. It must not change or change hands
	Method   string // how it was proven, RFC 8176: "pwd", "otp", "hwk", "fed"

	// At is when it was proven, for Config.Sessions.RecentProof and
	// [Middleware.RequireRecent]. Zero is now. A provider that vouches for a visitor by
	// a session they began hours ago proves who they are, and not that they are at the
	// keyboard: then At is that time, or one long ago when it is not known. A newer
	// proof that the visitor gave in this session stays in effect.
	At time.Time

	// Secret is stored with a new identity, in the same transaction: a password's hash,
	// a passkey's public key. It may be nil.
	Secret []byte

	// Chosen says that the identity is self-asserted, not proven: the visitor chose it
	// just now and proved nothing about an existing one, as when they sign up with a
	// name and a password. If the identity has an owner, even the visitor, the error is
	// store.ErrIdentityTaken. Such accounts can be created by the million, so they count for
	// Config.NewUsers.Limit, and others do not.
	Chosen bool

	// Device marks the browser as one that has proven this identity, for
	// [Middleware.KnownDevice].
	// The mark is a cookie of 180 days; it signs no user in.
	Device bool

	// Conflict decides for this proof what Config.Conflict decides for all.
	Conflict Conflict

	// Redeem, unless nil, uses up what the proof relies on, such as a code, and checks
	// once more that it is still valid: for example, that the password has not been
	// changed in the meantime. It is called with the context of the change's
	// transaction, with the users concerned locked and before anything else happens. An
	// error refuses the change. If the change fails, by a hook's error too, what Redeem
	// did is rolled back. It may run more than once, see store.Store.InTx.
	//
	// An error that wraps ErrRedeemed says that this was done a moment ago, by the
	// first half of a double click. Then nothing changes. While the session that the
	// first half opened is alive, the visitor gets its token; otherwise they get the
	// error. This needs FlowID.
	Redeem func(ctx context.Context) error

	// Applied, unless nil, is called in the transaction of the change, after the app's
	// hook. It is for a package that stores something of its own about the user. An
	// error rolls the change back and is returned as it is. It may run more than once.
	Applied func(ctx context.Context, c Change) error

	// FlowID is the name from [Middleware.StartFlow] that the login flow is bound to; empty
	// binds it to nothing. If the session ends before the change, as by a sign-out, the
	// flow ends with it.
	FlowID string

	// StateChecked allows a change of identity by GET, as in an OAuth callback. It says
	// that the credential has redeemed a single-use state bound to this session.
	// Without one, any page could make a visitor's browser sign in to an attacker's
	// account.
	StateChecked bool
}

// ErrRedeemed is wrapped by an error of Proof.Redeem: what the proof relies on was used
// up a moment ago.
var ErrRedeemed = errors.New("walkin: redeemed already")

// Conflict says what becomes of an anonymous visitor who proves the identity
// of another user.
type Conflict uint8

const (
	// ConflictMerge calls Config.Hooks.OnMerge, which moves the anonymous user's data
	// to the owner, and then deletes the anonymous user.
	ConflictMerge Conflict = 1 + iota

	// ConflictSignIn signs in to the owner's account. The anonymous user keeps their
	// data, out of reach, until they are swept.
	ConflictSignIn

	// ConflictReject refuses with store.ErrIdentityTaken. A visitor without a write, who has
	// nothing to lose, is signed in all the same.
	ConflictReject
)

// A Change is a change of identity, as the hooks see it.
type Change struct {
	Outcome     Outcome
	UserID      uuid.UUID      // who the visitor is from now on
	AnonymousID uuid.UUID      // with Merged: the anonymous user who is about to be deleted
	Identity    store.Identity // what was proven; without the secret
}

// isValid reports whether provider and subject can name an identity.
func (p *Proof) isValid() bool {
	for _, name := range []string{p.Provider, p.Subject} {
		if name == "" || len(name) > 255 || strings.Contains(name, "\x00") || !utf8.ValidString(name) {
			return false
		}
	}
	return p.Provider != store.FactorProvider
}
