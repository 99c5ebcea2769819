package walkin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// A Proof is what a credential found out about a visitor: that they are who an
// identity names. [Middleware.Continue] believes it, so only what was proven
// may go in: an address that nobody verified is not an identity.
type Proof struct {
	Provider string // who vouches: "password", "email", an OIDC issuer; 1 to 255 bytes of UTF-8, no NUL
	Subject  string // the name there; the same, compared byte for byte
	Method   string // how it was proven, RFC 8176: "pwd", "otp", "hwk", "fed"

	// At is when it was proven, for Config.RecentProof and
	// [Middleware.RequireRecent]; zero is now. A provider that vouches for a
	// visitor by a session they began hours ago proves who they are, and not
	// that they are at the keyboard: then it is that time, or one long ago
	// when it is not known. A proof the visitor gave later in this session
	// goes on counting.
	At time.Time

	// Secret is stored with an identity that is new, in the same
	// transaction: a password's hash, a passkey's public key. May be nil.
	Secret []byte

	// New says that the visitor chose this identity just now and proved
	// nothing about one that exists, as when they sign up with a name and a
	// password. If it has an owner, whoever it is, the answer is
	// ErrIdentityTaken. Such accounts can be had by the million, so they
	// count for Config.RowLimit, and others do not.
	New bool

	// Conflict decides for this proof what Config.Conflict decides for all.
	Conflict Conflict

	// Redeem, unless nil, uses up what the proof stands on, such as a code, and
	// looks once more whether it still holds: whether the password that was
	// right a moment ago has not been changed since. It is called under the
	// context of the change's transaction, with the users concerned locked and
	// before anything else happens. An error refuses; with a change that fails,
	// by a hook's error too, what it did is undone. It may run more than once,
	// see Store.InTx.
	Redeem func(ctx context.Context) error

	// StateChecked allows a change of identity by GET, as an OAuth callback
	// is one. It says that the credential has redeemed a single-use state
	// bound to this session: without one, any page could make a visitor's
	// browser sign in to an attacker's account.
	StateChecked bool
}

// Conflict says what becomes of an anonymous visitor who proves the identity
// of another user.
type Conflict uint8

const (
	// ConflictMerge lets Config.OnMerge move the guest's data to the owner,
	// and then deletes the guest.
	ConflictMerge Conflict = 1 + iota

	// ConflictSignIn signs in to the owner's account. What the guest made
	// stays the guest's, out of reach, until the guest is swept.
	ConflictSignIn

	// ConflictReject is ErrIdentityTaken. A visitor who never acted, and so
	// has nothing to lose, is signed in all the same.
	ConflictReject
)

// A Change is a change of identity, as the hooks see it.
type Change struct {
	Outcome  Outcome
	UserID   uuid.UUID // who the visitor is from now on
	GuestID  uuid.UUID // with Merged: the anonymous user who is about to be deleted
	Identity Identity  // what was proven; without the secret
}

