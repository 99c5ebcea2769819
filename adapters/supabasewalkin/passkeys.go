package supabasewalkin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
)

// Passkeys is what the endpoint needs of credential/passkey.
type Passkeys struct {
	// Handler does the ceremonies. A *passkey.Passkeys will do.
	Handler http.Handler

	// List returns a user's passkeys, and Rename names one. They do what the methods
	// Keys and Rename of *passkey.Passkeys do.
	List   func(ctx context.Context, userID uuid.UUID) ([]Passkey, error)
	Rename func(w http.ResponseWriter, r *http.Request, id, name string) error
}

// A Passkey is one of a user's.
type Passkey struct {
	ID        string // the subject of its identity
	Name      string
	CreatedAt time.Time
	UsedAt    time.Time
}

const providerPasskey = "passkey"

type shownPasskey struct {
	ID         uuid.UUID  `json:"id"`
	Name       string     `json:"friendly_name,omitempty"`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`

	subject string
}

// A ceremony is what stands behind a challenge_id.
type ceremony struct {
	visitor
	Registers bool     `json:"registers,omitempty"`
	Known     []string `json:"known,omitempty"` // the user's keys before
}

func ceremonyKey(id string) string { return hashed("supabase-passkey:", id) }

var errPasskeys = fail(http.StatusNotFound, "passkey_disabled", "Passkeys are disabled")

var errNoPasskey = fail(http.StatusNotFound, "webauthn_credential_not_found", "Passkey not found")

// owner returns the claims of a permanent user. It refuses an anonymous user, as the
// original does: the answer to a registration has no room for the tokens of an upgrade.
func (h *Handler) owner(c *call) (walkin.Claims, error) {
	claims, err := h.user(c)
	switch {
	case err != nil:
		return claims, err
	case claims.Anonymous:
		return claims, fail(http.StatusForbidden, "no_authorization", "Anonymous user not allowed to perform these actions")
	case h.cfg.Passkeys.Handler == nil:
		return claims, errPasskeys
	}
	return claims, nil
}

func (h *Handler) beginPasskey(c *call) (any, error) {
	claims, err := h.owner(c)
	if err != nil {
		return nil, err
	}
	known, err := h.passkeysOf(c.Context(), claims.UserID)
	if err != nil {
		return nil, err
	}
	ceremony := ceremony{visitor: visitor{As: &claims}, Registers: true}
	for _, key := range known {
		ceremony.Known = append(ceremony.Known, key.subject)
	}
	return h.beginCeremony(c, ceremony, "register", `{"name":""}`)
}

func (h *Handler) beginPasskeySignIn(c *call) (any, error) {
	if h.cfg.Passkeys.Handler == nil {
		return nil, errPasskeys
	}
	// Each is kept for five minutes, and anyone can ask for one. Registrations have a limit
	// of their handler's own.
	isFull, err := h.takeAll(c, h.networks(c, "supabase-passkey:", limit.Limit{Count: 300, Per: 15 * time.Minute}))
	if err != nil {
		return nil, err
	} else if isFull {
		return nil, fail(http.StatusTooManyRequests, "over_request_rate_limit", "Request rate limit reached")
	}
	return h.beginCeremony(c, ceremony{}, "signin", `{}`)
}

func (h *Handler) beginCeremony(c *call, on ceremony, step, body string) (any, error) {
	_, answer, err := h.through(c, h.cfg.Passkeys.Handler, &on.visitor, inner{
		method: http.MethodPost, target: "/passkey/" + step, kind: "application/json", body: body,
	})
	if err != nil {
		return nil, err
	}
	var request struct {
		PublicKey json.RawMessage `json:"publicKey"`
	}
	if err := json.Unmarshal(answer.body, &request); err != nil {
		return nil, err
	}
	id, until := uuid.NewString(), time.Now().Add(5*time.Minute)
	if err := h.put(c.Context(), ceremonyKey(id), on.visitor.As, on, until); err != nil {
		return nil, err
	}
	return map[string]any{"challenge_id": id, "options": request.PublicKey, "expires_at": until.Unix()}, nil
}

// finishCeremony has the handler prove. A challenge is used once, right or wrong. One for
// a new key is good for the session that asked, by: another user's device must not open
// the account of the user who began. Without by it is one to sign in.
func (h *Handler) finishCeremony(c *call, step string, by *walkin.Claims) (walkin.Claims, ceremony, error) {
	var on ceremony
	err := h.take(c.Context(), ceremonyKey(c.text("challenge_id")), &on)
	isOthers := on.Registers != (by != nil) || by != nil && (on.As == nil || on.As.SessionID != by.SessionID)
	if errors.Is(err, store.ErrNotFound) || err == nil && isOthers {
		return walkin.Claims{}, on, fail(http.StatusUnprocessableEntity, "webauthn_challenge_not_found", "WebAuthn challenge not found")
	} else if err != nil {
		return walkin.Claims{}, on, err
	}
	claims, _, err := h.through(c, h.cfg.Passkeys.Handler, &on.visitor, inner{
		method: http.MethodPost, target: "/passkey/" + step, kind: "application/json", body: string(c.form["credential"]),
	})
	if refusal, ok := errors.AsType[*walkin.Refusal](err); ok && refusal.Status < 500 && refusal.Status != http.StatusTooManyRequests && !errors.Is(err, walkin.ErrNotRecent) {
		err = fail(http.StatusUnprocessableEntity, "webauthn_verification_failed", "WebAuthn verification failed")
	}
	return claims, on, err
}

func (h *Handler) finishPasskey(c *call) (any, error) {
	claims, err := h.owner(c)
	if err != nil {
		return nil, err
	}
	row, err := h.store.LookupSession(c.Context(), claims.UserID, claims.SessionID)
	if err != nil {
		return nil, err
	}
	next, on, err := h.finishCeremony(c, "register-finish", &claims)
	if err != nil {
		return nil, err
	}
	if next.SessionID != claims.SessionID {
		if err := h.keptOn(c, claims, row, next.SessionID); err != nil {
			return nil, err
		}
	}
	keys, err := h.passkeysOf(c.Context(), claims.UserID)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		known := false
		for _, subject := range on.Known {
			known = known || subject == key.subject
		}
		if !known {
			return key, nil
		}
	}
	return nil, fail(http.StatusUnprocessableEntity, "webauthn_credential_exists", "The passkey is registered already")
}

func (h *Handler) finishPasskeySignIn(c *call) (any, error) {
	if h.cfg.Passkeys.Handler == nil {
		return nil, errPasskeys
	}
	claims, _, err := h.finishCeremony(c, "signin-finish", nil)
	if err != nil {
		return nil, err
	}
	return h.openedElsewhere(c, claims)
}

func (h *Handler) passkeysOf(ctx context.Context, id uuid.UUID) ([]shownPasskey, error) {
	keys, err := h.cfg.Passkeys.List(ctx, id)
	shown := make([]shownPasskey, 0, len(keys))
	for _, key := range keys {
		shown = append(shown, shownPasskey{
			ID: uuid.NewSHA1(identitySpace, []byte(providerPasskey+"\x00"+key.ID)), Name: key.Name,
			CreatedAt: key.CreatedAt.UTC(), LastUsedAt: at(key.UsedAt), subject: key.ID,
		})
	}
	return shown, err
}

func (h *Handler) passkey(ctx context.Context, owner uuid.UUID, id string) (shownPasskey, error) {
	keys, err := h.passkeysOf(ctx, owner)
	if err != nil {
		return shownPasskey{}, err
	}
	for _, key := range keys {
		if key.ID.String() == id {
			return key, nil
		}
	}
	return shownPasskey{}, errNoPasskey
}

func (h *Handler) listPasskeys(c *call) (any, error) {
	claims, err := h.owner(c)
	if err != nil {
		return nil, err
	}
	return h.passkeysOf(c.Context(), claims.UserID)
}

func (h *Handler) renamePasskey(c *call) (any, error) {
	claims, err := h.owner(c)
	if err != nil {
		return nil, err
	}
	key, err := h.passkey(c.Context(), claims.UserID, c.PathValue("id"))
	if err != nil {
		return nil, err
	}
	token, _ := bearerOf(c.Request)
	name := c.text("friendly_name")
	if err := h.visit(c.Request, token, func(w http.ResponseWriter, r *http.Request) error {
		return h.cfg.Passkeys.Rename(w, r, key.subject, name)
	}); err != nil {
		return nil, err
	}
	key.Name = name
	return key, nil
}

func (h *Handler) deletePasskey(c *call) (any, error) {
	claims, err := h.owner(c)
	if err != nil {
		return nil, err
	}
	key, err := h.passkey(c.Context(), claims.UserID, c.PathValue("id"))
	if err != nil {
		return nil, err
	}
	_, err = h.unlinked(c, claims, store.Identity{Provider: providerPasskey, Subject: key.subject})
	return nothing{}, err
}
