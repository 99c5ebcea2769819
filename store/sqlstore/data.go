package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

// Sessions returns a store for the scs.SessionManager that is given to
// walkin.Middleware.LoadAndSave. Its rows are in walkin_session_data and belong to the
// sessions of s. They are deleted with a session that ends, and with a user who is
// deleted or swept. The sweep deletes what has expired.
//
// It takes part in the transactions of s. An upgrade moves the data to the user's new
// session. A merge moves the anonymous user's data to the owner's new session. Both
// happen with everything else or not at all. A change that fails leaves the data where
// it was.
//
// A session may have ended meanwhile, on another replica for example. What it then
// saves is dropped, which is not an error. No more than 16 MB fit on MySQL.
//
// Its keys are session IDs, so it works under LoadAndSave alone, and with
// HashTokenInStore off. Everything else is an error. Hashing would gain nothing here: a
// session ID is not a token and gives no access.
func (s *Store) Sessions() scs.CtxStore { return sessions{s} }

type sessions struct{ s *Store }

var errKey = fmt.Errorf("sqlstore: session data has a key that is no session ID: "+
	"Store.Sessions works under walkin's LoadAndSave, with SessionManager.HashTokenInStore off: %w", store.ErrConstraint)

// sessionID reads a key, which is not repeated in the error.
func sessionID(key string) (uuid.UUID, error) {
	id, err := uuid.Parse(key)
	if err != nil || id.String() != key {
		return uuid.Nil, errKey
	}
	return id, nil
}

// FindCtx implements scs.CtxStore. Data that has expired is not found.
func (d sessions) FindCtx(ctx context.Context, key string) (data []byte, found bool, err error) {
	id, err := sessionID(key)
	if err != nil {
		return nil, false, err
	}
	s := d.s
	row, err := s.queryPrepared(ctx, &s.findData, s.dialect.id(id), s.dialect.time(time.Now()))
	if err != nil {
		return nil, false, wrap(ctx, err)
	}
	err = row.Scan(s.dialect.blob(&data))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, false, nil
	case err != nil:
		return nil, false, wrap(ctx, err)
	}
	return data, true, nil
}

// CommitCtx implements scs.CtxStore. The statement locks the session. While another
// transaction is ending that session, this one waits and then finds no session. With
// the foreign key alone that would be an error.
func (d sessions) CommitCtx(ctx context.Context, key string, data []byte, expiry time.Time) error {
	id, err := sessionID(key)
	if err != nil {
		return err
	}
	if data == nil {
		data = []byte{} // not NULL
	}
	s := d.s
	at := s.dialect.time(expiry)
	_, err = s.exec(ctx, s.q.saveData, data, at, s.dialect.id(id), data, at)
	return err
}

// DeleteCtx implements scs.CtxStore.
func (d sessions) DeleteCtx(ctx context.Context, key string) error {
	id, err := sessionID(key)
	if err != nil {
		return err
	}
	_, err = d.s.exec(ctx, d.s.q.deleteData, d.s.dialect.id(id))
	return err
}

// The methods of scs.Store, which know no context and so no transaction.
// LoadAndSave does not call them.

func (d sessions) Find(key string) ([]byte, bool, error) {
	return d.FindCtx(context.Background(), key)
}

func (d sessions) Commit(key string, data []byte, expiry time.Time) error {
	return d.CommitCtx(context.Background(), key, data, expiry)
}

func (d sessions) Delete(key string) error { return d.DeleteCtx(context.Background(), key) }
