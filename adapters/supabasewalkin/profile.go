package supabasewalkin

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// A Profile is what supabase-js knows of a user and walkin does not.
type Profile struct {
	UserID uuid.UUID `json:"-"`

	UserMetadata map[string]any `json:"user_metadata,omitempty"` // the user's own words
	AppMetadata  map[string]any `json:"app_metadata,omitempty"`  // the app's

	// Role is what an admin calls the user. It is shown, but is in no token: there a
	// role would pass every policy.
	Role string `json:"role,omitempty"`

	// Pending addresses are no identities: they cannot sign in, and are not unique.
	NewEmail string `json:"new_email,omitempty"`
	NewPhone string `json:"new_phone,omitempty"`

	// Unconfirmed are the providers of addresses that an admin wrote and that were
	// never proven: no password signs in by them.
	Unconfirmed []string `json:"unconfirmed,omitempty"`

	CreatedAt              time.Time `json:"created_at,omitzero"`
	UpdatedAt              time.Time `json:"updated_at,omitzero"`
	LastSignInAt           time.Time `json:"last_sign_in_at,omitzero"`
	InvitedAt              time.Time `json:"invited_at,omitzero"`
	ConfirmationSentAt     time.Time `json:"confirmation_sent_at,omitzero"`
	RecoverySentAt         time.Time `json:"recovery_sent_at,omitzero"`
	EmailChangeSentAt      time.Time `json:"email_change_sent_at,omitzero"`
	ReauthenticationSentAt time.Time `json:"reauthentication_sent_at,omitzero"`
	BannedUntil            time.Time `json:"banned_until,omitzero"`
}

// Profiles keeps profiles. All methods may be called concurrently. They may also be
// called inside the transaction of an identity change, with its context. They are then
// part of that transaction.
type Profiles interface {
	// Profile returns the profile of a user. A user without one has an empty profile.
	Profile(ctx context.Context, id uuid.UUID) (Profile, error)

	// Save stores a profile in place of the one before. The user exists.
	Save(ctx context.Context, p Profile) error

	// Delete deletes a profile. A missing profile is not an error. Where the database
	// deletes it with its user, there is nothing to do.
	Delete(ctx context.Context, id uuid.UUID) error

	// List returns the IDs of users with a profile, newest first, and how many there
	// are.
	List(ctx context.Context, offset, limit int) (ids []uuid.UUID, total int, err error)
}

// Memory returns profiles that a restart loses, for store/memstore. An identity change
// that fails does not roll back what was saved in it.
func Memory() Profiles { return &memory{all: map[uuid.UUID]stored{}} }

type memory struct {
	mu  sync.Mutex
	all map[uuid.UUID]stored
}

type stored struct {
	data []byte // so that no caller shares a map with another
	at   time.Time
}

func (m *memory) Profile(_ context.Context, id uuid.UUID) (Profile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return profileOf(id, m.all[id].data)
}

func (m *memory) Save(_ context.Context, p Profile) error {
	if p.CreatedAt.IsZero() {
		p.CreatedAt = time.Now()
	}
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[p.UserID] = stored{data, p.CreatedAt}
	return nil
}

func (m *memory) Delete(_ context.Context, id uuid.UUID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, id)
	return nil
}

func (m *memory) List(_ context.Context, offset, limit int) ([]uuid.UUID, int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make([]uuid.UUID, 0, len(m.all))
	for id := range m.all {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return m.all[b].at.Compare(m.all[a].at) })
	offset = min(offset, len(ids))
	return ids[offset:min(offset+limit, len(ids))], len(ids), nil
}

func profileOf(id uuid.UUID, data []byte) (Profile, error) {
	p := Profile{UserID: id}
	if len(data) == 0 {
		return p, nil
	}
	return p, json.Unmarshal(data, &p)
}

// merge writes what a client sent over what there is; null removes a name.
func merge(into map[string]any, from map[string]any) map[string]any {
	if into == nil {
		into = map[string]any{}
	}
	for name, value := range from {
		if value == nil {
			delete(into, name)
		} else {
			into[name] = value
		}
	}
	return into
}
