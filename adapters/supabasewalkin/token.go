package supabasewalkin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

func bodyOf(text string) (io.ReadCloser, int64) {
	return io.NopCloser(strings.NewReader(text)), int64(len(text))
}

// token is POST /token.
func (h *Handler) token(c *call) (any, error) {
	switch c.URL.Query().Get("grant_type") {
	case "password":
		return h.signInByPassword(c)
	case "refresh_token":
		return h.refresh(c)
	case "pkce":
		return h.exchange(c)
	case "id_token":
		return h.signInByIDToken(c)
	case "web3":
		return nil, fail(http.StatusUnprocessableEntity, "web3_provider_disabled", "Web3 provider is disabled")
	}
	return nil, fail(http.StatusBadRequest, "invalid_credentials", "unsupported_grant_type")
}

// signedIn is the answer of the password grant, which has one member more.
type signedIn struct {
	session
	WeakPassword any `json:"weak_password"`
}

var errCredentials = fail(http.StatusBadRequest, "invalid_credentials", "Invalid login credentials")

func (h *Handler) signInByPassword(c *call) (any, error) {
	provider, address, err := c.address()
	if errors.Is(err, errBoth) || errors.Is(err, errNeither) {
		return nil, err
	} else if err != nil {
		return nil, errCredentials
	}
	passwords, err := h.passwords(address)
	if err != nil {
		return nil, err
	}
	proof, err := passwords.SignIn(h.passwordForm(c, address, c.text("password")))
	if err == nil && proof.Provider != provider {
		err = errors.New("walkin: supabasewalkin: Config.Passwords signs in to other identities than addresses; set Proven")
	}
	if refusal, ok := errors.AsType[*walkin.Refusal](err); ok && refusal.Status < 429 {
		h.wk.Refuse(&captured{header: http.Header{}}, c.Request, err)
		return nil, errCredentials
	} else if err != nil {
		return nil, err
	}
	proof.Device = false
	proof.Applied = h.allowed(nil)
	claims, _, err := h.prove(c, walkin.Claims{}, proof)
	if err != nil {
		return nil, err
	}
	opened, err := h.opened(c, claims)
	return signedIn{session: opened}, err
}

func (h *Handler) refresh(c *call) (any, error) {
	claims, next, err := h.wk.Refresh(c.Request, c.text("refresh_token"))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, fail(http.StatusBadRequest, "validation_failed", "Refresh token is not valid")
	case errors.Is(err, store.ErrSessionEnded):
		return nil, fail(http.StatusBadRequest, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
	case errors.Is(err, walkin.ErrRedeemed):
		return nil, fail(http.StatusBadRequest, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
	case err != nil:
		return nil, err
	}
	profile, err := h.cfg.Profiles.Profile(c.Context(), claims.UserID)
	if err != nil {
		return nil, err
	}
	if err := h.notBanned(profile); err != nil {
		return nil, fail(http.StatusBadRequest, "user_banned", "User is banned")
	}
	answer, err := h.tokens(c, claims, next)
	if errors.Is(err, store.ErrSessionEnded) {
		return nil, fail(http.StatusBadRequest, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
	}
	return answer, err
}

// A flow is what the code of a redirect leads to, for the client that knows the
// verifier. What was proven on the way is applied only then. So a link that is opened
// elsewhere, or in another's browser, changes nothing.
type flow struct {
	Challenge string `json:"challenge"`
	Token     string `json:"token,omitempty"` // of a mailed link
	State     string `json:"state,omitempty"` // of a provider's answer
	Query     string `json:"query,omitempty"` // and the answer
}

var errFlow = fail(http.StatusNotFound, "flow_state_not_found", "invalid flow state, no valid flow state found")

func flowKey(code string) string { return hashed("supabase-flow:", code) }

func (h *Handler) exchange(c *call) (any, error) {
	code, verifier := c.text("auth_code"), c.text("code_verifier")
	if code == "" || verifier == "" {
		return nil, fail(http.StatusBadRequest, "validation_failed", "invalid request: both auth code and code verifier should be non-empty")
	}
	// It is deleted, whether the verifier is right or wrong: a code has one use and no
	// second guess.
	ticket, err := h.store.TakeTicket(c.Context(), flowKey(code), time.Now())
	if errors.Is(err, store.ErrNotFound) {
		return nil, errFlow
	} else if err != nil {
		return nil, err
	}
	var f flow
	if err := json.Unmarshal(ticket.Data, &f); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(verifier))
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(f.Challenge)) != 1 {
		return nil, fail(http.StatusBadRequest, "bad_code_verifier", "code challenge does not match previously saved code verifier")
	}
	if f.State != "" {
		return h.completeProvider(c, f)
	}
	p, err := h.byLink(c.Context(), f.Token)
	if err != nil {
		return nil, err
	}
	return h.complete(c, p)
}

