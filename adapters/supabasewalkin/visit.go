package supabasewalkin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// as returns a request for walkin, without anything that a browser says by itself. The
// token alone says who it is from, so neither cookies nor an origin count. If token is
// "", the request has no user.
func (h *Handler) as(r *http.Request, token string) *http.Request {
	inner := r.Clone(r.Context())
	inner.Method, inner.Body, inner.Form, inner.PostForm = http.MethodPost, http.NoBody, nil, nil
	inner.ContentLength = 0
	for name := range inner.Header {
		switch name {
		case "User-Agent", "X-Forwarded-For", "Forwarded":
		case "Hx-Request", "X-Inertia", "Datastar-Request", "Turbo-Frame", "X-Up-Version", "X-Turbo-Request-Id":
			delete(inner.Header, name) // a handler would answer with a page, and here its refusal is needed
		default:
			// Of all other headers, only the one that names the client's address may
			// stay. Its name is the one that the app's proxy uses.
			if len(name) > 4 && name[:4] == "Sec-" || name == "Origin" || name == "Cookie" || name == "Authorization" || name == "From" || name == "Content-Type" {
				delete(inner.Header, name)
			}
		}
	}
	inner.Header.Set("Accept", "application/json") // as a client, to which no page is shown
	if inner.Header.Get("User-Agent") == "" {
		inner.Header.Set("User-Agent", "supabase-client") // some send none, and a bot verdict is for pages
	}
	if token != "" {
		inner.Header.Set("Authorization", "Bearer "+token)
	}
	return inner
}

// visit runs do as a request of the holder of a token. Its error is what the
// middleware refused, or what do returned.
func (h *Handler) visit(r *http.Request, token string, do func(w http.ResponseWriter, r *http.Request) error) error {
	return h.visitAs(&captured{header: http.Header{}}, r, token, h.wk.WithoutCookies, do)
}

// visitAs is visit behind one of the middleware's wrappers, with the answer in w.
func (h *Handler) visitAs(w *captured, r *http.Request, token string, wrap func(http.Handler) http.Handler, do func(w http.ResponseWriter, r *http.Request) error) error {
	var err error
	ran := false
	wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ran = true
		err = do(w, r)
	})).ServeHTTP(w, h.as(r, token))
	if !ran {
		return told{w.refusal}
	}
	return err
}

// user returns the claims of the caller, looked up in this call.
func (h *Handler) user(c *call) (walkin.Claims, error) {
	if c.claims != nil {
		return *c.claims, nil
	}
	token, ok := bearerOf(c.Request)
	if !ok {
		return walkin.Claims{}, fail(http.StatusUnauthorized, "no_authorization", "This endpoint requires a valid Bearer token")
	}
	if isAny(h.cfg.PublishableKeys, token) || isAny(h.cfg.SecretKeys, token) {
		return walkin.Claims{}, fail(http.StatusForbidden, "bad_jwt", "invalid claim: missing sub claim")
	}
	var claims walkin.Claims
	err := h.visit(c.Request, token, func(w http.ResponseWriter, r *http.Request) error {
		var known bool
		if claims, known = walkin.FromContext(r.Context()); known {
			return nil
		}
		w2 := &captured{header: http.Header{}}
		h.wk.RequireUser()(http.NotFoundHandler()).ServeHTTP(w2, r)
		if w2.refusal != nil && hasEnded(w2.refusal) {
			return fail(http.StatusForbidden, "session_not_found", "Session from session_id claim in JWT does not exist")
		}
		return fail(http.StatusForbidden, "bad_jwt", "invalid JWT: unable to parse or verify signature")
	})
	if err != nil {
		return walkin.Claims{}, err
	}
	profile, err := h.cfg.Profiles.Profile(c.Context(), claims.UserID)
	if err != nil {
		return walkin.Claims{}, err
	}
	if err := h.notBanned(profile); err != nil {
		return walkin.Claims{}, err
	}
	c.claims = &claims
	return claims, nil
}

func (h *Handler) notBanned(p Profile) error {
	if time.Now().Before(p.BannedUntil) {
		return fail(http.StatusForbidden, "user_banned", "User is banned")
	}
	return nil
}

// inward returns a token for the session that began a flow, for one call into walkin.
// Each token has a text of its own, since the end of a session is remembered by it.
func (h *Handler) inward(ctx context.Context, as walkin.Claims) (string, error) {
	own := json.RawMessage(`{"inward":"` + rand.Text() + `"}`)
	issued, err := h.wk.ClientToken(ctx, as, walkin.ProfileClaims{UserMetadata: own}, time.Minute)
	return issued.Text, err
}

