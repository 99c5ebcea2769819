package walkin

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// A refresh token names its user, its session and a counter, and has a MAC over them.
// The store has one ticket for each session, with the counter of the current token. So
// a refresh is one write, there is no table of used tokens, and reading the store does
// not suffice to make a token.

// reuseFor is how long a refresh token that was exchanged gets the same new token
// again: several tabs refresh at once, and each of them must go on.
const reuseFor = 10 * time.Second

// A refreshing is what the ticket of a session holds.
type refreshing struct {
	Counter  uint64    `json:"counter"` // of the token that is good now
	Used     []used    `json:"used,omitempty"`
	Method   string    `json:"method,omitempty"`
	ProvenAt time.Time `json:"proven_at,omitzero"`
	Once     *onceMore `json:"once,omitempty"`
}

// A used token was exchanged a moment ago.
type used struct {
	Counter uint64    `json:"counter"`
	At      time.Time `json:"at"`
}

// A onceMore is the session for which the token of an ended one is good once.
type onceMore struct {
	SessionID uuid.UUID `json:"session_id"`
	Until     time.Time `json:"until"`
	Spent     bool      `json:"spent,omitempty"`
}

func refreshKey(session uuid.UUID) string { return "refresh:" + session.String() }

// StartRefresh returns the first refresh token of the session in c, for
// [Middleware.Refresh]. Call it once per session, right after [Middleware.Continue] or
// [Middleware.Ensure] has opened it.
func (m *Middleware) StartRefresh(ctx context.Context, c Claims) (string, error) {
	state := refreshing{Method: c.Method, ProvenAt: c.ProvenAt}
	if err := m.refresher.putRefreshing(ctx, c, state); err != nil {
		return "", err
	}
	return m.refresher.token(c.UserID, c.SessionID, 0)
}

// Refresh exchanges a refresh token for the current claims of its session and the next
// refresh token. A token can be used once. Within 10 seconds a second use, as by a
// second tab, gets the same next token. A later use means that two clients hold the
// token: the session ends for both, and OnEvent gets Refused with reason
// refresh_token_reused.
//
// The error is store.ErrNotFound if the token is not one of ours, and store.ErrSessionEnded if its
// session has ended. It wraps ErrRedeemed if the token was used. Otherwise the store
// failed.
func (m *Middleware) Refresh(r *http.Request, token string) (Claims, string, error) {
	user, session, counter, ok := m.refresher.readToken(token)
	if !ok {
		return Claims{}, "", store.ErrNotFound
	}
	m.health.prepare(r.Context())
	now := m.health.earlier(time.Now())
	var c Claims
	var answer error
	err := m.cfg.Store.InTx(r.Context(), func(ctx context.Context) error {
		c, answer = Claims{UserID: user, SessionID: session}, nil
		// The lock: of two tabs the second sees what the first did.
		if _, err := m.cfg.Store.LockUser(ctx, user); errors.Is(err, store.ErrNotFound) {
			answer = store.ErrSessionEnded
			return nil
		} else if err != nil {
			return err
		}
		var err error
		c, counter, answer, err = m.refresher.rotate(ctx, c, counter, now)
		return err
	})
	if err != nil {
		return Claims{}, "", err
	}
	if errors.Is(answer, ErrRedeemed) {
		m.data.deleteSessionData(r.Context(), c)
		m.emit(r, Event{Outcome: Refused, Reason: ReasonRefreshTokenReused, UserID: c.UserID, SessionID: c.SessionID})
		m.emit(r, Event{Outcome: SignedOut, Reason: ReasonRefreshTokenReused, UserID: c.UserID, SessionID: c.SessionID})
	}
	if answer != nil {
		return c, "", answer
	}
	next, err := m.refresher.token(c.UserID, c.SessionID, counter)
	return c, next, err
}

