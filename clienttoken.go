package walkin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/store"
)

// ProfileClaims are the claims that a token of [Middleware.ClientToken] carries beside
// walkin's own, at the top level, where policies written for Supabase look for them.
// There are no others: a role, for one, would pass every policy.
type ProfileClaims struct {
	Email string // "email": proven, or empty
	Phone string // "phone": the same

	AppMetadata  json.RawMessage // "app_metadata": a JSON object that the app wrote; nil is {}
	UserMetadata json.RawMessage // "user_metadata": a JSON object that the user wrote; nil is {}

	AAL string // "aal": the authenticator assurance level; empty is "aal1"
}

// ClientToken signs a short-lived bearer token for this app: for the session in c, with
// the profile's claims. Use it to answer a client that keeps tokens instead of cookies,
// right after [Middleware.Continue], [Middleware.Ensure] or [Middleware.Refresh]. The
// token lives for ttl, an hour at most, and ends with its session wherever the session
// is looked up.
//
// It does not check c, so c must come from walkin. A session that has ended is
// store.ErrSessionEnded. Claims that do not fit into a token are a [Refusal] with
// [ReasonTokenTooLarge].
func (m *Middleware) ClientToken(ctx context.Context, c Claims, p ProfileClaims, ttl time.Duration) (Token, error) {
	if ttl <= 0 || ttl > maxAccess {
		return Token{}, fmt.Errorf("walkin: a client's token lives %v at most, not %v", maxAccess, ttl)
	}
	session, err := m.health.lookup(ctx, c)
	if errors.Is(err, store.ErrNotFound) {
		return Token{}, store.ErrSessionEnded
	} else if err != nil {
		return Token{}, err
	}
	now := m.health.earlier(time.Now())
	c.Provisional, c.Anonymous = false, session.Anonymous
	c.IssuedAt = time.Unix(now.Unix(), 0)
	c.ExpiresAt = c.IssuedAt.Add(ttl)
	if c = m.issuer.bounded(c, session.CreatedAt); !c.ExpiresAt.After(c.IssuedAt) || now.After(session.ExpiresAt) {
		return Token{}, store.ErrSessionEnded
	}
	if c.App, err = m.issuer.appClaims(ctx, c); err != nil {
		return Token{}, err
	}
	c.database = m.health.databaseID()
	text, err := m.keys.IssueProfile(c.forToken(), token.Profile(p), m.cfg.Tokens.Audience)
	if errors.Is(err, token.ErrTooLarge) {
		err = &Refusal{Status: http.StatusUnprocessableEntity, Reason: ReasonTokenTooLarge, Err: err}
	}
	if err != nil {
		return Token{}, err
	}
	return Token{text, c.ExpiresAt}, nil
}
