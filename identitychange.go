package walkin

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
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
	full       *Refusal  // of a new user, where Config.NewUsers.Limit is reached; or nil

	ended Claims // of a token that is over, where the request has no other

	change    Change
	claims    Claims         // of the new session
	identity  store.Identity // with its secret
	token     string
	session   uuid.UUID   // the new one
	held      bool        // the visitor is locked
	stored    bool        // and was stored for that
	created   bool        // a user, who was not stored before
	endsOld   bool        // the visitor's old session ended
	opened    bool        // a session: the transaction may have been committed
	revived   bool        // a user whom the store had lost
	seen      bool        // the user was never seen before
	began     time.Time   // of the session, where that is not now
	evicted   []uuid.UUID // other sessions of the user, to make room
	tombstone *store.Tombstone
	data      []savedData
}

// apply decides on the identity change and applies it, in the transaction of ctx.
func (s *identityChange) apply(ctx context.Context) error {
	st, p := s.m.cfg.Store, s.proof
	s.held, s.stored, s.created, s.opened, s.revived, s.seen, s.tombstone = false, false, false, false, false, false, nil
	s.session = uuid.New()
	owned, err := st.Identity(ctx, p.Provider, p.Subject)
	free := errors.Is(err, store.ErrNotFound)
	if err != nil && !free {
		return err
	}
	if err := s.lock(ctx, owned, free); err != nil {
		return err
	}
	if !free {
		if err := checkFactor(ctx, s, owned.UserID); err != nil {
			return err
		}
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
		return &Refusal{Status: http.StatusUnauthorized, Reason: ReasonSessionEnded, Err: ErrRedeemed}
	}
	s.change = Change{UserID: user.ID, Identity: store.Identity{Provider: p.Provider, Subject: p.Subject, CreatedAt: s.now}}
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

// lock locks the visitor and the owner, in the order of their IDs, so that two changes
// of the same users wait for each other instead of crossing. A visitor who is not stored
// is stored here, in their place in that order: as the permanent user they become, or as
// the anonymous user whose tombstone ends the token. So the store decides that they are
// not there, and not a look-up before: a visitor who writes at this moment on another replica
// is an anonymous user with data.
func (s *identityChange) lock(ctx context.Context, owned store.Identity, free bool) error {
	st := s.m.cfg.Store
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
	again, err := st.Identity(ctx, owned.Provider, owned.Subject)
	if errors.Is(err, store.ErrNotFound) || err == nil && again.UserID != owned.UserID {
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
	if visitor && s.visitor.Provisional && errors.Is(err, store.ErrNotFound) && (free || !s.proof.Chosen) {
		if free && s.full != nil {
			return s.full
		}
		// A user whom the store has lost was stored once, and what the app kept of
		// them may still be there: they are an anonymous user again before anything is
		// decided.
		err = s.m.cfg.Store.CreateUser(ctx, store.User{ID: id, Anonymous: !free || s.lost, CreatedAt: s.now, SeenAt: s.now})
		if errors.Is(err, store.ErrSessionEnded) {
			return nil // currentUser tells
		}
		s.stored, s.revived = err == nil && !s.lost, err == nil && s.lost
		s.created = err == nil && (free || s.lost)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	s.held = s.held || visitor && err == nil
	return nil
}

// currentUser returns the visitor as the store has them now, and whether it has them: a
// provisional visitor is a user who is not stored. The zero User is no user, also for a
// visitor whose session ended while they waited.
func (s *identityChange) currentUser(ctx context.Context) (user store.User, known bool, err error) {
	c := s.visitor
	switch {
	case c.UserID == uuid.Nil:
		return store.User{}, false, nil
	case s.revived:
		return store.User{ID: c.UserID, Anonymous: true, CreatedAt: s.now, SeenAt: s.now}, true, nil
	case s.stored:
		return store.User{ID: c.UserID, Anonymous: true, CreatedAt: s.now, SeenAt: s.now}, false, nil
	}
	session, err := s.m.cfg.Store.LookupSession(ctx, c.UserID, c.SessionID)
	switch {
	case errors.Is(err, store.ErrNotFound) && c.Provisional:
		return store.User{ID: c.UserID, Anonymous: true, CreatedAt: s.now, SeenAt: s.now}, false, nil
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrSessionEnded):
		return store.User{}, false, nil
	case err != nil:
		return store.User{}, false, err
	case s.now.After(session.ExpiresAt.Add(leeway)):
		return store.User{}, false, nil
	case !s.held:
		return store.User{}, false, errRaced // their first write stored them after lock
	}
	user, err = s.m.cfg.Store.LockUser(ctx, c.UserID)
	return user, true, err
}

// replacedFor is how long a click may be late.
const replacedFor = time.Minute

// checkReplaced refuses a new account to a visitor who presents a session that a change of
// identity has just ended: another tab of theirs has signed in, and the new account
// would take its cookie's place. After a minute they have had the time to see it.
func (s *identityChange) checkReplaced(ctx context.Context, ended Claims) error {
	if ended.UserID == uuid.Nil {
		return nil
	}
	switch next, err := s.m.health.successor(ctx, sessionFlowID(ended)); {
	case errors.Is(err, store.ErrNotFound), err == nil && s.now.Sub(next.IssuedAt) >= replacedFor:
		return nil
	case err != nil:
		return err
	}
	// What was free before the lock may be what the other tab proved: a double
	// click, both of whose answers are good.
	if _, err := s.m.cfg.Store.Identity(ctx, s.proof.Provider, s.proof.Subject); err == nil {
		return errRaced
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return &Refusal{Status: http.StatusConflict, Reason: ReasonReplaced, Err: store.ErrIdentityTaken,
		Text: texts.Of("error.other_tab")}
}

// translate tells errors of the app from errors of the store.
func translate(err error) error {
	if _, ok := errors.AsType[*Refusal](err); ok || errors.Is(err, store.ErrIdentityTaken) {
		return err
	}
	if _, ok := errors.AsType[*hookError](err); ok {
		return err
	}
	if errors.Is(err, errRaced) || errors.Is(err, store.ErrSessionEnded) || errors.Is(err, store.ErrNotFound) {
		return &Refusal{Status: http.StatusConflict, Reason: ReasonRaced, Err: err,
			Text: texts.Of("error.raced")}
	}
	return storeFailed(err)
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
