package sqlstore

import (
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A dialect is what differs between databases.
type dialect struct {
	name       string // of its folder of migrations
	isolation  sql.IsolationLevel
	insert     string // begins an INSERT that passes over rows that are there
	skip       string // ends it
	forUpdate  string // locks the rows of a SELECT until the transaction ends
	skipLocked string // the same, passing over rows that are locked
	numbered   bool   // placeholders are $1, not ?
	nativeID   bool   // a uuid type that takes a uuid.UUID
	unixTime   bool   // times are integers of microseconds
}

var dialects = map[Dialect]dialect{
	SQLite: {
		name: "sqlite", isolation: sql.LevelDefault, // there is one writer at a time
		insert: "INSERT", skip: "ON CONFLICT DO NOTHING", unixTime: true,
	},
	PostgreSQL: {
		name: "postgres", isolation: sql.LevelReadCommitted,
		insert: "INSERT", skip: "ON CONFLICT DO NOTHING", forUpdate: "FOR UPDATE", skipLocked: "FOR UPDATE OF u SKIP LOCKED",
		numbered: true, nativeID: true,
	},
	MySQL: {
		name: "mysql", isolation: sql.LevelReadCommitted,
		insert: "INSERT IGNORE", forUpdate: "FOR UPDATE", skipLocked: "FOR UPDATE SKIP LOCKED",
	},
}

// sql fits a query to the dialect.
func (d dialect) sql(query string) string {
	query = strings.NewReplacer("{{insert}}", d.insert, "{{skip}}", d.skip, "{{for update}}", d.forUpdate,
		"{{skip locked}}", d.skipLocked).Replace(query)
	query = strings.Join(strings.Fields(query), " ")
	if !d.numbered {
		return query
	}
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(query, "?") {
		if n > 0 {
			b.WriteString("$" + strconv.Itoa(n))
		}
		b.WriteString(part)
		n++
	}
	return b.String()
}

// id binds a UUID.
func (d dialect) id(id uuid.UUID) any {
	if d.nativeID {
		return id
	}
	return id[:]
}

// time binds a time. All databases keep microseconds.
func (d dialect) time(t time.Time) any {
	if d.unixTime {
		return t.UnixMicro()
	}
	return t.UTC().Truncate(time.Microsecond)
}

// A moment reads a time as any of the dialects returns it.
type moment struct{ *time.Time }

// Scan implements sql.Scanner.
func (m moment) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*m.Time = time.Time{}
	case int64:
		*m.Time = time.UnixMicro(v).UTC()
	case time.Time:
		*m.Time = v.UTC()
	case []byte: // MySQL without parseTime
		t, err := time.ParseInLocation("2006-01-02 15:04:05.999999", string(v), time.UTC)
		if err != nil {
			return fmt.Errorf("sqlstore: a time that is none: %w", err)
		}
		*m.Time = t
	default:
		return fmt.Errorf("sqlstore: a time of type %T", v)
	}
	return nil
}
