package store

import (
	"time"

	"github.com/google/uuid"
)

// An Export is all that is stored about a user, for that user, as Middleware.Export
// returns it: written as JSON it is what they may ask for (GDPR Art. 15 and 20). It holds no secret: a password's hash
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
// Middleware.LoadAndSave: the values, or, where they cannot be written as JSON, the
// bytes as they are stored.
type ExportedSession struct {
	ID        uuid.UUID `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	RenewedAt time.Time `json:"renewed_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Data      []any     `json:"data,omitempty"`
}