// Continue is what every credential ends in: the visitor has proven an
// identity, and goes on as its user. It returns
//
//   - Upgraded: an anonymous visitor, a free identity: the same user ID, permanent
//   - Merged or SignedIn: an anonymous visitor, another user's identity, see Conflict
//   - SignedUp: nobody, a free identity: a new permanent user
//   - SignedIn: nobody, somebody's identity; or a permanent user, their own: a fresh proof
//   - Linked: a permanent user, a free identity; needs a proof within Config.RecentProof,
//     and is refused to who has 100 identities
//
// and otherwise ErrIdentityTaken, or a *[Refusal], both for [Middleware.Refuse].
// With Proof.New, a visitor who has no row yet takes one from Config.RowLimit.
//
// Everything happens in one transaction or not at all, hooks included. The
// visitor gets a new session and its cookie; the old token is nobody's from
// then on, and after an upgrade so is every other token of the user, whoever
// holds it. A bearer gets no cookie; answer with [Middleware.AccessToken].
//
// Continue refuses cross-origin requests by itself. Call it before the response
// begins, from one goroutine, leave Cache-Control alone after it, and answer
// with a redirect.
func (m *Middleware) Continue(w http.ResponseWriter, r *http.Request, p Proof) (Outcome, error) {
	v := m.visit(w, r)
	switch {
	case p.Provider == "" || len(p.Provider) > 255 || p.Subject == "" || len(p.Subject) > 255 ||
		strings.Contains(p.Provider+p.Subject, "\x00") || !utf8.ValidString(p.Provider) || !utf8.ValidString(p.Subject):
		return "", &Refusal{Status: http.StatusUnprocessableEntity, Reason: "bad_identity"}
	case !isAct(r) && !p.StateChecked:
		return "", &Refusal{Status: http.StatusMethodNotAllowed, Reason: "safe_method"}
	case m.cfg.CrossOrigin.Check(r) != nil:
		return "", crossOrigin()
	case v.standing == unreachable:
		return "", storeDown(nil)
	case v.standing == conflicting, v.reason == "clock_skew", v.standing == foreign:
		// Whose request this is cannot be told here and now: a new account for
		// somebody who has one would take theirs away.
		return "", &Refusal{Status: http.StatusUnauthorized, Reason: v.reason}
	case v.response != nil && v.response.begun():
		return "", errors.New("walkin: Continue was called after the response began")
	}
	s := &settlement{m: m, proof: p, now: time.Now(), unjudged: v.standing == unverifiable}
	if c := v.claims.Load(); c != nil {
		s.visitor = *c
	}
	// An account for the asking is a row, and one that no sweep takes away.
	// Whether there will be one is known in the transaction only, where nobody
	// waits for a limiter; so it is taken before, and refused or given back
	// there. Whoever proved who they are is never refused for a crowd, also
	// where they are new: to an app that has just put walkin in front of its
	// accounts, all of their owners are.
	var taken takenRows
	if p.New && (s.visitor.UserID == uuid.Nil || s.visitor.Provisional) {
		taken, s.full = m.takeRowOrAsk(r, s.now)
	}
	var err error
	// An identity that was free may be taken at the moment we attach it, and
	// an owner deleted at the moment we lock them. Then the world has changed,
	// and the same question gets the answer of the new one.
	for range 3 {
		err = m.cfg.Store.InTx(r.Context(), s.settle)
		if !errors.Is(err, errRaced) {
			break
		}
	}
	if !s.created {
		m.returnRow(r, taken, s.now)
	}
	if err != nil {
		return "", s.translate(err)
	}
	if s.visitor.UserID != s.claims.UserID && s.change.Outcome != Merged {
		if err := m.forget(r.Context()); err != nil {
			return "", storeDown(err)
		}
	}
	m.goOn(w, r, v, s)
	return s.change.Outcome, nil
}

// goOn hands the visitor the session that a settlement has opened.
func (m *Middleware) goOn(w http.ResponseWriter, r *http.Request, v *visit, s *settlement) {
	if v.entry != nil && s.endsOld {
		v.entry.dead.Store(true)
		m.drop(r.Context(), s.visitor)
	}
	switch s.change.Outcome {
	case Upgraded, Unlinked:
		m.dropOthers(r.Context(), s.change.UserID, s.claims.SessionID)
	case Merged:
		m.dropOthers(r.Context(), s.change.GuestID, uuid.Nil)
	}
	m.remember(v, s.token, s.claims, s.now)
	if v.bearer {
		w.Header().Set("Cache-Control", "no-store")
	} else {
		m.setCookies(w, v, m.cookies.carry(s.token, s.claims, s.now))
		if !s.unjudged {
			m.setCookies(w, v, m.cookies.clear(m.cookies.anonymous))
		}
	}
	m.emit(r, Event{Outcome: s.change.Outcome, UserID: s.change.UserID, GuestID: s.change.GuestID,
		SessionID: s.claims.SessionID, Provider: s.proof.Provider})
}

// errRaced asks for the whole transaction again.
var errRaced = errors.New("walkin: another request was faster")

