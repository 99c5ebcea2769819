package walkin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/store"
)

const maxAccess = time.Hour // the longest life of an access token

// JWKSHandler serves the public keys as a JWKS (RFC 7517), so that PostgREST,
// Hasura or another service can verify a user's token. HMAC secrets are never in it:
// with those alone the set is empty. Config.Tokens.AnonymousKeys are not in it either.
func (m *Middleware) JWKSHandler() http.Handler { return m.jwksHandler(false) }

// AnonymousJWKSHandler is [Middleware.JWKSHandler] with Config.Tokens.AnonymousKeys. It
// is for services that anonymous users may use, and that check "is_anonymous" where
// they may not.
func (m *Middleware) AnonymousJWKSHandler() http.Handler { return m.jwksHandler(true) }

func (m *Middleware) jwksHandler(anonymous bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			m.Refuse(w, r, &Refusal{Status: http.StatusMethodNotAllowed, Reason: ReasonMethod})
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", "public, max-age=300") // a new key is out before it signs for long
		_, _ = w.Write(m.keys.JWKS(anonymous))
	})
}

// AccessToken signs a short-lived token for the visitor of ctx, for another service
// that is named by audience. It carries the claims of the cookie and lives for ttl: an
// hour at most, 5 minutes when zero. Without a user the error is store.ErrNotFound; for a
// session that has ended it is store.ErrSessionEnded. With Config.Tokens.Audience as the
// audience it is a bearer token for this app. It ends with its session where the
// session is looked up, and after ttl everywhere.
func (m *Middleware) AccessToken(ctx context.Context, audience string, ttl time.Duration) (string, error) {
	c, ok := FromContext(ctx)
	switch {
	case !ok:
		return "", store.ErrNotFound
	case c.Actor != uuid.Nil:
		return "", CheckActor(ctx)
	case audience == "":
		return "", errors.New("walkin: an access token needs an audience")
	case ttl < 0 || ttl > maxAccess:
		return "", fmt.Errorf("walkin: an access token lives %v at most, not %v", maxAccess, ttl)
	case ttl == 0:
		ttl = 5 * time.Minute
	}
	// Issuing is like a renewal: it always looks in the store, since no service that
	// verifies the token elsewhere does.
	session, err := m.health.lookup(ctx, c)
	switch {
	case errors.Is(err, store.ErrNotFound) && c.Provisional:
	case errors.Is(err, store.ErrNotFound):
		return "", store.ErrSessionEnded
	case err != nil:
		return "", err
	}
	c.IssuedAt = time.Now()
	c.ExpiresAt = c.IssuedAt.Add(ttl)
	if c = m.issuer.bounded(c, beganAt(c, session)); !c.ExpiresAt.After(c.IssuedAt) {
		return "", store.ErrSessionEnded
	}
	return m.keys.Issue(c.forToken(), token.Access, audience)
}
