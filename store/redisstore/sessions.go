package redisstore

import (
	"context"
	"crypto/sha256"
	_ "embed" // the script
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/walkin-go/walkin"
)

//go:embed commit.lua
var commitLua string

const (
	// timeout is for one call: a Redis that hangs is a Redis that is down.
	timeout = 3 * time.Second

	// grace is how long the data lives that a request saves for a session
	// which ended while the request was on its way.
	grace = 10 * time.Minute

	// batch is how many sessions of a user end in one transaction, during
	// which the server answers nobody else.
	batch = 100
)

// Sessions are the session data of scs, for walkin's LoadAndSave: set them as the
// Store of a scs.SessionManager. They are safe for concurrent use, in any number
// of processes.
//
// Whose data it is, the context says: the claims that walkin has put there. So
// data of one user is never found as another, whatever the token; and a call
// without claims is an error. Every method takes 3 seconds at the most.
//
// # Keys
//
//	walkin:{user}:sessions    the user's sessions that have data, by when it expires
//	walkin:{user}:data:token  the data, as scs encodes it
//	walkin:{user}:over:token  a session that is over, for 10 minutes
//
// The user's ID in braces puts them all into one slot of a cluster. The server
// removes each when it expires, by its own clock. Session IDs and user IDs open
// nothing; who can read the server reads the data.
//
// # The end of a session
//
// Data goes when its session ends: on sign-out, and for all of a user's
// sessions where walkin ends them. A request that was on its way at that moment
// may save once more; such data lives for 10 minutes at the most, and no token
// leads to it. It lives until it expires where Redis cannot know: when it was
// down at the end of the session, which is an event of walkin's, when a
// fail-over lost the end, when the first thing that a session ever saved was on
// its way as another browser ended all of them, or when a sweep deleted the user,
// who stayed away for longer than most data lives.
//
// A sign-in in the very moment between the commit that ended all others and the
// call that Redis gets may lose what it has put by then.
type Sessions struct {
	client redis.UniversalClient
	prefix string
	commit *redis.Script
}

var _ scs.CtxStore = (*Sessions)(nil)

// New checks cfg and returns session data, or one error that names every
// mistake. It does not ask Redis.
func New(cfg Config) (*Sessions, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Sessions{client: cfg.Client, prefix: cfg.Prefix, commit: redis.NewScript(commitLua)}, nil
}

// FindCtx returns the data that the visitor in ctx has under token, or false
// when there is none or it has expired.
func (s *Sessions) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	user, err := owner(ctx)
	if err != nil {
		return nil, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	b, err = s.client.Get(ctx, s.data(user, token)).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, false, nil
	case err != nil:
		return nil, false, failed(ctx, err)
	}
	return b, true, nil
}

// CommitCtx keeps data under token until expiry, for the visitor in ctx, in
// place of what was there. An expiry that has passed deletes it. For a session
// that is over it keeps the data for some minutes and is no error.
func (s *Sessions) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	user, err := owner(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	keys := []string{s.data(user, token), s.sessions(user), s.over(user, token)}
	return failed(ctx, s.commit.Run(ctx, s.client, keys, token, b, expiry.UnixMilli()).Err())
}

// DeleteCtx deletes the data that the visitor in ctx has under token, if any. The
// session goes on and may save anew.
func (s *Sessions) DeleteCtx(ctx context.Context, token string) error {
	user, err := owner(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err = s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, s.data(user, token))
		p.ZRem(ctx, s.sessions(user), token)
		return nil
	})
	return failed(ctx, err)
}

// DeleteSession deletes the data of a session that is over, if any, and lets none
// live for long that is saved after it. LoadAndSave calls it when a session ends.
func (s *Sessions) DeleteSession(ctx context.Context, userID, sessionID uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return s.end(ctx, userID, tokens(sessionID))
}

// DeleteSessions does the same for all sessions of a user that have data, but
// one; with uuid.Nil, for all. LoadAndSave calls it when a user's other sessions
// end. One that fails may have done a part of it.
func (s *Sessions) DeleteSessions(ctx context.Context, userID, except uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	all, err := s.client.ZRange(ctx, s.sessions(userID), 0, -1).Result()
	if err != nil {
		return failed(ctx, err)
	}
	kept := tokens(except)
	all = slices.DeleteFunc(all, func(token string) bool { return slices.Contains(kept, token) })
	for some := range slices.Chunk(all, batch) {
		if err := s.end(ctx, userID, some); err != nil {
			return err
		}
	}
	return nil
}

// end ends sessions of a user, all of them or none.
func (s *Sessions) end(ctx context.Context, user uuid.UUID, tokens []string) error {
	_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, token := range tokens {
			p.Del(ctx, s.data(user, token))
			p.ZRem(ctx, s.sessions(user), token)
			p.Set(ctx, s.over(user, token), "", grace)
		}
		return nil
	})
	return failed(ctx, err)
}

var errNoContext = errors.New("redisstore: this method knows of no visitor; use the session manager through walkin's LoadAndSave")

// Find, Commit and Delete are of scs's interface and fail: whose data it is, only
// a context can say. Neither walkin nor scs calls them where the others are.
func (s *Sessions) Find(string) ([]byte, bool, error) { return nil, false, errNoContext }

// Commit fails, see [Sessions.Find].
func (s *Sessions) Commit(string, []byte, time.Time) error { return errNoContext }

// Delete fails, see [Sessions.Find].
func (s *Sessions) Delete(string) error { return errNoContext }

// owner returns the user whose request it is.
func owner(ctx context.Context) (uuid.UUID, error) {
	c, ok := walkin.FromContext(ctx)
	if !ok {
		return uuid.Nil, errors.New("redisstore: the context has no visitor of walkin's, so it is nobody's data; use the session manager through LoadAndSave")
	}
	return c.UserID, nil
}

// tokens returns what scs may call a session: its ID or, with HashTokenInStore,
// the ID's hash.
func tokens(session uuid.UUID) []string {
	id := session.String()
	sum := sha256.Sum256([]byte(id))
	return []string{id, base64.RawURLEncoding.EncodeToString(sum[:])}
}

// The names of the keys.

func (s *Sessions) key(user uuid.UUID, rest string) string {
	return s.prefix + "{" + user.String() + "}:" + rest
}

func (s *Sessions) sessions(user uuid.UUID) string           { return s.key(user, "sessions") }
func (s *Sessions) data(user uuid.UUID, token string) string { return s.key(user, "data:"+token) }
func (s *Sessions) over(user uuid.UUID, token string) string { return s.key(user, "over:"+token) }

// failed says whose error it is, and that the context ended when it did: the
// client may speak of a timeout of its socket, whose timer can be the first.
func failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	cause := ctx.Err()
	if deadline, ok := ctx.Deadline(); cause == nil && ok && !time.Now().Before(deadline) {
		cause = context.DeadlineExceeded
	}
	if cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("redisstore: %w: %w", cause, err)
	}
	return fmt.Errorf("redisstore: %w", err)
}