// rotate decides about one token, in the transaction of ctx, with the user locked. It
// returns the session that goes on, or with ErrRedeemed the one that it has ended.
func (rf *refresher) rotate(ctx context.Context, c Claims, counter uint64, now time.Time) (Claims, uint64, error, error) {
	ticket, err := rf.cfg.Store.Ticket(ctx, refreshKey(c.SessionID), now)
	if errors.Is(err, store.ErrNotFound) {
		return c, 0, store.ErrSessionEnded, nil
	} else if err != nil {
		return c, 0, nil, err
	}
	var state refreshing
	if err := json.Unmarshal(ticket.Data, &state); err != nil {
		return c, 0, nil, err
	}
	session, err := rf.cfg.Store.LookupSession(ctx, c.UserID, c.SessionID)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrSessionEnded):
		return rf.onceMore(ctx, c, counter, state, ticket, now)
	case err != nil:
		return c, 0, nil, err
	case rf.verifier.outlived(session.CreatedAt, now), now.After(session.ExpiresAt.Add(leeway)):
		return c, 0, store.ErrSessionEnded, nil
	}
	if counter < state.Counter {
		if !wasUsed(state.Used, counter, now) {
			// Two clients hold it, and which of them is the owner's cannot be told:
			// fails closed, for both.
			return c, 0, ErrRedeemed, rf.cfg.Store.DeleteSession(ctx, c.UserID, c.SessionID)
		}
		c = rf.refreshed(c, session, state, now)
		return c, state.Counter, nil, nil
	}
	// A counter above the stored one is of a store that was restored from a backup:
	// the token is ours, and newer than what the store remembers.
	state.Used = append(recent(state.Used, now), used{counter, now})
	state.Counter = counter + 1
	c = rf.refreshed(c, session, state, now)
	if now.Sub(session.RenewedAt) >= rf.cfg.Tokens.RenewAfter-time.Second {
		session.RenewedAt, session.ExpiresAt = now, c.ExpiresAt
		if err := rf.cfg.Store.RenewSession(ctx, session); err != nil {
			return c, 0, nil, err
		}
	}
	return c, state.Counter, nil, rf.putRefreshing(ctx, c, state)
}

// refreshed returns the claims of a session that goes on.
func (rf *refresher) refreshed(c Claims, session store.Session, state refreshing, now time.Time) Claims {
	c.Anonymous = session.Anonymous
	if !c.Anonymous {
		c.Method, c.ProvenAt = state.Method, state.ProvenAt
	}
	return rf.issuer.bounded(rf.issuer.dated(c, now), session.CreatedAt)
}

func recent(all []used, now time.Time) []used {
	var kept []used
	for _, u := range all {
		if now.Sub(u.At) <= reuseFor {
			kept = append(kept, u)
		}
	}
	return kept[max(0, len(kept)-16):]
}

func wasUsed(all []used, counter uint64, now time.Time) bool {
	for _, u := range recent(all, now) {
		if u.Counter == counter {
			return true
		}
	}
	return false
}

// RefreshOnceMore lets the refresh token of a session that has just ended be exchanged
// once more, until then, for the session that took its place. It is for a client whose
// request changed its identity and whose response has no room for tokens. It returns
// store.ErrNotFound if the old session had no refresh token.
//
// It opens a window: another client that holds the old token may be faster. Then the
// client's own try is the second, which ends the session for both and is an event, as
// every reuse in [Middleware.Refresh].
func (m *Middleware) RefreshOnceMore(ctx context.Context, old, next Claims, until time.Time) error {
	return m.cfg.Store.InTx(ctx, func(ctx context.Context) error {
		if _, err := m.cfg.Store.LockUser(ctx, old.UserID); err != nil {
			return err
		}
		ticket, err := m.cfg.Store.Ticket(ctx, refreshKey(old.SessionID), time.Now())
		if err != nil {
			return err
		}
		var state refreshing
		if err := json.Unmarshal(ticket.Data, &state); err != nil {
			return err
		}
		state.Once = &onceMore{SessionID: next.SessionID, Until: until}
		if err := m.refresher.putTicket(ctx, refreshKey(old.SessionID), old.UserID, state, until.Add(m.cfg.Tokens.Lifetime)); err != nil {
			return err
		}
		return m.refresher.putRefreshing(ctx, next, refreshing{Method: next.Method, ProvenAt: next.ProvenAt})
	})
}

