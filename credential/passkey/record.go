package passkey

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

const (
	maxName      = 64   // characters
	maxPublicKey = 1100 // bytes; an RSA key of 8,192 bits, the most that is quick to check
)

// A Key is one of a user's passkeys, for a page that lists them.
type Key struct {
	ID        string    // the identity's subject, for Rename and walkin.Middleware.Unlink
	Name      string    // as its owner called it; may be empty
	CreatedAt time.Time // when it was registered
	UsedAt    time.Time // when it was last proven; zero if never since

	// Synced says that the key may be on several devices of its owner. A key that is
	// not synced is lost with its device.
	Synced bool

	// AAGUID names the make of device or password manager, as the device itself states
	// it; zero when it does not.
	AAGUID uuid.UUID
}

// Keys returns the passkeys of a user, oldest first. A user without passkeys is not an
// error.
func (p *Passkeys) Keys(ctx context.Context, userID uuid.UUID) ([]Key, error) {
	identities, records, err := p.keysOf(ctx, userID)
	if err != nil {
		return nil, err
	}
	keys := make([]Key, len(records))
	for i, k := range records {
		keys[i] = Key{ID: identities[i].Subject, Name: k.Name, CreatedAt: identities[i].CreatedAt, UsedAt: k.UsedAt, Synced: k.BackupEligible}
		keys[i].AAGUID, _ = uuid.FromBytes(k.AAGUID) // zero when it is none
	}
	return keys, nil
}

// Describe reads what an identity of this package says about its key, as Keys does. A
// key that cannot be read has no name.
func (p *Passkeys) Describe(identity store.Identity) (name string, usedAt time.Time, synced bool) {
	k, _ := recordOf(identity) // zero if it cannot be read
	return k.Name, k.UsedAt, k.BackupEligible
}

// Rename gives a passkey of the visitor another name, of at most 64 characters.
// It needs a permanent visitor and refuses cross-origin requests; a key that is
// not theirs is a 404. Call it behind walkin.Middleware.Handler. The error is for
// [walkin.Middleware.Refuse].
func (p *Passkeys) Rename(w http.ResponseWriter, r *http.Request, id, name string) error {
	if _, err := p.middleware.StartFlow(w, r); err != nil { // whether the request is the visitor's own
		return err
	}
	c, ok := walkin.FromContext(r.Context())
	if !ok {
		return &walkin.Refusal{Status: http.StatusUnauthorized, Reason: walkin.ReasonNoUser}
	}
	name, err := checkName(name)
	if err != nil {
		return err
	}
	err = p.update(r.Context(), c.UserID, id, func(k *record) { k.Name = name })
	if errors.Is(err, store.ErrNotFound) {
		return &walkin.Refusal{Status: http.StatusNotFound, Reason: walkin.ReasonNoIdentity}
	}
	return err
}

// checkName returns a key's name as it is stored.
func checkName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) {
		return "", &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: ReasonName,
			Text: texts.Of("passkey.name", "count", maxName)}
	}
	return name, nil
}

// A record is the secret of an identity: what is known of a key. Nothing in it is
// secret, but changing it is enough to sign in.
type record struct {
	ID             []byte                            `json:"id"`
	PublicKey      []byte                            `json:"public_key"` // COSE
	Handle         []byte                            `json:"handle"`
	SignCount      uint32                            `json:"sign_count"`
	BackupEligible bool                              `json:"backup_eligible"`
	BackupState    bool                              `json:"backup_state"`
	Transports     []protocol.AuthenticatorTransport `json:"transports,omitempty"`
	AAGUID         []byte                            `json:"aaguid,omitempty"`
	Name           string                            `json:"name,omitempty"`
	UsedAt         time.Time                         `json:"used_at,omitzero"`
}

// credential is the key as the library wants it. The user was verified when it
// was made, as always.
func (k record) credential() webauthn.Credential {
	return webauthn.Credential{
		ID:        k.ID,
		PublicKey: k.PublicKey,
		Transport: k.Transports,
		Flags: webauthn.CredentialFlags{
			UserPresent: true, UserVerified: true, BackupEligible: k.BackupEligible, BackupState: k.BackupState,
		},
		Authenticator: webauthn.Authenticator{AAGUID: k.AAGUID, SignCount: k.SignCount},
	}
}

// method is how a key proves its owner, in the words of RFC 8176: "hwk" for one that
// stays in its device, "swk" for one that is copied between devices. The device says so
// itself; without attestation nothing confirms it.
func (k record) method() string {
	if k.BackupEligible {
		return "swk"
	}
	return "hwk"
}

// subject is the name of a key's identity.
func subject(id []byte) string {
	if len(id) <= 191 {
		return base64.RawURLEncoding.EncodeToString(id)
	}
	sum := sha256.Sum256(id)
	return "sha256." + base64.RawURLEncoding.EncodeToString(sum[:])
}

func recordOf(identity store.Identity) (record, error) {
	var k record
	if err := json.Unmarshal(identity.Secret, &k); err != nil {
		return record{}, fmt.Errorf("walkin: passkey: a stored key of user %s cannot be read", identity.UserID)
	}
	return k, nil
}

// keysOf returns a user's keys with their identities. One that cannot be read is
// left out: the others must go on working.
func (p *Passkeys) keysOf(ctx context.Context, userID uuid.UUID) (identities []store.Identity, records []record, err error) {
	all, err := p.store.Identities(ctx, userID)
	if err != nil {
		return nil, nil, err
	}
	for _, identity := range all {
		if identity.Provider != Provider {
			continue
		}
		k, err := recordOf(identity)
		if err != nil {
			p.middleware.Report(ctx, ReasonUnreadable, err)
			continue
		}
		identities, records = append(identities, identity), append(records, k)
	}
	return identities, records, nil
}

// update changes the record of a user's key. Two updates at once wait for each
// other; a key that is not there, or another user's, is store.ErrNotFound.
func (p *Passkeys) update(ctx context.Context, userID uuid.UUID, id string, change func(*record)) error {
	return p.store.InTx(ctx, func(ctx context.Context) error {
		if _, err := p.store.LockUser(ctx, userID); err != nil { // the lock
			return err
		}
		identity, err := p.store.Identity(ctx, Provider, id)
		if err != nil {
			return err
		}
		if identity.UserID != userID {
			return store.ErrNotFound
		}
		k, err := recordOf(identity)
		if err != nil {
			return err
		}
		change(&k)
		secret, err := json.Marshal(k)
		if err != nil {
			return err
		}
		return p.store.SetSecret(ctx, Provider, id, secret)
	})
}
