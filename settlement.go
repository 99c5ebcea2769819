package walkin

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/texts"
)

// errRaced makes the whole transaction run again.
var errRaced = errors.New("walkin: another request was faster")

// An identityChange is one run of Continue. apply may run more than once, so each
// run sets everything again.
type identityChange struct {
	m          *parts
	proof      Proof
	visitor    Claims // who the request is from; zero without a user
	now        time.Time
	lost       bool      // the visitor is anonymous, and the store has never heard of them
	owner      uuid.UUID // who the visitor is by a token of a permanent user whom the store has lost; or uuid.Nil
	unverified bool      // the request has a token under a key that this replica lacks
	unknown    *Refusal  // and so of a sign-up, unless nil
	full       *Refusal  // of a new row, where Config.NewUsers.Limit is reached; or nil

	ended Claims // of a token that is over, where the request has no other

	change    Change
	claims    Claims   // of the new session
	identity  Identity // with its secret
	token     string
	session   uuid.UUID   // the new one
	held      bool        // the visitor is locked
	stored    bool        // and was stored for that
	created   bool        // a user, who had no row before
	endsOld   bool        // the visitor's old session ended
	opened    bool        // a session: the transaction may have been committed
	revived   bool        // a user whom the store had lost
	seen      bool        // the row of one was never seen before
	began     time.Time   // of the session, where that is not now
	evicted   []uuid.UUID // other sessions of the user, to make room
	tombstone *Tombstone
	data      []savedData
}

// apply decides on the identity change and applies it, in the transaction of ctx.
func (s *identityChange) apply(ctx context.Context) error {
	store, p := s.m.cfg.Store, s.proof
	s.held, s.stored, s.created, s.opened, s.revived, s.seen, s.tombstone = false, false, false, false, false, false, nil
	var err error
	if s.session, err = uuid.NewRandom(); err != nil {
		return err
	}
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
	user, known, err := s.currentUser(ctx)
	if err != nil {
		return err
	}
	if s.endsOld = user.ID != uuid.Nil; !s.endsOld && p.FlowID != "" && s.visitor.UserID != uuid.Nil {
		// Fails closed: the session was alive when the request came in, and is over. A
		// visitor who has just signed out must not be signed in by a flow from before;
		// for the second half of a double click it has a successor.
		return &Refusal{Status: http.StatusUnauthorized, Reason: "session_ended", Err: ErrRedeemed}
	}
	s.change = Change{UserID: user.ID, Identity: Identity{Provider: p.Provider, Subject: p.Subject, CreatedAt: s.now}}
	if err := s.onCreate(ctx); err != nil {
		return err
	}
	if s.data = nil; s.endsOld {
		if s.data, err = s.m.data.load(ctx, s.visitor); err != nil {
			return err
		}
	}
	if free {
		err = s.takeFree(ctx, user, known)
	} else {
		err = s.becomeOwner(ctx, owned, user, known)
	}
	if err != nil {
		return err
	}
	return s.complete(ctx)
}

// takeFree gives an identity without an owner to the visitor, or to a new user.
func (s *identityChange) takeFree(ctx context.Context, user User, known bool) error {
	switch {
	case user.ID != uuid.Nil && user.Anonymous:
		return s.upgrade(ctx, user, known)
	case user.ID != uuid.Nil:
		return s.link(ctx, user)
	case s.visitor.UserID != uuid.Nil:
		// The request had a user when it came in: a click that raced an upgrade or a
		// sign-out must not open a second account.
		if err := s.checkReplaced(ctx, s.visitor); err != nil {
			return err
		}
		return errRaced
	case s.unknown != nil:
		return s.unknown
	}
	// Nor must one that comes a moment later.
	if err := s.checkReplaced(ctx, s.ended); err != nil {
		return err
	}
	return s.signUp(ctx)
}

// becomeOwner makes the visitor the owner of an identity, where they may be.
func (s *identityChange) becomeOwner(ctx context.Context, owned Identity, user User, known bool) error {
	switch {
	case s.proof.Chosen:
		return ErrIdentityTaken
	case user.ID == uuid.Nil || owned.UserID == user.ID:
		return s.signIn(ctx, owned, SignedIn)
	case !user.Anonymous:
		return ErrIdentityTaken
	}
	return s.leaveAnonymous(ctx, owned, user, known)
}

// complete opens the new session, and calls what is to be called in the transaction.
func (s *identityChange) complete(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	if s.proof.Applied != nil {
		if err := s.proof.Applied(ctx, s.change); err != nil {
			return err
		}
	}
	if s.tombstone == nil {
		return nil
	}
	// After all that was the anonymous user's has moved. It comes last: what a database
	// locks to delete a user may be more than the user.
	return s.m.cfg.Store.DeleteUser(ctx, *s.tombstone)
}

