package walkin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/store"
)

// An issuer makes tokens: for a new user, for a new session, in place of an older one.
type issuer struct {
	*shared
	health   *storeHealth
	verifier *verifier
}

// mint makes a provisional user for the visitor. Only the visitor's browser knows of
// them until their first write.
func (is *issuer) mint(now time.Time) Claims {
	return is.bounded(is.dated(Claims{UserID: newUserID(now), SessionID: uuid.New(), Anonymous: true, Provisional: true}, now), now)
}

// newUserID returns a UUIDv7 of that moment. uuid.NewV7 runs ahead of a clock that
// was set back, and an anonymous user's ID says when their session began.
func newUserID(now time.Time) uuid.UUID {
	id := uuid.New()
	ms := now.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = 0x70 | id[6]&0x0f
	return id
}

// dated sets the token's times, to the second as the token has them.
func (is *issuer) dated(c Claims, now time.Time) Claims {
	c.IssuedAt = time.Unix(now.Unix(), 0)
	c.ExpiresAt = c.IssuedAt.Add(is.cfg.Tokens.Lifetime)
	return c
}

// bounded ends the token with its session, where Config.Sessions.Lifetime does.
func (is *issuer) bounded(c Claims, began time.Time) Claims {
	if end := began.Add(is.cfg.Sessions.Lifetime); is.cfg.Sessions.Lifetime > 0 && !began.IsZero() && end.Before(c.ExpiresAt) {
		c.ExpiresAt = time.Unix(end.Unix(), 0)
	}
	return c
}

// issue signs a cookie's token for c, with the app's claims as they are now.
func (is *issuer) issue(ctx context.Context, c Claims) (string, Claims, error) {
	app, err := is.appClaims(ctx, c)
	if err != nil {
		return "", c, err
	}
	c.App, c.database = app, is.health.databaseID()
	text, err := is.keys.Issue(c.forToken(), token.Session, is.cfg.Tokens.Audience)
	if err != nil {
		return "", c, err
	}
	if n := len(is.cookies.name(c.Anonymous)) + 1 + len(text); n > token.MaxSize {
		// A browser would drop the cookie without an error, and every later visit would
		// mint again.
		return "", c, &Refusal{Status: http.StatusInternalServerError, Reason: ReasonTokenTooLarge,
			Err: errors.New("walkin: the claims of Config.Tokens.AppClaims make the cookie too large")}
	}
	return text, c, nil
}

// appClaims returns the text of the app's claims for c.
func (is *issuer) appClaims(ctx context.Context, c Claims) (string, error) {
	if is.cfg.Tokens.AppClaims == nil {
		return "", nil
	}
	app, err := is.cfg.Tokens.AppClaims(ctx, c)
	if err != nil {
		return "", fmt.Errorf("walkin: Config.Tokens.AppClaims: %w", err)
	}
	if len(app) == 0 {
		return "", nil
	}
	for name := range app {
		if token.IsReserved(name) {
			return "", fmt.Errorf("walkin: Config.Tokens.AppClaims returned %q, which is a claim of walkin's own", name)
		}
	}
	text, err := json.Marshal(app)
	if err != nil {
		return "", fmt.Errorf("walkin: Config.Tokens.AppClaims: %w", err)
	}
	return string(text), nil
}

func (is *issuer) persist(ctx context.Context, c Claims, now time.Time) (created bool, err error) {
	return is.cfg.Store.CreateAnonymous(ctx,
		store.User{ID: c.UserID, Anonymous: true, CreatedAt: now, SeenAt: now},
		store.Session{ID: c.SessionID, UserID: c.UserID, CreatedAt: now, RenewedAt: now, ExpiresAt: c.ExpiresAt})
}

// toStore returns the visitor's claims as they will be once they are stored. It mints a
// user when there is none.
func (is *issuer) toStore(v *visit, now time.Time) Claims {
	var c Claims
	if have := v.claims.Load(); have != nil {
		c = is.bounded(is.dated(*have, now), mintedAt(*have))
	} else {
		c = is.mint(now)
	}
	c.Provisional = false
	return c
}

// give makes the token of a user who was just stored the visitor's, and returns the
// cookie for it; nil where they have what goes on.
func (is *issuer) give(v *visit, token string, c Claims, now time.Time) *http.Cookie {
	switch {
	case v.bearer && v.claims.Load() == nil:
		is.remember(v, token, c)
		is.hand(v, token, c)
		return nil
	case v.bearer:
		c.ExpiresAt = v.claims.Load().ExpiresAt // a bearer's token is not replaced
		v.claims.Store(&c)
		return nil
	}
	is.remember(v, token, c)
	if v.keepCookie {
		return nil // the token they have goes on
	}
	return is.cookies.carry(token, c, now)
}

// remember makes a token that we just issued the visitor's.
func (is *issuer) remember(v *visit, token string, c Claims) {
	v.entry = is.verifier.known(token, c, false)
	v.entry.checked.Store(time.Now().UnixNano())
	v.status, v.more().reason = live, ""
	v.claims.Store(&v.entry.claims)
}

// hand is the one way by which a token goes into a response: what issues one for a
// client without cookies leaves it here, and the handler that answers takes it from
// IssuedToken.
func (is *issuer) hand(v *visit, token string, c Claims) {
	v.more().issued = &Token{Text: token, ExpiresAt: c.ExpiresAt}
}

// writerFor wraps a response that gets cookies, now or by Ensure.
func (is *issuer) writerFor(w http.ResponseWriter, r *http.Request, v *visit, f authResult, cookies []*http.Cookie) *response.Writer {
	var p *response.Writer
	if f.status == live && cookies != nil {
		p = response.New(w)
		p.SetWhile(is.stillAlive(r, f.entry, v.entry), cookies...)
	} else {
		p = response.New(w, cookies...)
	}
	v.more().response.Store(p)
	return p
}

// stillAlive returns a function that the response calls when its header goes out, which
// may be long after the token was issued: whether the session of the token is alive.
// The visitor may have proven who they are in another tab meanwhile, or signed out; a
// cookie of the session before would then replace the newer one. Fails closed: the
// cookie they have is as good as this one. It costs one look-up for a renewal, and so
// one a day. The first write of an anonymous user was stored a moment ago, and their
// cookie can replace no permanent one.
func (is *issuer) stillAlive(r *http.Request, old, renewed *entry) func() bool {
	return func() bool {
		if is.verifier.isOver(old) {
			return false
		}
		if renewed.claims.Anonymous && time.Since(time.Unix(0, renewed.checked.Load())) < time.Second {
			return true
		}
		_, err := is.health.lookup(r.Context(), renewed.claims)
		if errors.Is(err, store.ErrNotFound) && renewed.claims.Provisional {
			return true // no write yet
		}
		if errors.Is(err, store.ErrSessionEnded) {
			is.verifier.over(renewed)
			is.verifier.over(old)
		}
		return err == nil
	}
}
