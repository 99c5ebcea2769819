package walkin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// EndSessionsBefore ends every session of permanent users that was opened before a
// time. Where anonymous is true it also ends those of anonymous users, who then cannot
// come back. Call it as the last step of a restore from a backup, since the backup has
// sessions that ended after it was made; docs/restore.md has the other steps. From then
// on their tokens are rejected for writes at once. For reads on other replicas they are
// rejected within two seconds with [Middleware.RunFeed], and within
// Config.Sessions.RecheckAfter without it; those of anonymous users who are not stored
// yet within a minute.
//
// It needs a store that is a [store.DatabaseStore]; those of this project are.
func (m *Middleware) EndSessionsBefore(ctx context.Context, at time.Time, anonymous bool) error {
	store, ok := ability[store.DatabaseStore](m.cfg.Store)
	switch {
	case !ok:
		return fmt.Errorf("walkin: a store of type %T cannot end all sessions", m.cfg.Store.(bounded).inner)
	case at.After(time.Now().Add(leeway)):
		// A user who signed in again would be signed out at once.
		return errors.New("walkin: EndSessionsBefore was called with a time to come")
	}
	if err := store.EndSessionsBefore(ctx, at, anonymous); err != nil {
		return err
	}
	m.health.asking.database.Store(nil)
	m.feed.changed(uuid.Nil)
	m.emitCtx(ctx, Event{Outcome: SignedOut, Reason: ReasonAllBefore})
	return nil
}