// lock locks the visitor and the owner, in the order of their IDs, so that two changes
// of the same users wait for each other instead of crossing. A visitor who has no row
// gets it here, in their place in that order: as the permanent user they become, or as
// the anonymous user whose tombstone ends the token. So the store decides that they have
// none, and not a look-up before: a visitor who writes at this moment on another replica
// is an anonymous user with data.
func (s *identityChange) lock(ctx context.Context, owned Identity, free bool) error {
	store := s.m.cfg.Store
	ids := []uuid.UUID{s.visitor.UserID, owned.UserID}
	if ids[0] == uuid.Nil {
		ids[0] = s.owner
	}
	if bytes.Compare(ids[0][:], ids[1][:]) > 0 {
		ids[0], ids[1] = ids[1], ids[0]
	}
	for i, id := range ids {
		if id == uuid.Nil || i == 1 && id == ids[0] {
			continue
		}
		if err := s.lockOne(ctx, id, free); err != nil {
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

// lockOne locks one of the two. A visitor who is not stored is, unless their change is
// refused anyway.
func (s *identityChange) lockOne(ctx context.Context, id uuid.UUID, free bool) error {
	user, err := s.m.cfg.Store.LockUser(ctx, id)
	if refusal := banned(user.Ban.Until); err == nil && refusal != nil {
		return refusal
	}
	visitor := id == s.visitor.UserID
	if visitor && s.visitor.Provisional && errors.Is(err, ErrNotFound) && (free || !s.proof.Chosen) {
		if free && s.full != nil {
			return s.full
		}
		// A user whom the store has lost was stored once, and what the app kept of
		// them may still be there: they are an anonymous user again before anything is
		// decided.
		err = s.m.cfg.Store.CreateUser(ctx, User{ID: id, Anonymous: !free || s.lost, CreatedAt: s.now, SeenAt: s.now})
		if errors.Is(err, ErrSessionEnded) {
			return nil // currentUser tells
		}
		s.stored, s.revived = err == nil && !s.lost, err == nil && s.lost
		s.created = err == nil && (free || s.lost)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	s.held = s.held || visitor && err == nil
	return nil
}

// currentUser returns the visitor as the store has them now, and whether it has them: a
// provisional visitor is a user without a row. The zero User is no user, also for a
// visitor whose session ended while they waited.
func (s *identityChange) currentUser(ctx context.Context) (user User, known bool, err error) {
	c := s.visitor
	switch {
	case c.UserID == uuid.Nil:
		return User{}, false, nil
	case s.revived:
		return User{ID: c.UserID, Anonymous: true, CreatedAt: s.now, SeenAt: s.now}, true, nil
	case s.stored:
		return User{ID: c.UserID, Anonymous: true, CreatedAt: s.now, SeenAt: s.now}, false, nil
	}
	session, err := s.m.cfg.Store.LookupSession(ctx, c.UserID, c.SessionID)
	switch {
	case errors.Is(err, ErrNotFound) && c.Provisional:
		return User{ID: c.UserID, Anonymous: true, CreatedAt: s.now, SeenAt: s.now}, false, nil
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrSessionEnded):
		return User{}, false, nil
	case err != nil:
		return User{}, false, err
	case s.now.After(session.ExpiresAt.Add(leeway)):
		return User{}, false, nil
	case !s.held:
		return User{}, false, errRaced // their first write stored them after lock
	}
	user, err = s.m.cfg.Store.LockUser(ctx, c.UserID)
	return user, true, err
}

// replacedFor is how long a click may be late.
const replacedFor = time.Minute

// replaced refuses a new account to a visitor who presents a session that a change of
// identity has just ended: another tab of theirs has signed in, and the new account
// would take its cookie's place. After a minute they have had the time to see it.
func (s *identityChange) checkReplaced(ctx context.Context, ended Claims) error {
	if ended.UserID == uuid.Nil {
		return nil
	}
	switch next, err := s.m.health.successor(ctx, sessionFlowID(ended)); {
	case errors.Is(err, ErrNotFound), err == nil && s.now.Sub(next.IssuedAt) >= replacedFor:
		return nil
	case err != nil:
		return err
	}
	// What was free before the lock may be what the other tab proved: a double
	// click, both of whose answers are good.
	if _, err := s.m.cfg.Store.Identity(ctx, s.proof.Provider, s.proof.Subject); err == nil {
		return errRaced
	} else if !errors.Is(err, ErrNotFound) {
		return err
	}
	return &Refusal{Status: http.StatusConflict, Reason: "replaced", Err: ErrIdentityTaken,
		Text: texts.Of("error.other_tab")}
}

func (s *identityChange) signUp(ctx context.Context) error {
	id, err := newUserID(s.now)
	if err != nil {
		return err
	}
	s.change.Outcome = SignedUp
	if s.owner != uuid.Nil {
		if s.revived, err = s.regain(ctx); err != nil {
			return err
		}
	}
	if s.change.UserID = id; s.revived {
		s.change.UserID = s.owner
	} else if err := s.create(ctx, User{ID: id, CreatedAt: s.now, SeenAt: s.now}); err != nil {
		return err
	}
	if err := s.onCreate(ctx); err != nil {
		return err
	}
	if err := s.attach(ctx); err != nil {
		return err
	}
	return s.hook(ctx, s.m.cfg.Hooks.OnUpgrade)
}

// regain gives a permanent user whom the store has lost their ID back, and reports
// whether it could: it was not deleted, and has no identity.
func (s *identityChange) regain(ctx context.Context) (bool, error) {
	store := s.m.cfg.Store
	user, err := store.LockUser(ctx, s.owner)
	if errors.Is(err, ErrNotFound) {
		err = s.create(ctx, User{ID: s.owner, CreatedAt: s.now, SeenAt: s.now})
		if errors.Is(err, ErrSessionEnded) {
			s.created = false
			return false, nil
		}
		return err == nil, err
	}
	if err != nil || !isReserved(user) {
		return false, err
	}
	if identities, err := store.Identities(ctx, s.owner); err != nil || len(identities) > 0 {
		return false, err
	}
	if s.full != nil {
		return false, s.full
	}
	s.created, s.seen = true, true
	if err := store.SetAnonymous(ctx, s.owner, false); err != nil {
		return false, err
	}
	return true, store.DeleteSessions(ctx, s.owner, uuid.Nil)
}

// create stores a permanent user, where the limit leaves room for one.
func (s *identityChange) create(ctx context.Context, user User) error {
	if s.full != nil {
		return s.full
	}
	s.created = true
	return s.m.cfg.Store.CreateUser(ctx, user)
}

func (s *identityChange) upgrade(ctx context.Context, user User, known bool) error {
	store := s.m.cfg.Store
	s.change.Outcome = Upgraded
	if known {
		if err := store.SetAnonymous(ctx, user.ID, false); err != nil {
			return err
		}
	}
	if err := s.attach(ctx); err != nil {
		return err
	}
	// All sessions: another client that holds a token of this user, planted or copied,
	// is not the one that just proved who they are.
	if err := store.DeleteSessions(ctx, user.ID, uuid.Nil); err != nil {
		return err
	}
	return s.hook(ctx, s.m.cfg.Hooks.OnUpgrade)
}

func (s *identityChange) link(ctx context.Context, user User) error {
	if s.now.Sub(s.visitor.ProvenAt) > s.m.cfg.Sessions.RecentProof {
		return notRecent()
	}
	// Self-asserted names could otherwise be had by the million: Config.NewUsers.Limit
	// is about visitors who have no row.
	if identities, err := s.m.cfg.Store.Identities(ctx, user.ID); err != nil {
		return err
	} else if len(identities) >= maxIdentities {
		return &Refusal{Status: http.StatusConflict, Reason: "too_many_identities",
			Text: texts.Of("error.too_many_identities")}
	}
	s.change.Outcome = Linked
	if err := s.attach(ctx); err != nil {
		return err
	}
	return s.m.cfg.Store.DeleteSession(ctx, user.ID, s.visitor.SessionID)
}

func notRecent() *Refusal {
	return &Refusal{Status: http.StatusForbidden, Reason: "not_recent",
		Text: texts.Of("error.not_recent")}
}

// signIn is for the owner of the identity, from a browser that is theirs already or has
// no user.
func (s *identityChange) signIn(ctx context.Context, owned Identity, outcome Outcome) error {
	s.change.Outcome, s.change.UserID = outcome, owned.UserID
	s.change.Identity.UserID, s.change.Identity.CreatedAt = owned.UserID, owned.CreatedAt
	s.identity = owned
	if s.endsOld && s.visitor.UserID == owned.UserID {
		if err := s.m.cfg.Store.DeleteSession(ctx, owned.UserID, s.visitor.SessionID); err != nil {
			return err
		}
	}
	return s.hook(ctx, s.m.cfg.Hooks.OnSignIn)
}

// leaveAnonymous is for an anonymous visitor who turns out to be another user.
func (s *identityChange) leaveAnonymous(ctx context.Context, owned Identity, left User, known bool) error {
	store, conflict := s.m.cfg.Store, s.proof.Conflict
	if conflict == 0 {
		conflict = s.m.cfg.Conflict
	}
	switch {
	case !known:
		// A left without a write has nothing to move, nothing to lose, and no session
		// to end; the tombstone ends their token.
		s.tombstone = s.m.health.tombstone(left.ID, owned.UserID, s.now)
	case conflict == ConflictReject:
		return ErrIdentityTaken
	case conflict == ConflictMerge && s.m.cfg.Hooks.OnMerge != nil:
		s.change.AnonymousID = left.ID
		if err := s.signIn(ctx, owned, Merged); err != nil {
			return err
		}
		s.tombstone = s.m.health.tombstone(left.ID, owned.UserID, s.now)
		return s.hook(ctx, s.m.cfg.Hooks.OnMerge)
	default:
		if err := store.DeleteSession(ctx, left.ID, s.visitor.SessionID); err != nil {
			return err
		}
	}
	return s.signIn(ctx, owned, SignedIn)
}

// attach gives the identity to the user of the change.
func (s *identityChange) attach(ctx context.Context) error {
	s.change.Identity.UserID = s.change.UserID
	identity := s.change.Identity
	identity.Secret = s.proof.Secret
	s.identity = identity
	err := s.m.cfg.Store.CreateIdentity(ctx, identity)
	if errors.Is(err, ErrIdentityTaken) {
		return errRaced
	}
	return err
}

// open makes the new session and its token. The token comes before the commit: if it
// cannot be issued, the change is rolled back.
func (s *identityChange) open(ctx context.Context) error {
	began := s.now
	if !s.began.IsZero() {
		began = s.began
	}
	c := s.m.issuer.bounded(s.m.issuer.dated(Claims{UserID: s.change.UserID, SessionID: s.session, Method: s.proof.Method}, s.now), began)
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
	var err error
	if s.token, s.claims, err = s.m.issuer.issue(ctx, c); err != nil {
		return &hookError{s.change.Outcome, err}
	}
	if s.opensAnother() {
		if err := s.makeRoom(ctx); err != nil {
			return err
		}
	}
	session := Session{ID: s.session, UserID: c.UserID, CreatedAt: began, RenewedAt: s.now, ExpiresAt: s.claims.ExpiresAt}
	if err := s.m.cfg.Store.CreateSession(ctx, session); err != nil {
		return err
	}
	s.opened = true
	if s.seen { // the ID is kept for its owner no more: they have it
		if err := s.m.cfg.Store.RenewSession(ctx, session); err != nil {
			return err
		}
	}
	if err := s.succeed(ctx); err != nil {
		return err
	}
	// What an anonymous user kept on the server goes along with them, not with a visitor
	// who signs in to another account.
	if c.UserID != s.visitor.UserID && s.change.Outcome != Merged {
		return nil
	}
	return s.m.data.save(ctx, s.data, s.claims)
}

func (s *identityChange) hook(ctx context.Context, hook func(context.Context, Change) error) error {
	if hook == nil {
		return nil
	}
	if err := hook(ctx, s.change); err != nil {
		return &hookError{s.change.Outcome, err}
	}
	return nil
}

// A hookError is an error that a function of the app returned.
type hookError struct {
	outcome Outcome
	err     error
}

func (e *hookError) Error() string {
	return "walkin: the " + string(e.outcome) + " hook: " + e.err.Error()
}

func (e *hookError) Unwrap() error { return e.err }

// translate tells errors of the app from errors of the store.
func translate(err error) error {
	if _, ok := errors.AsType[*Refusal](err); ok || errors.Is(err, ErrIdentityTaken) {
		return err
	}
	if _, ok := errors.AsType[*hookError](err); ok {
		return err
	}
	if errors.Is(err, errRaced) || errors.Is(err, ErrSessionEnded) || errors.Is(err, ErrNotFound) {
		return &Refusal{Status: http.StatusConflict, Reason: "raced", Err: err,
			Text: texts.Of("error.raced")}
	}
	return storeFailed(err)
}

// tombstone remembers a deleted user until no token of theirs can be alive.
func (h *storeHealth) tombstone(id, mergedInto uuid.UUID, now time.Time) *Tombstone {
	return &Tombstone{UserID: id, MergedInto: mergedInto, DeletedAt: now, ExpiresAt: now.Add(h.longestTokenLife())}
}
