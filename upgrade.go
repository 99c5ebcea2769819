package walkin

import (
	"context"
	"errors"
	"hash/maphash"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/texts"
)

// A Proof is what a credential found out about a visitor: that they are the user whom
// an identity names. [Middleware.Continue] believes it, so put in only what was proven:
// an unverified address is not an identity.
type Proof struct {
	Provider string // who vouches: "password", "email", an OIDC issuer; 1 to 255 bytes of UTF-8, no NUL
	Subject  string // the name there; the same, compared byte for byte
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

	// New says that the identity is self-asserted, not proven: the visitor chose it
	// just now and proved nothing about an existing one, as when they sign up with a
	// name and a password. If the identity has an owner, even the visitor, the error is
	// ErrIdentityTaken. Such accounts can be created by the million, so they count for
	// Config.NewUsers.Limit, and others do not.
	Chosen bool

	// Device marks the browser as one that has proven this identity, for [KnownDevice].
	// The mark is a cookie of 180 days; it signs no user in.
	Device bool

	// Conflict decides for this proof what Config.Conflict decides for all.
	Conflict Conflict

	// Redeem, unless nil, uses up what the proof relies on, such as a code, and checks
	// once more that it is still valid: for example, that the password has not been
	// changed in the meantime. It is called with the context of the change's
	// transaction, with the users concerned locked and before anything else happens. An
	// error refuses the change. If the change fails, by a hook's error too, what Redeem
	// did is rolled back. It may run more than once, see Store.InTx.
	//
	// An error that wraps ErrRedeemed says that this was done a moment ago, by the
	// first half of a double click. Then nothing changes. While the session that the
	// first half opened is alive, the visitor gets its token; otherwise they get the
	// error. This needs Binding.
	Redeem func(ctx context.Context) error

	// Applied, unless nil, is called in the transaction of the change, after the app's
	// hook. It is for a package that stores something of its own about the user. An
	// error rolls the change back and is returned as it is. It may run more than once.
	Applied func(ctx context.Context, c Change) error

	// Binding is the name from [Middleware.StartFlow] that the login flow is bound to; empty
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

	// ConflictReject refuses with ErrIdentityTaken. A visitor without a write, who has
	// nothing to lose, is signed in all the same.
	ConflictReject
)

// A Change is a change of identity, as the hooks see it.
type Change struct {
	Outcome     Outcome
	UserID      uuid.UUID // who the visitor is from now on
	AnonymousID uuid.UUID // with Merged: the anonymous user who is about to be deleted
	Identity    Identity  // what was proven; without the secret
}

// Continue completes every credential: the visitor has proven an identity, and goes on
// as its user. It returns
//
//   - Upgraded: an anonymous visitor, a free identity: the same user ID, permanent
//   - Merged or SignedIn: an anonymous visitor, another user's identity, see Conflict
//   - SignedUp: no user, a free identity: a new permanent user
//   - SignedIn: no user, an identity with an owner; or a permanent user, their own: a fresh proof
//   - Linked: a permanent user, a free identity; needs a proof within Config.Sessions.RecentProof,
//     and fails once the user has 100 identities
//
// Otherwise the error is ErrIdentityTaken or a *[Refusal], both for
// [Middleware.Refuse]. Within a minute after a session was replaced by one of these,
// its old token gets ErrIdentityTaken in place of SignedUp: it is a late click from
// another tab. With Proof.Chosen, a visitor who is not stored yet counts for
// Config.NewUsers.Limit.
//
// Everything happens in one transaction or not at all, hooks included. The visitor gets
// a new session and its cookie. From then on the old token is invalid, and after an
// upgrade so is every other token of the user. A bearer gets no cookie: answer with
// what [IssuedToken] returns.
//
// Continue refuses cross-origin requests by itself. Call it before the response begins,
// from one goroutine. Do not change Cache-Control after it, and answer with a redirect.
func (m *Middleware) Continue(w http.ResponseWriter, r *http.Request, p Proof) (Outcome, error) {
	v := m.verifier.visit(w, r)
	if err := m.admission.admit(v, r, call{name: "Continue", needs: needsStore, stateChecked: p.StateChecked}); err != nil {
		return "", err
	}
	if !p.isValid() {
		return "", &Refusal{Status: http.StatusUnprocessableEntity, Reason: "bad_identity"}
	}
	m.health.prepare(r.Context())
	s := newIdentityChange(&m.parts, r, v, p)
	taken, refusal := m.limits.reserve(r, v, s)
	if refusal != nil {
		return "", refusal
	}
	err := s.run(r.Context())
	m.limits.giveBackUnused(r, s, taken)
	switch {
	case errors.Is(err, ErrRedeemed):
		return m.again(w, r, v, p, err)
	case err != nil:
		return "", translate(err)
	}
	if s.visitor.UserID != s.claims.UserID && s.change.Outcome != Merged {
		if err := m.data.clear(r.Context()); err != nil {
			return "", err
		}
	}
	m.finish(w, r, v, s)
	return s.change.Outcome, nil
}

