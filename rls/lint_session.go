package rls

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A session evaluates expressions in one transaction. Every statement that may fail is
// in a savepoint. A rollback to it also releases the locks, which tell what was read.
type session struct {
	tx         *sql.Tx
	prepared   bool
	from, expr string // what is prepared
	slow       bool   // it met the time-out
}

// What became of one row.
const (
	passes  = '1'
	fails   = '0'
	refused = 'd' // an error by which the visitor's statement fails
	errs    = 'e'
)

// A setup is who asks, in which circumstances.
type setup struct {
	role     string
	claims   string
	settings map[string]string
}

// within runs fn and takes it back, to the savepoint of the beginning.
func (s *session) within(ctx context.Context, fn func() error) error {
	err := fn()
	if _, back := s.tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT walkin_lint`); back != nil {
		return errors.Join(err, back)
	}
	return err
}

// prepare makes ready to evaluate expr on the rows of from. PostgreSQL resolves
// the names now, with the rights of the linter's login, as it resolved a
// policy's when that was made; the rights of the visitor count when it runs.
func (s *session) prepare(ctx context.Context, from, expr string) error {
	return s.within(ctx, func() error {
		if s.prepared {
			if _, err := s.tx.ExecContext(ctx, `DEALLOCATE "walkin lint"`); err != nil {
				return err
			}
			s.prepared = false
		}
		// The parameter has each execution planned again, so that no claim is
		// folded into a plan.
		_, err := s.tx.ExecContext(ctx, `PREPARE "walkin lint" (text) AS SELECT string_agg(CASE WHEN (`+expr+
			`) THEN '1' ELSE '0' END, '' ORDER BY "walkin i") FROM `+from+` WHERE $1 = ''`)
		s.prepared, s.from, s.expr, s.slow = err == nil, from, expr, false
		return err
	})
}

// each evaluates the prepared expression so that a row that fails does not make the
// others fail. It takes many rows at once while that works, then fewer.
const each = `DO $walkin$ DECLARE
	all_rows jsonb := current_setting('walkin.rows'); total int := jsonb_array_length(all_rows);
	at int := 0; step int := 64; part text; result text := '';
BEGIN
	WHILE at < total LOOP
		BEGIN
			PERFORM set_config('walkin.rows', jsonb_path_query_array(all_rows, '$[$from to $to]', jsonb_build_object('from', at, 'to', at + step - 1))::text, true);
			EXECUTE 'EXECUTE "walkin lint" ('''')' INTO part;
			result := result || part;
			at := at + step;
			step := step * 2;
		EXCEPTION WHEN OTHERS THEN
			IF step > 1 THEN
				step := step / 2;
				CONTINUE;
			END IF;
			-- No right, recursion without end, RAISE: the visitor is refused.
			result := result || CASE WHEN SQLSTATE IN ('42501', '42P17', 'P0001') THEN 'd' ELSE 'e' END;
			at := at + 1;
		END;
	END LOOP;
	PERFORM set_config('walkin.result', result, true);
END $walkin$`

// run returns the result for each row, and the relations that were read on the way:
// those on which the transaction has a lock now. It fails only when the database is
// gone.
func (s *session) run(ctx context.Context, rows string, as setup) (states []byte, reads []int64, err error) {
	count := strings.Count(rows, "\n") + 1
	read := func(run func() (string, error)) error {
		return s.within(ctx, func() error {
			if err := s.become(ctx, rows, as); err != nil {
				return err
			}
			text, err := run()
			if err != nil {
				return err
			}
			states = []byte(text)
			var oids []byte
			err = s.tx.QueryRowContext(ctx, `SELECT coalesce(json_agg(DISTINCT l.relation::bigint), '[]') FROM pg_locks l
				JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.oid >= 16384
				WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'`).Scan(&oids)
			if err != nil {
				return err
			}
			return json.Unmarshal(oids, &reads)
		})
	}
	err = read(func() (text string, err error) {
		err = s.tx.QueryRowContext(ctx, `EXECUTE "walkin lint" ('')`).Scan(&text)
		return text, err
	})
	if code := sqlState(err); code != "" && code != "57014" {
		err = read(func() (text string, err error) {
			if _, err = s.tx.ExecContext(ctx, each); err == nil {
				err = s.tx.QueryRowContext(ctx, `SELECT current_setting('walkin.result')`).Scan(&text)
			}
			return text, err
		})
	}
	if sqlState(err) != "" && ctx.Err() == nil { // too slow, or what breaks even the loop
		s.slow = sqlState(err) == "57014"
		return []byte(strings.Repeat(string(errs), count)), nil, nil
	}
	if err == nil && len(states) != count {
		err = fmt.Errorf("%d rows gave %d results", count, len(states))
	}
	return states, reads, err
}

// value returns what an expression without columns is for a visitor, as text: "" where
// that cannot be said.
func (s *session) value(ctx context.Context, expr string, as setup) (text string, err error) {
	err = s.within(ctx, func() error {
		if err := s.become(ctx, "[]", as); err != nil {
			return err
		}
		return s.tx.QueryRowContext(ctx, `SELECT coalesce((`+expr+`)::text, '')`).Scan(&text)
	})
	if sqlState(err) != "" && ctx.Err() == nil {
		return "", nil
	}
	return text, err
}

func (s *session) become(ctx context.Context, rows string, as setup) error {
	// A policy that hangs is cancelled sooner than the linter's own statements.
	query, args := `SELECT set_config('statement_timeout', '10s', true), set_config('walkin.rows', $1, true), set_config('request.jwt.claims', $2, true)`, []any{rows, as.claims}
	for name, value := range as.settings {
		args = append(args, name, value)
		query += fmt.Sprintf(`, set_config($%d, $%d, true)`, len(args)-1, len(args))
	}
	args = append(args, as.role) // last: from here on it is the visitor
	_, err := s.tx.ExecContext(ctx, query+fmt.Sprintf(`, set_config('role', $%d, true)`, len(args)), args...)
	return err
}

func sqlState(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

// valid reports which literals are values of which types.
func (s *session) valid(ctx context.Context, pairs [][2]string) ([]bool, error) {
	const try = `DO $walkin$ DECLARE r jsonb; result text := ''; BEGIN
	FOR r IN SELECT jsonb_array_elements(current_setting('walkin.rows')::jsonb) LOOP
		BEGIN
			EXECUTE format('SELECT %L::%s', r ->> 1, r ->> 0);
			result := result || '1';
		EXCEPTION WHEN OTHERS THEN result := result || '0';
		END;
	END LOOP;
	PERFORM set_config('walkin.result', result, true);
END $walkin$`
	out := make([]bool, len(pairs))
	if len(pairs) == 0 {
		return out, nil
	}
	rows, err := json.Marshal(pairs)
	if err != nil {
		return nil, err
	}
	var text string
	err = s.within(ctx, func() error {
		if _, err := s.tx.ExecContext(ctx, `SELECT set_config('walkin.rows', $1, true)`, string(rows)); err != nil {
			return err
		}
		if _, err := s.tx.ExecContext(ctx, try); err != nil {
			return err
		}
		return s.tx.QueryRowContext(ctx, `SELECT current_setting('walkin.result')`).Scan(&text)
	})
	for i := range out {
		out[i] = err == nil && text[i] == '1'
	}
	return out, err
}