// prove is walkin's Continue for the holder of a session, or for a request without a
// user where as is the zero Claims. It returns the new session.
func (h *Handler) prove(c *call, as walkin.Claims, p walkin.Proof) (walkin.Claims, walkin.Outcome, error) {
	token := ""
	if as.UserID != uuid.Nil {
		// A client whose user has a session asked for a change of that user, and for
		// no other user's session.
		p.Conflict = walkin.ConflictReject
		var err error
		if token, err = h.inward(c.Context(), as); err != nil {
			return walkin.Claims{}, "", err
		}
	}
	var next walkin.Claims
	var outcome walkin.Outcome
	by := c.WithContext(context.WithValue(c.Context(), methodKey{}, p.Method))
	err := h.visit(by, token, func(w http.ResponseWriter, r *http.Request) (err error) {
		if outcome, err = h.wk.Continue(w, r, p); err == nil {
			next, _ = walkin.FromContext(r.Context())
		}
		return err
	})
	return next, outcome, err
}

// allowed keeps a banned user from getting a session, and everyone from becoming a user
// where Config.NoSignUp is set, in the transaction of it.
func (h *Handler) allowed(next func(context.Context, walkin.Change) error) func(context.Context, walkin.Change) error {
	return func(ctx context.Context, change walkin.Change) error {
		profile, err := h.cfg.Profiles.Profile(ctx, change.UserID)
		if err != nil {
			return err
		}
		if time.Now().Before(profile.BannedUntil) {
			return &walkin.Refusal{Status: http.StatusBadRequest, Reason: walkin.ReasonBanned, Err: fail(http.StatusBadRequest, "user_banned", "User is banned")}
		}
		if h.cfg.NoSignUp && (change.Outcome == walkin.SignedUp || change.Outcome == walkin.Upgraded) {
			return &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: ReasonSignUpDisabled, Err: errNoSignUp}
		}
		if err := h.confirm(ctx, change, &profile); err != nil {
			return err
		}
		profile.LastSignInAt = time.Now()
		if change.Outcome == walkin.SignedUp || change.Outcome == walkin.Upgraded || change.Outcome == walkin.Linked {
			profile.UpdatedAt = profile.LastSignInAt
		}
		if err := h.cfg.Profiles.Save(ctx, profile); err != nil || next == nil {
			return err
		}
		return next(ctx, change)
	}
}

// update changes a user's profile, alone or in the transaction of ctx.
func (h *Handler) update(ctx context.Context, id uuid.UUID, change func(*Profile)) (Profile, error) {
	var profile Profile
	err := h.store.InTx(ctx, func(ctx context.Context) error {
		if _, err := h.store.LockUser(ctx, id); err != nil { // the lock
			return err
		}
		var err error
		if profile, err = h.cfg.Profiles.Profile(ctx, id); err != nil {
			return err
		}
		change(&profile)
		profile.UpdatedAt = time.Now()
		return h.cfg.Profiles.Save(ctx, profile)
	})
	if errors.Is(err, store.ErrNotFound) {
		return profile, fail(http.StatusForbidden, "user_not_found", "User from sub claim in JWT does not exist")
	}
	return profile, err
}

// confirm handles an address that an admin wrote and that was never proven. No password
// signs in by such an address. The visitor who proves it by a code is its owner, and so
// is the user who has proven another in its place. The password that came with it may be
// another's, and is deleted.
func (h *Handler) confirm(ctx context.Context, change walkin.Change, p *Profile) error {
	provider := change.Identity.Provider
	if !slices.Contains(p.Unconfirmed, provider) {
		return nil
	}
	if method(ctx) == "pwd" {
		return &walkin.Refusal{Status: http.StatusBadRequest, Reason: ReasonEmailNotConfirmed, Err: fail(http.StatusBadRequest, "email_not_confirmed", "Email not confirmed")}
	}
	p.Unconfirmed = without(p.Unconfirmed, provider)
	identities, err := h.store.Identities(ctx, change.UserID)
	if err != nil {
		return err
	}
	for _, i := range identities {
		// An address that was added just now has no password but the one chosen with it.
		isNew := change.Outcome == walkin.Linked && i.Subject == change.Identity.Subject
		if i.Provider != provider || isNew {
			continue
		}
		if err := h.store.SetSecret(ctx, i.Provider, i.Subject, nil); err != nil {
			return err
		}
	}
	return nil
}

// methodKey says in the context of a change how it was proven.
type methodKey struct{}

func method(ctx context.Context) string {
	by, _ := ctx.Value(methodKey{}).(string)
	return by
}