// isValid reports whether provider and subject can name an identity.
func (p *Proof) isValid() bool {
	for _, name := range []string{p.Provider, p.Subject} {
		if name == "" || len(name) > 255 || strings.Contains(name, "\x00") || !utf8.ValidString(name) {
			return false
		}
	}
	return true
}

// newIdentityChange returns the change that a proof asks for, with what is known of the
// visitor.
func newIdentityChange(m *parts, r *http.Request, v *visit, p Proof) *identityChange {
	s := &identityChange{m: m, proof: p, now: m.health.earlier(time.Now()), unverified: v.status == unverifiable || v.status == suspended}
	if s.unverified {
		s.unknown = m.verifier.refuseUnverified(r)
	}
	if c := v.claims.Load(); c != nil && !(v.lost && m.cfg.Sessions.NoRevival) {
		s.visitor, s.lost = *c, v.lost
	} else if v.status == lost && !v.entry.claims.Anonymous && !m.cfg.Sessions.NoRevival {
		s.owner = v.entry.claims.UserID
	} else if v.status == sessionEnded && v.entry != nil {
		s.ended = v.entry.claims
	}
	return s
}

// The reservations of a change are what it takes from limits before it is decided. What
// is not used is given back.
type reservations struct{ user, signIn, change reservation }

// reserve takes what the limits ask of a change. It is done before the transaction,
// where no call should wait for a limiter.
func (l *newUserLimits) reserve(r *http.Request, v *visit, s *identityChange) (all reservations, refusal *Refusal) {
	// A self-asserted account is a stored user that any client can have, and one that
	// no sweep takes away. Whether there will be one is known in the transaction only,
	// and so it is refused there. A visitor who has proven who they are is never refused
	// for a crowd, also where they are new: to an app that has just put walkin in front
	// of its accounts, all of their owners are.
	if s.proof.Chosen && (s.visitor.UserID == uuid.Nil || s.visitor.Provisional) {
		if own := v.more(); own.reserved {
			all.user, own.taken, own.reserved = own.taken, reservation{}, false
		} else {
			all.user, s.full = l.takeNewUserOrChallenge(r, s.now)
		}
	}
	// So is every sign-in of a browser that is not signed in: a session is stored, and
	// an anonymous user leaves a tombstone. A browser that is signed in has a limit of
	// its own, which no other client can use up.
	if !s.proof.Chosen && (s.visitor.UserID == uuid.Nil || s.visitor.Anonymous) {
		if all.signIn, refusal = l.takeSignIn(r, s.proof, s.now); refusal != nil {
			return all, refusal
		}
	}
	if s.visitor.UserID != uuid.Nil && !s.visitor.Anonymous {
		all.change, refusal = l.takeChange(r, s.visitor, s.now)
	}
	return all, refusal
}

// giveBackUnused gives back what a change did not use. Only what was certainly not made: a
// client that hangs up on the store every time gets nothing back.
func (l *newUserLimits) giveBackUnused(r *http.Request, s *identityChange, all reservations) {
	if !s.created {
		l.giveBack(r, all.user, s.now)
	}
	if !s.opened || !s.opensAnother() {
		l.giveBack(r, all.signIn, s.now)
	}
	if !s.opened {
		l.giveBack(r, all.change, s.now)
	}
}

// run decides on the change and applies it, in one transaction. An identity that was
// free may be taken at the moment it is attached, and an owner deleted at the moment
// they are locked. Then the same change is decided again, by what is there now.
func (s *identityChange) run(ctx context.Context) (err error) {
	for range 3 {
		if err = s.m.cfg.Store.InTx(ctx, s.apply); !errors.Is(err, errRaced) {
			break
		}
	}
	return err
}

// newKeyFor is how long a key that this replica lacks may still be one that a rotation
// is about to bring to all replicas.
const newKeyFor = 10 * time.Minute

