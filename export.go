package walkin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// Export returns what is stored about a user. A user who was never stored is
// store.ErrNotFound. Where visitors ask for their own data, let it be a POST behind
// [Middleware.RequireRecent], and answer with Cache-Control: no-store.
func (m *Middleware) Export(ctx context.Context, userID uuid.UUID) (store.Export, error) {
	if err := CheckActor(ctx); err != nil {
		return store.Export{}, err // an operator has a page of their own
	}
	e := store.Export{UserID: userID, Identities: []store.ExportedIdentity{}, Sessions: []store.ExportedSession{}}
	user, err := m.cfg.Store.LockUser(ctx, userID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		if err := addTombstone(ctx, &e, m.cfg.Store); err != nil {
			return store.Export{}, err
		}
		return e, addApp(ctx, &e, &m.cfg)
	case err != nil:
		return store.Export{}, err
	}
	e.Stored, e.Anonymous, e.CreatedAt, e.SeenAt = true, user.Anonymous, user.CreatedAt, user.SeenAt
	if !user.Ban.Until.IsZero() {
		e.Ban = &user.Ban
	}
	identities, err := m.cfg.Store.Identities(ctx, userID)
	if err != nil {
		return store.Export{}, err
	}
	for _, one := range identities {
		e.Identities = append(e.Identities, store.ExportedIdentity{
			Provider: one.Provider, Subject: one.Subject, CreatedAt: one.CreatedAt, HasSecret: len(one.Secret) > 0,
		})
	}
	sessions, err := m.cfg.Store.UserSessions(ctx, userID)
	if err != nil {
		return store.Export{}, err
	}
	for _, one := range sessions {
		data, err := m.data.export(ctx, one)
		if err != nil {
			return store.Export{}, err
		}
		e.Sessions = append(e.Sessions, store.ExportedSession{
			ID: one.ID, CreatedAt: one.CreatedAt, RenewedAt: one.RenewedAt, ExpiresAt: one.ExpiresAt, Data: data,
		})
	}
	return e, addApp(ctx, &e, &m.cfg)
}

// addTombstone is for a user who is not there.
func addTombstone(ctx context.Context, e *store.Export, st store.Store) error {
	directory, ok := ability[store.Directory](st)
	if !ok {
		return store.ErrNotFound
	}
	tombstone, err := bound(ctx, func(ctx context.Context) (store.Tombstone, error) { return directory.FindTombstone(ctx, e.UserID) })
	e.Deleted = &tombstone
	return err
}

func addApp(ctx context.Context, e *store.Export, cfg *Config) error {
	if cfg.Hooks.OnExport == nil {
		return nil
	}
	app, err := cfg.Hooks.OnExport(ctx, e.UserID)
	if err != nil {
		return fmt.Errorf("walkin: Config.Hooks.OnExport: %w", err)
	}
	e.App = app
	return nil
}

// export returns what the managers of LoadAndSave keep in a session.
func (dc *dataCarrier) export(ctx context.Context, s store.Session) ([]any, error) {
	ctx = NewContext(ctx, Claims{UserID: s.UserID, SessionID: s.ID}) // for stores that ask whose data it is
	var all []any
	for _, d := range dc.managers() {
		b, found, err := d.find(ctx, d.key(s.ID))
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		var values any = b
		if _, decoded, err := d.sm.Codec.Decode(b); err == nil {
			if _, err := json.Marshal(decoded); err == nil {
				values = decoded
			}
		}
		all = append(all, values)
	}
	return all, nil
}
