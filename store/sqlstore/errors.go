package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// The drivers are the app's, so their errors are recognized by what they have in
// common: an SQLSTATE method (pgx, pq), or a text that holds the code (MySQL, SQLite).

// wrap turns a driver's error into one of walkin's that says what it means. When a
// context ends, some drivers return an error of their own. wrap then adds the context's
// error.
func wrap(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err)
	}
	return explain(ctx, fmt.Errorf("sqlstore: %w", err))
}

// explain adds to an error that comes from a database, or from a hook that asked
// it, which of walkin's errors it is. All others are returned as they are.
func explain(ctx context.Context, err error) error {
	for _, known := range []error{store.ErrNotFound, store.ErrSessionEnded, store.ErrIdentityTaken,
		store.ErrConstraint, store.ErrUnavailable} {
		if errors.Is(err, known) {
			return err
		}
	}
	if _, ok := errors.AsType[*walkin.Refusal](err); ok {
		return err
	}
	switch meaning := meaningOf(err); {
	case meaning != nil:
		return &failure{meaning, err}
	case ctx.Err() != nil:
		return &failure{store.ErrUnavailable, err}
	case errors.Is(err, sql.ErrTxDone):
		// The app ended a transaction that is not its own to end.
		return &failure{store.ErrConstraint, err}
	}
	return err
}

// A failure is a driver's error and what it means.
type failure struct{ meaning, err error }

// Error omits the value that MySQL repeats, which may be an address.
func (e *failure) Error() string {
	return duplicate.ReplaceAllString(e.err.Error(), "Duplicate entry for key")
}

func (e *failure) Unwrap() []error { return []error{e.meaning, e.err} }

var duplicate = regexp.MustCompile(`(?s)Duplicate entry '.*' for key`)

// meaningOf returns store.ErrConstraint, store.ErrUnavailable, or nil for an error
// that says neither.
func meaningOf(err error) error {
	if isElsewhere(err) {
		return nil
	}
	if state := sqlState(err); len(state) == 5 {
		return meaningOfState(state)
	}
	text := err.Error()
	if code := mysqlError.FindStringSubmatch(text); code != nil {
		switch number, state := code[1], code[2]; {
		case slices.Contains(mysqlConstraints, number):
			return store.ErrConstraint
		case slices.Contains(mysqlDown, number):
			return store.ErrUnavailable
		case len(state) == 5:
			return meaningOfState(state)
		}
		return nil
	}
	switch {
	case isCut(err), isRetryable(err), errors.Is(err, errFileBusy), containsAny(text, down):
		return store.ErrUnavailable
	case containsAny(text, refused):
		return store.ErrConstraint
	}
	return nil
}

// meaningOfState tells what an SQLSTATE means, mostly by its class.
func meaningOfState(state string) error {
	switch state {
	case "25P02", // a statement of the app's failed in the transaction, and the app went on
		"P0001", "45000", // a trigger said no
		"44000": // a view did
		return store.ErrConstraint
	case "25006", // a standby, after a fail-over
		"25P03", "25P04", // the transaction took too long
		"55P03", // a lock that was not to be had in time
		"70100": // MySQL: a statement that was killed
		return store.ErrUnavailable
	}
	switch state[:2] {
	case "22", "23", "54": // a value, a constraint, a size
		return store.ErrConstraint
	case "08", "40", "53", "57", "58": // connection, rollback, resources, an operator, the system
		return store.ErrUnavailable
	}
	return nil
}

var (
	mysqlError = regexp.MustCompile(`\bError (\d{4})(?: \((\w{5})\))?`)

	// What no SQLSTATE, or a general one, says of MySQL and MariaDB.
	mysqlConstraints = []string{"1153", "1364", "1366", "1644", "3819", "4025"}
	mysqlDown        = []string{
		"1205", "1213", // a lock, a deadlock
		"1467",                 // MariaDB says no more of a deadlock about the next number
		"1021", "1114", "1041", // disk, table and memory are full
		"1040", "1203", "1226", // too many connections
		"1290", "1836", "1792", // it only reads, after a fail-over
		"1047", "1053", "1180", "3101", // it stops, or its cluster does
		"1317", "1969", "3024", // the statement was killed, or took too long
		"1927", "2002", "2003", "2006", "2013", "2055", // the connection was
	}

	// Of SQLite, and of drivers whose errors say no code.
	refused = []string{"constraint failed", "string or blob too big", "packet for query is too large",
		"commit unexpectedly resulted in rollback"} // by pgx, of an error that the app passed over
	down = []string{
		"invalid connection", "bad connection", "conn closed", "database is closed", "broken pipe", "connection reset by peer",
		"disk I/O error", "database or disk is full", "attempt to write a readonly database", "unable to open database file",
	}
)

func containsAny(text string, parts []string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}

// isElsewhere reports whether an error comes from a request to another site, by a hook.
// Such an error does not concern the database, whatever its words are.
func isElsewhere(err error) bool {
	_, ok := errors.AsType[*url.Error](err)
	return ok
}

// isCut reports whether a connection to the database ended.
func isCut(err error) bool {
	return isNetwork(err) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
}

// isNetwork reports whether a connection failed. It may be one of a hook's own.
func isNetwork(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok && !errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	for _, cut := range []error{io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNREFUSED} {
		if errors.Is(err, cut) {
			return true
		}
	}
	return false
}

// isRetryable reports whether the database asks for the transaction again.
func isRetryable(err error) bool {
	if state := sqlState(err); state != "" {
		return state == "40001" || state == "40P01"
	}
	return !isElsewhere(err) && !errors.Is(err, errFileBusy) && containsAny(err.Error(), []string{
		"Error 1213", "Error 1205", "Error 1467", // MySQL: deadlock, lock wait timeout, both for the next number
		"database is locked", "database table is locked", // SQLite: busy, locked
	})
}

// isNoFunction reports whether PostgreSQL has no such function, or not for this user.
// An operator who made the tables by hand, or who revokes the rights of PUBLIC, may
// have left it out.
func isNoFunction(err error) bool {
	state := sqlState(err)
	return state == "42883" || state == "42501"
}

// sqlState returns PostgreSQL's code of an error, or nothing.
func sqlState(err error) string {
	pg, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	if !ok {
		return ""
	}
	return pg.SQLState()
}