// refuseUnverified returns the refusal of a new account for a visitor whose cookie cannot
// be verified, or nil where they get one all the same.
//
// Behind a permanent cookie there may be an account already: fails closed. An anonymous
// one may be another app's on the same host, or of a key that was lost, and its visitor
// could not sign up until it expires. So they wait while a rotation may be under way,
// and may sign up afterwards; the cookie stays.
func (vr *verifier) refuseUnverified(r *http.Request) *Refusal {
	var b requestCredentials
	b.read(r.Header, vr)
	wait := time.Duration(0)
	for as, c := range b.both {
		for _, value := range c.values() {
			_, _, s, _ := vr.keys.Verify(value, false, time.Now())
			switch {
			case s != token.Unverifiable:
			case as == asPermanent:
				return &Refusal{Status: http.StatusUnauthorized, Reason: "unknown_key"}
			default:
				wait = max(wait, newKeyFor-vr.unknownKeys.age(value, vr.clock()))
			}
		}
	}
	if wait > 0 {
		return &Refusal{Status: http.StatusServiceUnavailable, Reason: "unknown_key", RetryAfter: wait,
			Text: texts.Of("error.cannot_tell")}
	}
	return nil
}

// strangers remember when a key that is not ours was first seen here, by the first
// segment of its tokens. Their number is fixed, since anybody can make up keys. Filling
// it makes new keys look old, and that lets visitors in.
type unknownKeys struct {
	seed  maphash.Seed
	first [1024]atomic.Int64 // by Middleware.clock, one more; 0: none yet
}

// age returns how long ago the key of a token was first seen, which may be now.
func (s *unknownKeys) age(token string, now int64) time.Duration {
	header, _, _ := strings.Cut(token, ".")
	first := &s.first[maphash.String(s.seed, header)%uint64(len(s.first))]
	first.CompareAndSwap(0, now+1)
	return time.Duration(now + 1 - first.Load())
}

// finish gives the visitor the session that an identity change has opened.
func (m *Middleware) finish(w http.ResponseWriter, r *http.Request, v *visit, s *identityChange) {
	if v.entry != nil && s.endsOld {
		m.verifier.over(v.entry)
		m.data.deleteSessionData(r.Context(), s.visitor)
	}
	switch s.change.Outcome {
	case Upgraded, Unlinked:
		m.data.deleteOtherSessionData(r.Context(), s.change.UserID, s.claims.SessionID)
	case Merged:
		m.data.deleteOtherSessionData(r.Context(), s.change.AnonymousID, uuid.Nil)
	}
	access := time.Duration(0)
	if v.entry != nil && v.entry.access && s.change.Outcome == Unlinked {
		access = v.entry.claims.ExpiresAt.Sub(v.entry.claims.IssuedAt)
	}
	s.emitEvicted(r)
	m.issuer.remember(v, s.token, s.claims)
	if v.bearer {
		response.NoStore(w.Header(), "no-store")
		m.issuer.handAfter(r, v, s, access)
	} else {
		m.cookies.setPermanent(w, r, v, s.token, s.claims, s.now, s.unverified)
		if s.proof.Device {
			setCookies(w, v, m.devices.mark(r, s.identity))
		}
	}
	if s.revived {
		m.emit(r, Event{Outcome: Revived, UserID: s.change.UserID, SessionID: s.claims.SessionID})
	}
	m.emit(r, Event{Outcome: s.change.Outcome, UserID: s.change.UserID, AnonymousID: s.change.AnonymousID,
		SessionID: s.claims.SessionID, Provider: s.proof.Provider})
}

// handAfter hands the token of a change to a bearer. Where nothing was proven, a token
// with a short life stays one: access is that life, or zero.
func (is *issuer) handAfter(r *http.Request, v *visit, s *identityChange, access time.Duration) {
	text, c := s.token, s.claims
	if access > 0 {
		c.ExpiresAt = c.IssuedAt.Add(access)
		var err error
		if text, err = is.keys.Issue(c.forToken(), token.Access, is.cfg.Tokens.Audience); err != nil {
			is.emit(r, Event{Outcome: Failed, Reason: "access_token", UserID: c.UserID, SessionID: c.SessionID, Err: err})
		}
	}
	if text != "" {
		is.hand(v, text, c)
	}
}

// setPermanent gives a browser the token of a permanent user, in place of all that it
// had. An anonymous cookie that could not be verified stays.
func (k *cookies) setPermanent(w http.ResponseWriter, r *http.Request, v *visit, token string, c Claims, now time.Time, unverified bool) {
	setCookies(w, v, k.carry(token, c, now))
	if !unverified {
		setCookies(w, v, k.clear(k.anonymous))
	}
	if len(r.CookiesNamed(k.binding)) > 0 {
		// What was begun without a user ends with this sign-in, and stays so when
		// this session ends in its turn.
		setCookies(w, v, k.clear(k.binding))
	}
}
