package ormtest

import (
	"context"
	"database/sql"
	"testing"

	atlas "ariga.io/atlas/sql/schema"
	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	entschema "entgo.io/ent/dialect/sql/schema"
	"entgo.io/ent/schema/field"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// keepWalkin is for ent's Schema.Create. What refers to walkin_users stays in the app's
// tables, although ent's schema does not have it.
func keepWalkin(next entschema.Differ) entschema.Differ {
	return entschema.DiffFunc(func(current, desired *atlas.Schema) ([]atlas.Change, error) {
		for _, now := range current.Tables {
			want, ok := desired.Table(now.Name)
			for _, key := range now.ForeignKeys {
				if !ok || key.RefTable.Name != "walkin_users" {
					continue
				}
				want.AddForeignKeys(key)
				if _, ok := want.Column(key.Columns[0].Name); !ok {
					want.AddColumns(key.Columns...)
				}
				for _, index := range now.Indexes {
					if index.Parts[0].C == key.Columns[0] {
						want.AddIndexes(index)
					}
				}
			}
		}
		return next.Diff(current, desired)
	})
}

// TestEntKeepsColumn holds what docs/migrations.md says of ent: its Schema.Create drops
// walkin_id with all that is in it, and does not with the hook of the page.
func TestEntKeepsColumn(t *testing.T) {
	users := func(more ...*entschema.Column) *entschema.Table {
		id := &entschema.Column{Name: "id", Type: field.TypeInt, Increment: true}
		columns := append([]*entschema.Column{id, {Name: "name", Type: field.TypeString}}, more...)
		return &entschema.Table{Name: "users", Columns: columns, PrimaryKey: columns[:1]}
	}
	own := &entschema.Column{Name: "walkin_id", Type: field.TypeBytes, Nullable: true}
	nick := &entschema.Column{Name: "nick", Type: field.TypeString, Default: "-"}
	for name, step := range map[string]struct {
		options []entschema.MigrateOption
		table   *entschema.Table
		keeps   bool
	}{
		"as it is":             {nil, users(), false},
		"with the hook":        {[]entschema.MigrateOption{entschema.WithDiffHook(keepWalkin)}, users(), true},
		"the column in ent":    {[]entschema.MigrateOption{entschema.WithDiffHook(keepWalkin)}, users(own, nick), true},
		"hook and a new field": {[]entschema.MigrateOption{entschema.WithDiffHook(keepWalkin)}, users(nick), true},
	} {
		t.Run(name, func(t *testing.T) {
			_, db := openSQLite(t)
			create := func(table *entschema.Table, options ...entschema.MigrateOption) {
				t.Helper()
				m, err := entschema.NewMigrate(entsql.OpenDB(dialect.SQLite, db), options...)
				ok(t, err)
				ok(t, m.Create(t.Context(), table))
			}
			create(users())
			refer(t, db)
			for range 2 { // the second start, and the third
				create(step.table, step.options...)
			}
			wantKept(t, db, step.keeps)
		})
	}
}

// TestGormKeepsColumn holds that AutoMigrate of gorm keeps walkin_id where it makes the
// table again, and its index where the model has it.
func TestGormKeepsColumn(t *testing.T) {
	_, db := openSQLite(t)
	g, err := gorm.Open(sqlite.Dialector{Conn: db}, &gorm.Config{})
	ok(t, err)
	type user struct {
		ID   int64
		Name string `gorm:"not null"`
	}
	ok(t, g.Table("users").AutoMigrate(&user{}))
	refer(t, db)
	type later struct {
		ID       int64
		Name     string `gorm:"not null;default:'-';size:20"`
		WalkinID []byte `gorm:"uniqueIndex:users_walkin_id"`
	}
	for range 2 {
		ok(t, g.Table("users").AutoMigrate(&later{}))
	}
	wantKept(t, db, true)
}

// refer does what docs/users-table.md says of a table that exists already, and adds a row.
func refer(t *testing.T, db *sql.DB) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `
ALTER TABLE users ADD COLUMN walkin_id blob REFERENCES walkin_users (id) ON DELETE CASCADE;
CREATE UNIQUE INDEX users_walkin_id ON users (walkin_id);
INSERT INTO walkin_users (id, anonymous, created_at, seen_at) VALUES (x'0123456789abcdef0123456789abcdef', true, 0, 0);
INSERT INTO users (name, walkin_id) SELECT 'Ann', id FROM walkin_users;
`)
	ok(t, err)
}

func wantKept(t *testing.T, db *sql.DB, want bool) {
	t.Helper()
	count := func(query string) (n int) {
		if db.QueryRowContext(context.Background(), query).Scan(&n) != nil {
			return -1 // no such column
		}
		return n
	}
	if got := count(`SELECT count(walkin_id) FROM users`) == 1; got != want {
		t.Fatalf("kept walkin_id: got %v, want %v", got, want)
	}
	if !want {
		return
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO users (name, walkin_id) SELECT 'Bob', walkin_id FROM users`); err == nil {
		t.Error("a user may have two rows: the index is gone")
	}
	if _, err := db.ExecContext(t.Context(), `DELETE FROM walkin_users`); err != nil || count(`SELECT count(*) FROM users`) != 0 {
		t.Errorf("the row stays when its user is deleted: the foreign key is gone (%v)", err)
	}
}
