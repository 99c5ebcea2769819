package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/spf13/cobra"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/sqlstore"
	_ "modernc.org/sqlite"
)

// A tool is what a command works with.
type tool struct {
	dsn    string
	asJSON bool
	db     *sql.DB
	store  quiet
	wk     *walkin.Middleware
	out    io.Writer
	talk   io.Writer
}

// quiet is a store to which this program does not announce how long tokens live: only
// the site knows that.
type quiet struct{ *sqlstore.Store }

// AnnounceTokenLife implements store.DatabaseStore.
func (quiet) AnnounceTokenLife(context.Context, time.Duration, time.Time) error { return nil }

// command makes one that prints data, as JSON where it is asked to.
func command(use, short string, args cobra.PositionalArgs, run func(t *tool, args []string) error) *cobra.Command {
	t := &tool{}
	c := &cobra.Command{Use: use, Short: short, Args: args, RunE: func(c *cobra.Command, args []string) error {
		t.out, t.talk = c.OutOrStdout(), c.ErrOrStderr()
		return run(t, args)
	}}
	c.Flags().BoolVar(&t.asJSON, "json", false, "print JSON")
	return c
}

// onStore makes a command that works on a store. made says that its tables must be
// there.
func onStore(use, short string, made bool, args cobra.PositionalArgs, run func(ctx context.Context, t *tool, args []string) error) *cobra.Command {
	var dsn string
	var c *cobra.Command
	c = command(use, short, args, func(t *tool, args []string) error {
		if t.dsn = dsn; t.dsn == "" {
			t.dsn = os.Getenv("WALKIN_STORE")
		}
		if err := t.open(c.Context(), made); err != nil {
			return err
		}
		defer t.db.Close()
		return run(c.Context(), t, args)
	})
	c.Flags().StringVar(&dsn, "store", "", "sqlite:FILE, postgres://… or mysql://…; WALKIN_STORE otherwise, where other users of the machine cannot read it")
	return c
}

// open opens the store. Fails closed: without the tables, or with those of another
// version, nothing is done, since how long tokens live is in them.
func (t *tool) open(ctx context.Context, made bool) error {
	driver, dsn, dialect, err := parseStore(t.dsn, made)
	if err != nil {
		return err
	}
	if t.db, err = sql.Open(driver, dsn); err != nil {
		return fmt.Errorf("the store's address is not understood by %s", driver) // the driver may quote the password
	}
	if dialect == sqlstore.SQLite {
		t.db.SetMaxOpenConns(1)
	}
	inner, err := sqlstore.New(sqlstore.Config{Dialect: dialect, DB: t.db})
	if err != nil {
		return err
	}
	t.store = quiet{inner}
	if made {
		pending, err := inner.Pending(ctx)
		if err != nil {
			return err
		}
		if len(pending) > 0 {
			return fmt.Errorf("the store lacks %d migrations; walkin migrate applies them", len(pending))
		}
	}
	// It signs nothing that leaves this program.
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	t.wk, err = walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: secret}}, Store: t.store, Tokens: walkin.Tokens{Lifetime: time.Minute}})
	return err
}

func parseStore(text string, made bool) (driver, dsn string, dialect sqlstore.Dialect, err error) {
	scheme, rest, _ := strings.Cut(text, ":")
	switch scheme {
	case "sqlite":
		file, _, _ := strings.Cut(rest, "?")
		if _, err := os.Stat(file); made && err != nil {
			return "", "", 0, fmt.Errorf("there is no file %s", file)
		}
		return "sqlite", "file:" + (&url.URL{Path: file}).EscapedPath() +
			"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_txlock=immediate", sqlstore.SQLite, nil
	case "postgres", "postgresql":
		return "pgx", text, sqlstore.PostgreSQL, nil
	case "mysql":
		u, err := url.Parse(text)
		if err != nil {
			return "", "", 0, errors.New("the store's address is no URL") // the error would quote the password
		}
		cfg := mysql.NewConfig()
		cfg.User = u.User.Username()
		cfg.Passwd, _ = u.User.Password()
		cfg.Net, cfg.Addr, cfg.DBName = "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
		if u.Port() == "" {
			cfg.Addr = net.JoinHostPort(u.Hostname(), "3306")
		}
		if socket := u.Query().Get("socket"); socket != "" {
			cfg.Net, cfg.Addr = "unix", socket
		}
		return "mysql", cfg.FormatDSN(), sqlstore.MySQL, nil
	case "":
		return "", "", 0, errors.New("which store? --store or WALKIN_STORE: sqlite:FILE, postgres://… or mysql://…")
	}
	return "", "", 0, errors.New("the store is not sqlite:FILE, postgres://… or mysql://…")
}

// print writes v as JSON, or as a table of rows.
func (t *tool) print(v any, rows func(w io.Writer)) error {
	if t.asJSON {
		return printJSON(t.out, v)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	rows(w)
	return w.Flush()
}

func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// say writes a line to the operator at the terminal.
func (t *tool) say(format string, args ...any) { fmt.Fprintf(t.talk, format+"\n", args...) }

// aTime reads a time, a date, or a duration before now: 2026-03-29T12:00:00Z, 2026-03-29, 30d, 12h.
func aTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	d, err := aDuration(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time like 2026-03-29, 2026-03-29T12:00:00Z, 30d or 12h", text)
	}
	return time.Now().Add(-d), nil
}

func aDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		d, err := time.ParseDuration(days + "h")
		return 24 * d, err
	}
	return time.ParseDuration(text)
}