// A settlement is one run of Continue. settle may run more than once, so each
// run sets everything anew.
type settlement struct {
	m        *Middleware
	proof    Proof
	visitor  Claims // who the request is from; zero for nobody
	now      time.Time
	unjudged bool     // the request has a token under a key that this replica lacks
	full     *Refusal // of a new row, where Config.RowLimit is reached; or nil

	change  Change
	claims  Claims // of the new session
	token   string
	created bool // a user, who had no row before
	endsOld bool // the visitor's old session ended
	data    []carried
	hookErr error // what a hook returned
}

// settle decides and does it, in the transaction of ctx.
func (s *settlement) settle(ctx context.Context) error {
	store, p := s.m.cfg.Store, s.proof
	s.created = false
	owned, err := store.Identity(ctx, p.Provider, p.Subject)
	free := errors.Is(err, ErrNotFound)
	if err != nil && !free {
		return err
	}
	if err := s.lock(ctx, owned, free); err != nil {
		return err
	}
	if p.Redeem != nil {
		if err := p.Redeem(ctx); err != nil {
			return err
		}
	}
	user, known, err := s.whoIsIt(ctx)
	if err != nil {
		return err
	}
	nobody := user.ID == uuid.Nil
	s.change = Change{UserID: user.ID, Identity: Identity{Provider: p.Provider, Subject: p.Subject, CreatedAt: s.now}}
	s.endsOld = !nobody
	if s.data = nil; s.endsOld {
		if s.data, err = s.m.pickUp(ctx, s.visitor); err != nil {
			return err
		}
	}

	switch {
	case free && nobody && s.visitor.UserID != uuid.Nil:
		// They were somebody when the request came in: a click that raced an
		// upgrade or a sign-out must not open a second account.
		return errRaced
	case free && nobody && s.unjudged:
		// They may well be somebody, whom another replica knows.
		return &Refusal{Status: http.StatusUnauthorized, Reason: "unknown_key"}
	case free && nobody:
		err = s.signUp(ctx)
	case free && user.Anonymous:
		err = s.upgrade(ctx, user, known)
	case free:
		err = s.link(ctx, user)
	case p.New:
		return ErrIdentityTaken
	case nobody || owned.UserID == user.ID:
		err = s.signIn(ctx, owned, SignedIn)
	case !user.Anonymous:
		return ErrIdentityTaken
	default:
		err = s.leaveGuest(ctx, owned, user, known)
	}
	if err != nil {
		return err
	}
	return s.open(ctx)
}

// lock locks the visitor and the owner, in the order of their IDs, so that two
// changes of the same users wait for each other instead of crossing.
func (s *settlement) lock(ctx context.Context, owned Identity, free bool) error {
	store := s.m.cfg.Store
	ids := []uuid.UUID{s.visitor.UserID, owned.UserID}
	if bytes.Compare(ids[0][:], ids[1][:]) > 0 {
		ids[0], ids[1] = ids[1], ids[0]
	}
	for i, id := range ids {
		if id == uuid.Nil || i == 1 && id == ids[0] {
			continue
		}
		if _, err := store.User(ctx, id); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	if free {
		return nil // attaching it will tell
	}
	again, err := store.Identity(ctx, owned.Provider, owned.Subject)
	if errors.Is(err, ErrNotFound) || err == nil && again.UserID != owned.UserID {
		return errRaced
	}
	return err
}

// whoIsIt returns the visitor as the store has them now, and whether it has
// them: a provisional visitor is somebody without a row. The zero User is
// nobody, also for a visitor whose session ended while they waited.
func (s *settlement) whoIsIt(ctx context.Context) (user User, known bool, err error) {
	c := s.visitor
	if c.UserID == uuid.Nil {
		return User{}, false, nil
	}
	session, err := s.m.cfg.Store.Lookup(ctx, c.UserID, c.SessionID)
	switch {
	case errors.Is(err, ErrNotFound) && c.Provisional:
		return User{ID: c.UserID, Anonymous: true, CreatedAt: s.now, SeenAt: s.now}, false, nil
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrSuperseded):
		return User{}, false, nil
	case err != nil:
		return User{}, false, err
	case s.now.After(session.ExpiresAt.Add(leeway)):
		return User{}, false, nil
	}
	user, err = s.m.cfg.Store.User(ctx, c.UserID)
	return user, true, err
}

