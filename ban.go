package walkin

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// Directory returns Config.Store as a [store.Directory], or false if it is none. Its calls
// have no time limit of their own.
func (m *Middleware) Directory() (store.Directory, bool) {
	return ability[store.Directory](m.cfg.Store)
}

func directoryOf(st store.Store) (store.Directory, error) {
	if directory, ok := ability[store.Directory](st); ok {
		return directory, nil
	}
	return nil, fmt.Errorf("walkin: a store of type %T is no Directory", st.(bounded).inner)
}

// Ban keeps a user out until ban.Until, or for good where that is zero. Their requests
// have no user, and are refused where one is needed; they cannot sign in. No new user
// is minted for them, and nothing of theirs is deleted: an anonymous user is back when
// the ban ends. The ban holds for writes at once, and for reads on other replicas
// within two seconds with [Middleware.RunFeed], or else within
// Config.Sessions.RecheckAfter. It bans a user, not a human: another browser is another
// visitor. A user who is not stored is store.ErrNotFound.
func (m *Middleware) Ban(ctx context.Context, userID uuid.UUID, ban store.Ban) error {
	if ban.Until.IsZero() {
		ban.Until = forever
	}
	if !ban.Valid() {
		return errors.New("walkin: the reason of a ban has at most 500 bytes of UTF-8 without NUL")
	}
	return m.setBan(ctx, userID, ban, Banned)
}

// Unban lifts a ban.
func (m *Middleware) Unban(ctx context.Context, userID uuid.UUID) error {
	return m.setBan(ctx, userID, store.Ban{}, Unbanned)
}

func (m *Middleware) setBan(ctx context.Context, userID uuid.UUID, ban store.Ban, outcome Outcome) error {
	directory, err := directoryOf(m.cfg.Store)
	if err == nil {
		err = CheckActor(ctx)
	}
	if err != nil {
		return err
	}
	err = boundErr(ctx, func(ctx context.Context) error { return directory.SetBan(ctx, userID, ban) })
	m.feed.changed(userID)
	if err == nil {
		m.emitCtx(ctx, Event{Outcome: outcome, UserID: userID})
	}
	return err
}
