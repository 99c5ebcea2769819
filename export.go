package walkin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// An Export is all that is stored about a user, for that user: written as JSON it is
// what they may ask for (GDPR Art. 15 and 20). It holds no secret: a password's hash
// and a passkey's public key are named and left out. It leaves out what is stored under
// a hash and expires within the hour, such as a code that was sent; docs/privacy.md
// lists it.
type Export struct {
	UserID     uuid.UUID          `json:"user_id"`
	Stored     bool               `json:"stored"` // false: the rest is empty but for Deleted
	Anonymous  bool               `json:"anonymous"`
	CreatedAt  time.Time          `json:"created_at,omitzero"`
	SeenAt     time.Time          `json:"seen_at,omitzero"`
	Ban        *Ban               `json:"ban,omitempty"`
	Identities []ExportedIdentity `json:"identities"`
	Sessions   []ExportedSession  `json:"sessions"`
	Deleted    *Tombstone         `json:"deleted,omitempty"` // of a user who was deleted: the trace that is left
	App        any                `json:"app,omitempty"`     // what Config.Hooks.OnExport returned
}

// An ExportedIdentity is an identity without its secret.
type ExportedIdentity struct {
	Provider  string    `json:"provider"`
	Subject   string    `json:"subject"`
	CreatedAt time.Time `json:"created_at"`
	HasSecret bool      `json:"has_secret"` // a hash or a public key is stored
}

// An ExportedSession is a session with the data that the app keeps in it, by
// [Middleware.LoadAndSave]: the values, or, where they cannot be written as JSON, the
// bytes as they are stored.
type ExportedSession struct {
	ID        uuid.UUID `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	RenewedAt time.Time `json:"renewed_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Data      []any     `json:"data,omitempty"`
}

// Export returns what is stored about a user. A user who was never stored is
// ErrNotFound. Where visitors ask for their own data, let it be a POST behind
// [Middleware.RequireRecent], and answer with Cache-Control: no-store.
func (m *Middleware) Export(ctx context.Context, userID uuid.UUID) (Export, error) {
	if err := CheckActor(ctx); err != nil {
		return Export{}, err // an operator has a page of their own
	}
	e := Export{UserID: userID, Identities: []ExportedIdentity{}, Sessions: []ExportedSession{}}
	user, err := m.cfg.Store.LockUser(ctx, userID)
	switch {
	case errors.Is(err, ErrNotFound):
		if err := e.addTombstone(ctx, m.cfg.Store); err != nil {
			return Export{}, err
		}
		return e, e.addApp(ctx, &m.cfg)
	case err != nil:
		return Export{}, err
	}
	e.Stored, e.Anonymous, e.CreatedAt, e.SeenAt = true, user.Anonymous, user.CreatedAt, user.SeenAt
	if !user.Ban.Until.IsZero() {
		e.Ban = &user.Ban
	}
	identities, err := m.cfg.Store.Identities(ctx, userID)
	if err != nil {
		return Export{}, err
	}
	for _, one := range identities {
		e.Identities = append(e.Identities, ExportedIdentity{one.Provider, one.Subject, one.CreatedAt, len(one.Secret) > 0})
	}
	sessions, err := m.cfg.Store.UserSessions(ctx, userID)
	if err != nil {
		return Export{}, err
	}
	for _, one := range sessions {
		data, err := m.data.export(ctx, one)
		if err != nil {
			return Export{}, err
		}
		e.Sessions = append(e.Sessions, ExportedSession{one.ID, one.CreatedAt, one.RenewedAt, one.ExpiresAt, data})
	}
	return e, e.addApp(ctx, &m.cfg)
}

// addTombstone is for a user who is not there.
func (e *Export) addTombstone(ctx context.Context, store Store) error {
	directory, ok := ability[Directory](store)
	if !ok {
		return ErrNotFound
	}
	tombstone, err := bound(ctx, func(ctx context.Context) (Tombstone, error) { return directory.FindTombstone(ctx, e.UserID) })
	if err == nil {
		e.Deleted = &tombstone
	}
	return err
}

func (e *Export) addApp(ctx context.Context, cfg *Config) error {
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
func (dc *dataCarrier) export(ctx context.Context, s Session) ([]any, error) {
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
