package ormtest

import (
	"context"
	"database/sql"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/jackc/pgx/v5"
	gormv1 "github.com/jinzhu/gorm"
	"github.com/jmoiron/sqlx"
	"github.com/uptrace/bun"
	"gorm.io/gorm"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/pgxstore"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// The hooks of docs/data-layer.md, which quotes them.

// An Account is the app's own row of a user.
type Account struct {
	bun.BaseModel `gorm:"-"`

	ID       int64  `gorm:"primaryKey" bun:",pk,autoincrement"`
	WalkinID []byte `db:"walkin_id"`
	Name     string `db:"name"`
}

func withSQL() hook {
	return func(ctx context.Context, c walkin.Change) error {
		tx, _ := sqlstore.Tx(ctx)
		_, err := tx.ExecContext(ctx, `UPDATE accounts SET name = ? WHERE walkin_id = ?`, c.Identity.Subject, c.UserID[:])
		return err
	}
}

func withSQLC(queries *Queries) hook {
	return func(ctx context.Context, c walkin.Change) error {
		tx, _ := sqlstore.Tx(ctx)
		return queries.WithTx(tx).NameAccount(ctx, NameAccountParams{Name: c.Identity.Subject, WalkinID: c.UserID[:]})
	}
}

func withSqlx(db *sqlx.DB) hook {
	return func(ctx context.Context, c walkin.Change) error {
		tx, _ := sqlstore.Tx(ctx)
		query, args, err := db.BindNamed(`UPDATE accounts SET name = :name WHERE walkin_id = :walkin_id`,
			Account{Name: c.Identity.Subject, WalkinID: c.UserID[:]})
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, query, args...)
		return err
	}
}

func withGorm(db *gorm.DB) hook {
	return func(ctx context.Context, c walkin.Change) error {
		tx, _ := sqlstore.Tx(ctx)
		db := db.Session(&gorm.Session{NewDB: true, Context: ctx, SkipDefaultTransaction: true})
		db.Statement.ConnPool = tx
		return db.Model(&Account{}).Where("walkin_id = ?", c.UserID[:]).Update("name", c.Identity.Subject).Error
	}
}

func withGormV1(dialect string) hook { // as in gormv1.Open(dialect, dsn)
	return func(ctx context.Context, c walkin.Change) error {
		tx, _ := sqlstore.Tx(ctx)
		db, err := gormv1.Open(dialect, tx)
		if err != nil {
			return err
		}
		return db.Model(&Account{}).Where("walkin_id = ?", c.UserID[:]).Update("name", c.Identity.Subject).Error
	}
}

func withBun(db *bun.DB) hook {
	return func(ctx context.Context, c walkin.Change) error {
		tx, _ := sqlstore.Tx(ctx)
		_, err := db.NewUpdate().Conn(tx).Model((*Account)(nil)).
			Set("name = ?", c.Identity.Subject).Where("walkin_id = ?", c.UserID[:]).Exec(ctx)
		return err
	}
}

// entTx is the driver of a client inside of walkin's transaction, which ends by itself:
// a transaction that ent begins for one call is that one.
type entTx struct{ *entsql.Driver }

func (d entTx) Tx(context.Context) (dialect.Tx, error) { return dialect.NopTx(d), nil }

func (d entTx) BeginTx(context.Context, *sql.TxOptions) (dialect.Tx, error) {
	return dialect.NopTx(d), nil
}

func withEnt(of string) hook { // dialect.SQLite, dialect.Postgres, dialect.MySQL
	return func(ctx context.Context, c walkin.Change) error {
		tx, _ := sqlstore.TxAs[sqlstore.Transaction](ctx)                              // pgxstore's as well
		client := newClient(entTx{entsql.NewDriver(of, entsql.Conn{ExecQuerier: tx})}) // ent.NewClient(ent.Driver(…))
		return client.nameAccount(ctx, c.Identity.Subject, c.UserID[:])
	}
}

func withPgx(queries *PgxQueries) hook { // sqlc's with sql_package: pgx/v5
	return func(ctx context.Context, c walkin.Change) error {
		tx, _ := pgxstore.Tx(ctx)
		return queries.WithTx(tx).NameAccount(ctx, c.Identity.Subject, c.UserID)
	}
}

func withCopy() hook {
	return func(ctx context.Context, c walkin.Change) error {
		tx, _ := pgxstore.Tx(ctx)
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"events"}, []string{"walkin_id", "what"},
			pgx.CopyFromRows([][]any{{c.UserID, "signed up"}, {c.UserID, c.Identity.Subject}}))
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(`UPDATE accounts SET name = $1 WHERE walkin_id = $2`, c.Identity.Subject, c.UserID)
		return tx.SendBatch(ctx, batch).Close()
	}
}