// onceMore decides about a token whose session has ended. A second try ends the session
// that the first one got, however late it comes.
func (rf *refresher) onceMore(ctx context.Context, c Claims, counter uint64, state refreshing, ticket store.Ticket, now time.Time) (Claims, uint64, error, error) {
	if state.Once == nil || counter != state.Counter {
		return c, 0, store.ErrSessionEnded, nil
	}
	next := c
	next.SessionID = state.Once.SessionID
	session, err := rf.cfg.Store.LookupSession(ctx, next.UserID, next.SessionID)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrSessionEnded):
		return c, 0, store.ErrSessionEnded, nil
	case err != nil:
		return c, 0, nil, err
	case state.Once.Spent:
		return next, 0, ErrRedeemed, rf.cfg.Store.DeleteSession(ctx, next.UserID, next.SessionID)
	case now.After(state.Once.Until):
		return c, 0, store.ErrSessionEnded, nil
	}
	state.Once.Spent = true
	if err := rf.putTicket(ctx, ticket.Key, next.UserID, state, ticket.ExpiresAt); err != nil {
		return c, 0, nil, err
	}
	kept, err := rf.cfg.Store.Ticket(ctx, refreshKey(next.SessionID), now)
	if err != nil {
		return c, 0, nil, err
	}
	var own refreshing
	if err := json.Unmarshal(kept.Data, &own); err != nil {
		return c, 0, nil, err
	}
	return rf.refreshed(next, session, own, now), own.Counter, nil, nil
}

func (rf *refresher) putRefreshing(ctx context.Context, c Claims, state refreshing) error {
	return rf.putTicket(ctx, refreshKey(c.SessionID), c.UserID, state, c.ExpiresAt.Add(leeway))
}

func (rf *refresher) putTicket(ctx context.Context, key string, user uuid.UUID, data any, until time.Time) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return rf.cfg.Store.PutTicket(ctx, store.Ticket{Key: key, Data: text, ExpiresAt: until, UserID: user})
}

// The token: 16 bytes of user, 16 of session, 8 of counter, 16 of MAC, in base64url.
const refreshLength = 16 + 16 + 8 + 16

// A refresher makes refresh tokens, and exchanges them. It has the keys of their MACs
// once they are needed.
type refresher struct {
	*parts
	once   sync.Once
	keys   [][]byte
	keyErr error
}

func (rf *refresher) macKeys() ([][]byte, error) {
	rf.once.Do(func() { rf.keys, rf.keyErr = rf.deriveKeys("walkin refresh") })
	return rf.keys, rf.keyErr
}

func (rf *refresher) token(user, session uuid.UUID, counter uint64) (string, error) {
	keys, err := rf.macKeys()
	if err != nil {
		return "", err
	}
	b := binary.BigEndian.AppendUint64(append(user[:], session[:]...), counter)
	return base64.RawURLEncoding.EncodeToString(append(b, refreshMAC(keys[0], b)...)), nil
}

func (rf *refresher) readToken(token string) (user, session uuid.UUID, counter uint64, ok bool) {
	keys, err := rf.macKeys()
	if err != nil || len(token) != base64.RawURLEncoding.EncodedLen(refreshLength) {
		return user, session, 0, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != refreshLength { // it passes over line breaks
		return user, session, 0, false
	}
	body, mac := b[:40], b[40:]
	for _, key := range keys {
		if hmac.Equal(mac, refreshMAC(key, body)) {
			ok = true
		}
	}
	copy(user[:], body)
	copy(session[:], body[16:])
	return user, session, binary.BigEndian.Uint64(body[32:]), ok && !bytes.Equal(user[:], uuid.Nil[:])
}

func refreshMAC(key, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return mac.Sum(nil)[:16]
}
