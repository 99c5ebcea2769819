package pgxstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/walkin-go/walkin/store"
)

// Feed is that of package sqlstore, and listens for the database's NOTIFY: see
// [store.Feed]. It does so on a connection of its own, outside of the pool, which may
// have one only. It opens none where the pool's DefaultQueryExecMode is not pgx's
// default: that is how an app says that a pooler is in between, through which no LISTEN
// works. Then, and while the connection is broken, the feed is read once a second.
func (s *Store) Feed(ctx context.Context) (store.Feed, error) {
	inner, err := s.Store.Feed(ctx)
	if err != nil || s.pool.Config().ConnConfig.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement {
		return inner, err
	}
	return &feed{Feed: inner, pool: s.pool}, nil
}

type feed struct {
	store.Feed
	pool *pgxpool.Pool
	conn *pgx.Conn // of Wait alone
}

const (
	connectTime = 10 * time.Second
	closeTime   = time.Second
)

// Wait implements what [store.Feed] says.
func (f *feed) Wait(ctx context.Context) error {
	err := f.wait(ctx)
	if err == nil {
		return nil
	}
	if f.conn != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		_ = f.conn.Close(ctx) // also of one that hangs
		f.conn = nil
	}
	return fmt.Errorf("pgxstore: listening: %w", err)
}

func (f *feed) wait(ctx context.Context) (err error) {
	if f.conn != nil {
		_, err = f.conn.WaitForNotification(ctx)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	cfg := f.pool.Config()
	if cfg.BeforeConnect != nil { // which may know today's password
		if err := cfg.BeforeConnect(ctx, cfg.ConnConfig); err != nil {
			return err
		}
	}
	if f.conn, err = pgx.ConnectConfig(ctx, cfg.ConnConfig); err != nil {
		f.conn = nil
		return err
	}
	_, err = f.conn.Exec(ctx, "LISTEN walkin_feed")
	return err // without one: what came before is to be read
}