// complete does what a pending leads to, for the client that brought its code, or its
// link and the verifier.
func (h *Handler) complete(c *call, p pending) (any, error) {
	if p.Target != uuid.Nil {
		return h.completeByAdmin(c, p)
	}
	if p.As != nil && p.Browser != "" && h.cookie(c.Request) != "" && !h.isBound(c, p.Browser) {
		// Another browser's change of address, whose message went to the same mailbox:
		// the one who types its code here means their own.
		return nil, errExpired
	}
	as, proof, applied, err := h.completion(c, p)
	if err != nil {
		return nil, err
	}
	proof.Redeem = h.spend(p)
	proof.Applied = h.allowed(applied)
	claims, _, err := h.prove(c, as, proof)
	switch {
	case errors.Is(err, store.ErrIdentityTaken):
		return nil, fail(http.StatusUnprocessableEntity, proof.Provider+"_exists", "A user with this address has already been registered")
	case hasEnded(err):
		// Who asked for the change has signed out since, or clicked twice. It is not the
		// session of the caller that ended, which their client would forget.
		return nil, errExpired
	case err != nil:
		return nil, err
	}
	return h.opened(c, claims)
}

// completeByAdmin is for a change of address that an admin began. The link to the old
// address is the first half, and changes nothing. The link to the new address proves
// that address.
func (h *Handler) completeByAdmin(c *call, p pending) (any, error) {
	if p.Kind == "email_change_current" {
		return map[string]string{"msg": "Confirmation link accepted. Please proceed to confirm link sent to the other email", "code": "200"}, nil
	}
	err := h.store.InTx(c.Context(), func(ctx context.Context) error {
		if _, err := h.store.LockUser(ctx, p.Target); err != nil {
			return err
		}
		if err := h.spend(p)(ctx); err != nil {
			return err
		}
		return h.grant(ctx, p.Target, wish{email: p.Address, confirmEmail: true}, time.Now())
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, errExpired
	} else if err != nil {
		return nil, err
	}
	claims, _, err := h.prove(c, walkin.Claims{}, walkin.Proof{Provider: byEmail, Subject: p.Address, Method: "otp", Applied: h.allowed(nil)})
	if err != nil {
		return nil, err
	}
	return h.opened(c, claims)
}

// completion returns the session that goes on, and what it proves.
func (h *Handler) completion(c *call, p pending) (as walkin.Claims, proof walkin.Proof, applied func(context.Context, walkin.Change) error, err error) {
	proof = walkin.Proof{Provider: byEmail, Subject: p.Address, Method: "otp", Secret: p.Secret}
	switch p.Kind {
	case "sms":
		proof.Provider = byPhone
	case "phone_change":
		proof.Provider = byPhone
		fallthrough
	case "email_change":
		if p.As == nil {
			return as, proof, nil, errExpired
		}
		as = *p.As
	}
	applied = func(ctx context.Context, change walkin.Change) error {
		if change.Outcome == walkin.Linked {
			if err := h.replaceAddress(ctx, change); err != nil {
				return err
			}
		}
		profile, err := h.cfg.Profiles.Profile(ctx, change.UserID)
		if err != nil {
			return err
		}
		if change.Outcome == walkin.SignedUp {
			profile.UserMetadata = merge(profile.UserMetadata, h.described(change.UserID, proof.Provider, p.Address, p.Metadata))
		}
		if proof.Provider == byEmail {
			profile.NewEmail = ""
		} else {
			profile.NewPhone = ""
		}
		return h.cfg.Profiles.Save(ctx, profile)
	}
	return as, proof, applied, nil
}

// replaceAddress removes the address that a new one replaces, and gives the new one the
// user's password. To these clients, a user has one address of a kind and one password.
func (h *Handler) replaceAddress(ctx context.Context, change walkin.Change) error {
	identities, err := h.store.Identities(ctx, change.UserID)
	if err != nil {
		return err
	}
	profile, err := h.cfg.Profiles.Profile(ctx, change.UserID)
	if err != nil {
		return err
	}
	for _, old := range identities {
		isSame := old.Provider == change.Identity.Provider
		if old.Provider != byEmail && old.Provider != byPhone || isSame && old.Subject == change.Identity.Subject {
			continue
		}
		// The password of an address that was never proven may be another's: it does not
		// spread to one that was. See confirm.
		if len(old.Secret) > 0 && (isSame || !slices.Contains(profile.Unconfirmed, old.Provider)) {
			if err := h.store.SetSecret(ctx, change.Identity.Provider, change.Identity.Subject, old.Secret); err != nil {
				return err
			}
		}
		if !isSame {
			continue
		}
		if err := h.store.DeleteIdentity(ctx, change.UserID, old.Provider, old.Subject); err != nil {
			return err
		}
	}
	return nil
}
