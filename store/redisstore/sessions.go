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

	// grace is how long data lives that was saved too late: a request was on its way
	// when its session ended.
	grace = 10 * time.Minute

	// batch is how many sessions of a user end in one transaction. During it the server
	// answers no other request.
	batch = 100
)

// Sessions are the session data of scs, for walkin's LoadAndSave. Set them as the Store
// of a scs.SessionManager. They are safe for concurrent use, in any number of
// processes.
//
// The context says whose data it is, by the claims that walkin has put there. So data
// of one user is never found as another, whatever the token is. A call without claims
// is an error. Every method takes 3 seconds at most.
//
// # Keys
//
//	walkin:{user}:sessions    the user's sessions that have data, by when it expires
//	walkin:{user}:data:token  the data, as scs encodes it
//	walkin:{user}:over:token  a session that is over, for 10 minutes
//
// The user's ID in braces puts them all into one slot of a cluster. The server removes
// each key when it expires, by its own clock. Session IDs and user IDs give no access.
// Those who can read the server can read the data.
//
// # The end of a session
//
// Data is deleted when its session ends: on sign-out, and for all of a user's sessions
// where walkin ends them. A request that was on its way at that moment may save once
// more. Such data lives for 10 minutes at most, and no token leads to it.
//
// Data lives until it expires where Redis cannot know that the session ended. There are
// four such cases. Redis was down at the end of the session, which is an event of
// walkin's. A fail-over lost the end. The first thing that a session ever saved was on
// its way as another browser ended all sessions. Or a sweep deleted the user, who
// stayed away for longer than most data lives.
//
// Between the commit that ended all other sessions and the call that Redis gets, there
// is a short moment. A sign-in in that moment may lose what it has saved by then.
type Sessions struct {
	client redis.UniversalClient
	prefix string
	commit *redis.Script
}

var _ scs.CtxStore = (*Sessions)(nil)

// New checks cfg and returns session data, or one error that names every setting that
// is wrong. It
// does not contact Redis.
func New(cfg Config) (*Sessions, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Sessions{client: cfg.Client, prefix: cfg.Prefix, commit: redis.NewScript(commitLua)}, nil
}

// FindCtx returns the data that the visitor in ctx has under token. It returns false
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

// CommitCtx stores data under token until expiry, for the visitor in ctx, in place of
// what was there. An expiry that has passed deletes the data. For a session that is
// over, CommitCtx keeps the data for some minutes and returns no error.
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
// session goes on and may save again.
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

// DeleteSession deletes the data of a session that is over, if any. Data saved after it
// does not live for long. LoadAndSave calls it when a session ends.
func (s *Sessions) DeleteSession(ctx context.Context, userID, sessionID uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return s.end(ctx, userID, tokens(sessionID))
}

// DeleteSessions does the same for all sessions of a user that have data, except one.
// With uuid.Nil, it does so for all. LoadAndSave calls it when a user's other sessions
// end. If it fails, it may have deleted a part of them.
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

// Find, Commit and Delete belong to scs's interface and always fail: only a context
// says whose data it is. walkin and scs do not call them where the others exist.
func (s *Sessions) Find(string) ([]byte, bool, error) { return nil, false, errNoContext }

// Commit fails, see [Sessions.Find].
func (s *Sessions) Commit(string, []byte, time.Time) error { return errNoContext }

// Delete fails, see [Sessions.Find].
func (s *Sessions) Delete(string) error { return errNoContext }

// owner returns the user whose request it is.
func owner(ctx context.Context) (uuid.UUID, error) {
	c, ok := walkin.FromContext(ctx)
	if !ok {
		return uuid.Nil, errors.New("redisstore: the context has no visitor of walkin's, so the data has no user; use the session manager through LoadAndSave")
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

// failed says whose error it is. It adds that the context ended if it did: the client
// may report a timeout of its socket, whose timer can be the first.
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
