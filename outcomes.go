package walkin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// takeFree gives an identity without an owner to the visitor, or to a new user.
func (s *identityChange) takeFree(ctx context.Context, user store.User, known bool) error {
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
func (s *identityChange) becomeOwner(ctx context.Context, owned store.Identity, user store.User, known bool) error {
	switch {
	case s.proof.Chosen:
		return store.ErrIdentityTaken
	case user.ID == uuid.Nil || owned.UserID == user.ID:
		return s.signIn(ctx, owned, SignedIn)
	case !user.Anonymous:
		return store.ErrIdentityTaken
	}
	return s.leaveAnonymous(ctx, owned, user, known)
}

func (s *identityChange) signUp(ctx context.Context) (err error) {
	s.change.Outcome = SignedUp
	if s.owner != uuid.Nil {
		if s.revived, err = s.regain(ctx); err != nil {
			return err
		}
	}
	if s.change.UserID = newUserID(s.now); s.revived {
		s.change.UserID = s.owner
	} else if err := s.create(ctx, store.User{ID: s.change.UserID, CreatedAt: s.now, SeenAt: s.now}); err != nil {
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
	st := s.m.cfg.Store
	user, err := st.LockUser(ctx, s.owner)
	if errors.Is(err, store.ErrNotFound) {
		err = s.create(ctx, store.User{ID: s.owner, CreatedAt: s.now, SeenAt: s.now})
		if errors.Is(err, store.ErrSessionEnded) {
			s.created = false
			return false, nil
		}
		return err == nil, err
	}
	if err != nil || !isReserved(user) {
		return false, err
	}
	if identities, err := st.Identities(ctx, s.owner); err != nil || len(identities) > 0 {
		return false, err
	}
	if s.full != nil {
		return false, s.full
	}
	s.created, s.seen = true, true
	if err := st.SetAnonymous(ctx, s.owner, false); err != nil {
		return false, err
	}
	return true, st.DeleteSessions(ctx, s.owner, uuid.Nil)
}

// create stores a permanent user, where the limit leaves room for one.
func (s *identityChange) create(ctx context.Context, user store.User) error {
	if s.full != nil {
		return s.full
	}
	s.created = true
	return s.m.cfg.Store.CreateUser(ctx, user)
}

func (s *identityChange) upgrade(ctx context.Context, user store.User, known bool) error {
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

func (s *identityChange) link(ctx context.Context, user store.User) error {
	if s.now.Sub(s.visitor.ProvenAt) > s.m.cfg.Sessions.RecentProof {
		return notRecent()
	}
	if err := checkAdding(ctx, s); err != nil {
		return err
	}
	// Self-asserted names could otherwise be had by the million: Config.NewUsers.Limit
	// is about visitors who are not stored yet.
	if identities, err := s.m.cfg.Store.Identities(ctx, user.ID); err != nil {
		return err
	} else if len(identities) >= maxIdentities {
		return &Refusal{Status: http.StatusConflict, Reason: ReasonTooManyIdentities,
			Text: texts.Of("error.too_many_identities")}
	}
	s.change.Outcome = Linked
	if err := s.attach(ctx); err != nil {
		return err
	}
	return s.m.cfg.Store.DeleteSession(ctx, user.ID, s.visitor.SessionID)
}

// signIn is for the owner of the identity, from a browser that is theirs already or has
// no user.
func (s *identityChange) signIn(ctx context.Context, owned store.Identity, outcome Outcome) error {
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
func (s *identityChange) leaveAnonymous(ctx context.Context, owned store.Identity, left store.User, known bool) error {
	st, conflict := s.m.cfg.Store, s.proof.Conflict
	if conflict == 0 {
		conflict = s.m.cfg.Conflict
	}
	switch {
	case !known:
		// A left without a write has nothing to move, nothing to lose, and no session
		// to end; the tombstone ends their token.
		s.tombstone = s.m.health.tombstone(left.ID, owned.UserID, s.now)
	case conflict == ConflictReject:
		return store.ErrIdentityTaken
	case conflict == ConflictMerge && s.m.cfg.Hooks.OnMerge != nil:
		s.change.AnonymousID = left.ID
		if err := s.signIn(ctx, owned, Merged); err != nil {
			return err
		}
		s.tombstone = s.m.health.tombstone(left.ID, owned.UserID, s.now)
		return s.hook(ctx, s.m.cfg.Hooks.OnMerge)
	default:
		if err := st.DeleteSession(ctx, left.ID, s.visitor.SessionID); err != nil {
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
	if errors.Is(err, store.ErrIdentityTaken) {
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
	session := store.Session{ID: s.session, UserID: c.UserID, CreatedAt: began, RenewedAt: s.now, ExpiresAt: s.claims.ExpiresAt}
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

func (s *identityChange) hook(ctx context.Context, hook func(context.Context, Change) error) error {
	if hook == nil {
		return nil
	}
	if err := hook(ctx, s.change); err != nil {
		return &hookError{s.change.Outcome, err}
	}
	return nil
}

// checkFactor returns halfProven if the proof is not enough to sign in as the owner of
// its identity. It comes before Redeem: what the proof relies on is used up by Hold.
func checkFactor(ctx context.Context, s *identityChange, owner uuid.UUID) error {
	factor := s.m.factor.Load()
	if factor == nil || s.proof.Chosen {
		return nil
	}
	// Fails closed: if the store does not say, there is no sign-in.
	if lacks, err := (*factor).Lacks(ctx, owner, s.proof.Method, false); err != nil || !lacks {
		return err
	}
	return halfProven{}
}

// checkAdding refuses a new identity to a session that was opened without the factor:
// it would be a way around it. A session that had it keeps its method, whatever proves
// the new identity.
func checkAdding(ctx context.Context, s *identityChange) error {
	factor := s.m.factor.Load()
	if factor == nil {
		return nil
	}
	lacks, err := (*factor).Lacks(ctx, s.visitor.UserID, s.visitor.Method, true)
	if err != nil {
		return err
	}
	if lacks {
		return &Refusal{Status: http.StatusForbidden, Reason: ReasonFactorNotProven, Text: texts.Of("factor.confirm")}
	}
	if lacks, err = (*factor).Lacks(ctx, s.visitor.UserID, s.proof.Method, true); err == nil && lacks {
		s.proof.Method = s.visitor.Method
	}
	return err
}