func (s *settlement) signUp(ctx context.Context) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	s.change.Outcome, s.change.UserID = SignedUp, id
	if err := s.create(ctx, User{ID: id, CreatedAt: s.now, SeenAt: s.now}); err != nil {
		return err
	}
	if err := s.attach(ctx); err != nil {
		return err
	}
	return s.hook(ctx, s.m.cfg.OnUpgrade)
}

// create makes a permanent user their row, where there is room for one.
func (s *settlement) create(ctx context.Context, user User) error {
	if s.full != nil {
		return s.full
	}
	s.created = true
	return s.m.cfg.Store.CreateUser(ctx, user)
}

func (s *settlement) upgrade(ctx context.Context, user User, known bool) error {
	store := s.m.cfg.Store
	s.change.Outcome = Upgraded
	if known {
		if err := store.SetAnonymous(ctx, user.ID, false); err != nil {
			return err
		}
	} else {
		user.Anonymous = false
		if err := s.create(ctx, user); errors.Is(err, ErrSuperseded) {
			return errRaced // their first act made them a row meanwhile
		} else if err != nil {
			return err
		}
	}
	if err := s.attach(ctx); err != nil {
		return err
	}
	// All sessions: whoever else holds a token of this user, planted or
	// copied, is not the one who just proved who they are.
	if err := store.DeleteSessions(ctx, user.ID, uuid.Nil); err != nil {
		return err
	}
	return s.hook(ctx, s.m.cfg.OnUpgrade)
}

// maxIdentities is how many one user may have: far more than anybody needs.
const maxIdentities = 100

func (s *settlement) link(ctx context.Context, user User) error {
	if s.now.Sub(s.visitor.ProvenAt) > s.m.cfg.RecentProof {
		return notRecent()
	}
	// Names that are chosen and not proven would be had by the million
	// otherwise: Config.RowLimit is about visitors who have no row.
	if identities, err := s.m.cfg.Store.Identities(ctx, user.ID); err != nil {
		return err
	} else if len(identities) >= maxIdentities {
		return &Refusal{Status: http.StatusConflict, Reason: "too_many_identities",
			Message: "An account has no room for more ways to sign in than yours has. Please remove one first."}
	}
	s.change.Outcome = Linked
	if err := s.attach(ctx); err != nil {
		return err
	}
	return s.m.cfg.Store.DeleteSession(ctx, user.ID, s.visitor.SessionID)
}

func notRecent() *Refusal {
	return &Refusal{Status: http.StatusForbidden, Reason: "not_recent",
		Message: "Please sign in again first, so that we know it is you."}
}

// signIn is for the owner of the identity, from a browser that is theirs
// already or nobody's.
func (s *settlement) signIn(ctx context.Context, owned Identity, outcome Outcome) error {
	s.change.Outcome, s.change.UserID = outcome, owned.UserID
	s.change.Identity.UserID, s.change.Identity.CreatedAt = owned.UserID, owned.CreatedAt
	if s.endsOld && s.visitor.UserID == owned.UserID {
		if err := s.m.cfg.Store.DeleteSession(ctx, owned.UserID, s.visitor.SessionID); err != nil {
			return err
		}
	}
	return s.hook(ctx, s.m.cfg.OnSignIn)
}

