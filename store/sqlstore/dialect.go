package sqlstore

import (
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A dialect is what differs between databases.
type dialect struct {
	name       string // of its folder of migrations
	isolation  sql.IsolationLevel
	insert     string // begins an INSERT of many that passes over rows that are there
	skip       string // ends it
	unless     string // ends an INSERT of one, which passes over the row of the key $1 that is there
	unlessAny  string // ends one of many users, the last ones of which may be fillers
	forUpdate  string // locks the rows of a SELECT until the transaction ends
	skipLocked string // the same, passing over rows that are locked
	forShare   string // keeps the rows of a SELECT from being deleted until the transaction ends
	upsert     string // ends an INSERT that replaces the row of the session that is there
	readTime   string // selects the column $1, a time
	readBytes  string // selects the column $1, of bytes; see blob
	bigint     string // in a CAST
	noID       string // NULL of the type of an ID
	utc        string // the time as a column takes it
	age        string // microseconds since the column at
	standby    string // not 0 where the database is a copy that only reads
	xmin       string // up to which all transactions are over, or nothing
	feedSince  string // what of the feed is new
	feedOpen   string // what the first look reads
	now        string // asks for the server's time; empty where it is the process's own
	numbered   bool   // placeholders are $1, not ?
	nativeID   bool   // a uuid type that takes a uuid.UUID
	from       string // ends the search for users who are away, with the time it begins at once more
	noIdentity string // of the user u
	arrays     bool   // one placeholder can take many IDs
	function   bool   // it has walkin_persist, see its migrations
	persistNew string // stores one new visitor, where it has none, see Store.persistNew
	prepare    bool   // the driver prepares nothing by itself, and it pays
	lockFirst  bool   // a user is looked for before they are inserted, see insertUser

	// patience is how long those who wait to be stored wait for one transaction that
	// runs. It is longer than a quick commit takes, and no longer, since a server
	// flushes several that come during a slow one at once. And one transaction that
	// hangs must not hold up all others.
	patience time.Duration

	// time binds a time. All databases keep microseconds.
	time func(time.Time) any
}

// If this is written in any other way, PostgreSQL sorts all users.
const noIdentity = "NOT EXISTS (SELECT 1 FROM walkin_identities WHERE user_id = u.id)"

var dialects = map[Dialect]dialect{
	SQLite: {
		name: "sqlite", isolation: sql.LevelDefault, // there is one writer at a time
		noIdentity: noIdentity,
		insert:     "INSERT", skip: "ON CONFLICT DO NOTHING", unless: "ON CONFLICT DO NOTHING", unlessAny: "ON CONFLICT DO NOTHING", readTime: "$1", readBytes: "$1", prepare: true,
		upsert:     "ON CONFLICT (session_id) DO UPDATE SET",
		persistNew: "INSERT INTO walkin_persist (user_id, session_id, created_at, expires_at) VALUES (?, ?, ?, ?)",
		bigint:     "INTEGER", noID: "NULL", utc: "CAST(strftime('%s', 'now') AS INTEGER) * 1000000",
		age:     "CAST(strftime('%s', 'now') AS INTEGER) * 1000000 - at",
		standby: "0", xmin: "''", feedSince: "id > ? ORDER BY id", feedOpen: "id < 0",
		patience: 10 * time.Millisecond, // another statement only waits for the same writer
		time:     func(t time.Time) any { return t.UnixMicro() },
	},
	PostgreSQL: {
		name: "postgres", isolation: sql.LevelReadCommitted,
		noIdentity: noIdentity,
		insert:     "INSERT", skip: "ON CONFLICT DO NOTHING", unless: "ON CONFLICT DO NOTHING", unlessAny: "ON CONFLICT DO NOTHING", forUpdate: "FOR UPDATE", skipLocked: "FOR UPDATE OF u SKIP LOCKED",
		now:    "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
		bigint: "bigint", noID: "CAST(NULL AS uuid)", utc: "clock_timestamp()",
		age:     "CAST(extract(epoch FROM clock_timestamp() - at) * 1000000 AS bigint)",
		standby: "CASE WHEN pg_is_in_recovery() THEN 1 ELSE 0 END", xmin: "CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text)",
		feedSince: "x >= CAST(CAST(? AS text) AS xid8) ORDER BY x, id", feedOpen: "x >= pg_snapshot_xmin(pg_current_snapshot()) ORDER BY x, id",
		forShare: "FOR KEY SHARE", upsert: "ON CONFLICT (session_id) DO UPDATE SET",
		// As a number and as hexadecimal text: DateStyle and bytea_output, of the
		// server or the login, would change what a driver reads as text.
		readTime: "CAST(extract(epoch FROM $1) * 1000000 AS bigint)", readBytes: "encode($1, 'hex')",
		numbered: true, nativeID: true, arrays: true, function: true, patience: time.Millisecond,
		time: func(t time.Time) any { return t.UTC().Truncate(time.Microsecond) },
	},
	MySQL: {
		name: "mysql", isolation: sql.LevelReadCommitted,
		// For NOT EXISTS, MariaDB reads all identities for each batch of the sweep.
		noIdentity: "(SELECT 1 FROM walkin_identities WHERE user_id = u.id LIMIT 1) IS NULL",
		// IGNORE would cut what is too long, so nothing too long gets here.
		insert: "INSERT IGNORE", lockFirst: true,
		// IGNORE leaves a shared lock on a row that is there already. Two transactions
		// that have one deadlock as soon as they do more. The lock of this statement is
		// exclusive, and it changes nothing but what insert reads.
		unless: "ON DUPLICATE KEY UPDATE $1 = IF(LAST_INSERT_ID(1), $1, $1)",
		// Not behind an OR: MariaDB evaluates a constant there before any row.
		unlessAny: "ON DUPLICATE KEY UPDATE id = IF(VALUES(seen_at) = '" + filler.Format(mysqlTime) + "', id, IF(LAST_INSERT_ID(1), id, id))",
		forUpdate: "FOR UPDATE", skipLocked: "FOR UPDATE SKIP LOCKED", prepare: true, persistNew: "CALL walkin_persist(?, ?, ?, ?)",
		now:    "SELECT CAST(UTC_TIMESTAMP(6) AS char)",
		bigint: "signed", noID: "NULL", utc: "UTC_TIMESTAMP(6)", age: "TIMESTAMPDIFF(MICROSECOND, at, UTC_TIMESTAMP(6))",
		// The first look reads the last thousand rows, to find what is missing among
		// them.
		standby: "@@global.read_only", xmin: "''", feedSince: "id > ? ORDER BY id",
		feedOpen: "id > (SELECT MAX(id) - 1000 FROM walkin_feed) ORDER BY id",
		forShare: "LOCK IN SHARE MODE", upsert: "ON DUPLICATE KEY UPDATE", // MariaDB has no FOR SHARE
		// This follows from the pair beside it. MySQL does not see that, and would read
		// all users from the start for each batch. PostgreSQL must not have this
		// condition: without statistics, as after a restore, it would take the two
		// bounds for a narrow range, and sort all users for each batch.
		from: "AND seen_at >= ?",
		// As text both ways: a time.Time would pass through the time zone in the app's
		// DSN. There some hours come twice a year and some never.
		readTime: "CAST($1 AS char)", readBytes: "$1", patience: time.Millisecond,
		time: func(t time.Time) any { return t.UTC().Format(mysqlTime) },
	},
}

// filler is the time of a row that only fills up a statement. It is older than walkin.
var filler = time.Unix(0, 0).UTC()

const mysqlTime = "2006-01-02 15:04:05.000000"

var (
	timeColumn  = regexp.MustCompile(`{{time (\S+)}}`)
	bytesColumn = regexp.MustCompile(`{{bytes (\S+)}}`)
	unlessKey   = regexp.MustCompile(`{{unless (\S+)}}`)
)

// sql fits a query to the dialect. What stands between {{beside}} and {{end}} is a
// condition on the row that a primary key has found. PostgreSQL would otherwise take
// the index on that column where it believes that both find one row. It believes so of
// an index whose statistics are old. For a user with 20,000 sessions, each query then
// reads all of them.
func (d dialect) sql(query string) string {
	query = timeColumn.ReplaceAllString(query, d.readTime)
	query = bytesColumn.ReplaceAllString(query, d.readBytes)
	query = unlessKey.ReplaceAllString(strings.ReplaceAll(query, "{{unless any}}", d.unlessAny), d.unless)
	query = strings.NewReplacer("{{insert}}", d.insert, "{{skip}}", d.skip, "{{for update}}", d.forUpdate,
		"{{skip locked}}", d.skipLocked, "{{from}}", d.from, "{{for share}}", d.forShare, "{{no identity}}", d.noIdentity,
		"{{bigint}}", d.bigint, "{{no id}}", d.noID, "{{now}}", d.utc, "{{age at}}", d.age, "{{standby}}", d.standby, "{{xmin}}", d.xmin, "{{upsert}}", d.upsert,
		"{{beside}}", "CASE WHEN", "{{end}}", "THEN TRUE ELSE FALSE END").Replace(query)
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

// expired deletes the oldest rows of a table, from before a time. MySQL accepts no
// LIMIT in an IN. MariaDB accepts one in a table in between, but then reads the whole
// table.
func (d dialect) expired(table, key, at string) string {
	oldest := "SELECT " + key + " FROM " + table + " WHERE " + at + " < ? ORDER BY " + at + ", " + key + " LIMIT ? OFFSET ?"
	if d.name == "mysql" {
		return d.sql("DELETE one FROM " + table + " one JOIN (" + oldest + ") AS expired ON one." + key + " = expired." + key)
	}
	return d.sql("DELETE FROM " + table + " WHERE " + key + " IN (" + oldest + ")")
}

// theirTickets returns the statement that deletes a user's tickets, or sets something.
// It passes over those that another transaction is using: that one may have locked the
// ticket before its user, so waiting for it could deadlock. They expire.
func (d dialect) theirTickets(set string) string {
	theirs := "SELECT name FROM walkin_tickets u WHERE user_id = ? {{skip locked}}"
	if d.name == "mysql" { // which takes no such condition
		theirs = "walkin_tickets one JOIN (" + theirs + ") AS theirs ON one.name = theirs.name"
		if set == "" {
			return d.sql("DELETE one FROM " + theirs)
		}
		return d.sql("UPDATE " + theirs + " SET " + set)
	}
	if d.arrays { // for an array it takes the primary key, whatever the statistics say
		theirs = "= ANY(ARRAY(" + theirs + "))"
	} else {
		theirs = "IN (" + theirs + ")"
	}
	if set == "" {
		return d.sql("DELETE FROM walkin_tickets WHERE name " + theirs)
	}
	return d.sql("UPDATE walkin_tickets SET " + set + " WHERE name " + theirs)
}

// id binds a UUID.
func (d dialect) id(id uuid.UUID) any {
	if d.nativeID {
		return id
	}
	return id[:]
}

// idOrNull binds a UUID, and NULL for zero.
func (d dialect) idOrNull(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return d.id(id)
}

// A moment reads a time as any of the dialects returns it.
type moment struct{ *time.Time }

// Scan implements sql.Scanner.
func (m moment) Scan(v any) error {
	switch v := v.(type) {
	case nil: // of a session that is not there
		*m.Time = time.Time{}
	case int64:
		*m.Time = time.UnixMicro(v).UTC()
	case time.Time:
		*m.Time = v.UTC()
	case []byte:
		t, err := time.ParseInLocation(mysqlTime, string(v), time.UTC)
		if err != nil {
			return fmt.Errorf("sqlstore: a time that is none: %w", err)
		}
		*m.Time = t
	default:
		return fmt.Errorf("sqlstore: a time of type %T", v)
	}
	return nil
}

// blob returns what reads a column of bytes into b. NULL is nil.
func (d dialect) blob(b *[]byte) any {
	if d.readBytes == "$1" {
		return b
	}
	return hexadecimal{b}
}

type hexadecimal struct{ b *[]byte }

// Scan implements sql.Scanner.
func (h hexadecimal) Scan(v any) error {
	var err error
	switch v := v.(type) {
	case nil:
		*h.b = nil
	case string:
		*h.b, err = hex.DecodeString(v)
	case []byte:
		*h.b = make([]byte, hex.DecodedLen(len(v)))
		_, err = hex.Decode(*h.b, v)
	default:
		err = fmt.Errorf("sqlstore: bytes of type %T", v)
	}
	if err != nil {
		return errors.New("sqlstore: bytes that are not as they were asked for")
	}
	return nil
}