// leaveGuest is for an anonymous visitor who turns out to be somebody else.
func (s *settlement) leaveGuest(ctx context.Context, owned Identity, guest User, known bool) error {
	store, conflict := s.m.cfg.Store, s.proof.Conflict
	if conflict == 0 {
		conflict = s.m.cfg.Conflict
	}
	switch {
	case !known:
		// A guest who never acted has nothing to move, nothing to lose, and no
		// session to end; the tombstone ends their token. That they never did
		// is made sure of: one who acts at this moment on another replica is
		// a guest with data, and asked about again.
		if err := store.CreateUser(ctx, guest); errors.Is(err, ErrSuperseded) {
			return errRaced
		} else if err != nil {
			return err
		}
		if err := store.DeleteUser(ctx, s.m.tombstone(guest.ID, owned.UserID, s.now)); err != nil {
			return err
		}
	case conflict == ConflictReject:
		return ErrIdentityTaken
	case conflict == ConflictMerge && s.m.cfg.OnMerge != nil:
		s.change.GuestID = guest.ID
		if err := s.signIn(ctx, owned, Merged); err != nil {
			return err
		}
		if err := s.hook(ctx, s.m.cfg.OnMerge); err != nil {
			return err
		}
		return store.DeleteUser(ctx, s.m.tombstone(guest.ID, owned.UserID, s.now)) // after the data moved
	default:
		if err := store.DeleteSession(ctx, guest.ID, s.visitor.SessionID); err != nil {
			return err
		}
	}
	return s.signIn(ctx, owned, SignedIn)
}

// attach gives the identity to the user of the change.
func (s *settlement) attach(ctx context.Context) error {
	s.change.Identity.UserID = s.change.UserID
	identity := s.change.Identity
	identity.Secret = s.proof.Secret
	err := s.m.cfg.Store.CreateIdentity(ctx, identity)
	if errors.Is(err, ErrIdentityTaken) {
		return errRaced
	}
	return err
}

// open makes the new session and its token. The token comes before the commit:
// one that cannot be issued undoes the change.
func (s *settlement) open(ctx context.Context) error {
	id, err := uuid.NewRandom()
	if err != nil {
		return err
	}
	c := s.m.dated(Claims{UserID: s.change.UserID, SessionID: id, Method: s.proof.Method}, s.now)
	c.ProvenAt = c.IssuedAt
	if at := s.proof.At.Truncate(time.Second); !at.IsZero() && at.Before(c.ProvenAt) {
		c.ProvenAt = at
		if s.endsOld && s.visitor.UserID == c.UserID && s.visitor.ProvenAt.After(at) {
			c.Method, c.ProvenAt = s.visitor.Method, s.visitor.ProvenAt
		}
	}
	if s.change.Outcome == Unlinked {
		c.ProvenAt = s.visitor.ProvenAt // nothing was proven
	}
	if s.token, s.claims, err = s.m.issue(ctx, c); err != nil {
		s.hookErr = err
		return err
	}
	err = s.m.cfg.Store.CreateSession(ctx, Session{
		ID: id, UserID: c.UserID, CreatedAt: s.now, RenewedAt: s.now, ExpiresAt: s.claims.ExpiresAt})
	if err != nil {
		return err
	}
	// What a guest kept on the server goes along with the guest, not with
	// somebody who signs in to another account.
	if c.UserID != s.visitor.UserID && s.change.Outcome != Merged {
		return nil
	}
	return s.m.putDown(ctx, s.data, s.claims)
}

func (s *settlement) hook(ctx context.Context, hook func(context.Context, Change) error) error {
	if hook == nil {
		return nil
	}
	s.hookErr = hook(ctx, s.change)
	return s.hookErr
}

// translate tells the app's errors from the store's.
func (s *settlement) translate(err error) error {
	if _, ok := errors.AsType[*Refusal](err); ok || errors.Is(err, ErrIdentityTaken) {
		return err
	}
	if s.hookErr != nil && errors.Is(err, s.hookErr) {
		return fmt.Errorf("walkin: the %s hook: %w", s.change.Outcome, err)
	}
	if errors.Is(err, errRaced) || errors.Is(err, ErrSuperseded) || errors.Is(err, ErrNotFound) {
		return &Refusal{Status: http.StatusConflict, Reason: "raced", Err: err,
			Message: "Something changed at the same moment. Please try again."}
	}
	return storeDown(err)
}

// tombstone remembers a deleted user until no token of theirs can be alive.
func (m *Middleware) tombstone(id, mergedInto uuid.UUID, now time.Time) Tombstone {
	return Tombstone{UserID: id, MergedInto: mergedInto, DeletedAt: now, ExpiresAt: now.Add(m.cfg.Lifetime + 2*leeway)}
}
