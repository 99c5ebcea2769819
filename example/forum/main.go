// Command forum is the demo of Supabase's anonymous sign-ins against a Go app with
// walkin inside: its table, its two policies, and supabase-js as npm has it.
//
//	go run ./example/forum -addr 127.0.0.1:8081 -database postgres://…
//
// Without -database it starts a PostgreSQL of its own, which goes with it. The first
// line of its standard output is JSON: the url and the publishable key for
// createClient. Mail goes to standard error.
//
// The page needs supabase-js from a local install: npm ci in example/forum. Everything
// else works without.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/rls"
	"github.com/walkin-go/walkin/store/sqlstore"
)

//go:embed schema.sql
var schema string

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// settings are the flags.
type settings struct {
	addr, database, modules string
	autoconfirm             bool
}

func main() {
	var s settings
	flag.StringVar(&s.addr, "addr", "127.0.0.1:8081", "where to listen")
	flag.StringVar(&s.database, "database", "", "URL of a PostgreSQL database; empty starts one that goes with the process")
	flag.StringVar(&s.modules, "modules", "example/forum/node_modules", "where npm ci has put supabase-js")
	flag.BoolVar(&s.autoconfirm, "autoconfirm", false, "take addresses as proven without a proof, for tests")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "forum:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	if s.database == "" {
		url, stop, err := startPostgres()
		if err != nil {
			return err
		}
		defer stop()
		s.database = url
	}
	db, err := sql.Open("pgx", s.database)
	if err != nil {
		return err
	}
	defer db.Close()
	listener, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return err
	}
	site, key := "http://localhost:"+port, "sb_publishable_"+rand.Text()
	_, handler, err := build(ctx, db, s, site, key)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close() // a demo has nothing to finish
	}()
	if err := json.NewEncoder(os.Stdout).Encode(struct {
		URL string `json:"url"`
		Key string `json:"key"`
	}{site, key}); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// build makes the app: tables, walkin, the endpoint, the stand-in and the page.
func build(ctx context.Context, db *sql.DB, s settings, site, key string) (*walkin.Middleware, http.Handler, error) {
	store, err := sqlstore.New(sqlstore.Config{DB: db, Dialect: sqlstore.PostgreSQL})
	if err != nil {
		return nil, nil, err
	}
	profiles := supabasewalkin.SQL(db, supabasewalkin.PostgreSQL, sqlstore.Tx)
	if err := errors.Join(store.Migrate(ctx), profiles.Migrate(ctx)); err != nil {
		return nil, nil, err
	}
	for _, text := range []string{rls.InstallSQL, schema} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return nil, nil, err
		}
	}
	// A key for this run. A site reads walkin.KeyFileES256, so that its visitors
	// outlive it; supabase-js verifies no Ed25519.
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Private: private}}, Store: store, Tokens: walkin.Tokens{Audience: "authenticated"}, NewUsers: walkin.NewUsers{
			Mint:  walkin.MintOnDemand,
			Limit: limit.Limit{Count: 1000, Per: time.Hour}, // all of a demo's visitors have one address
		},
		Cookies: walkin.Cookies{
			Insecure: true, //walkin:allow the demo runs on localhost, over http
		},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return nil, nil, err
	}
	passwords, err := password.New(wk, password.Config{Proven: true})
	if err != nil {
		return nil, nil, err
	}
	auth, err := supabasewalkin.New(wk, supabasewalkin.Config{
		URL: site + "/auth/v1", SiteURL: site + "/", Profiles: profiles, PublishableKeys: []string{key},
		Send: send, SendSMS: send, SendLimit: limit.Limit{Count: 100, Per: time.Hour}, Passwords: passwords,
		ManualLinking: true, Autoconfirm: s.autoconfirm,
	})
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/auth/v1/", http.StripPrefix("/auth/v1", auth))
	mux.Handle("/rest/v1/posts", &rest{wk: wk, db: db, key: key})
	umd := filepath.Join(s.modules, "@supabase", "supabase-js", "dist", "umd", "supabase.js")
	mux.HandleFunc("GET /supabase.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, umd) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		_, err := os.Stat(umd)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = page.Execute(w, map[string]any{"URL": site, "Key": key, "Missing": err != nil})
	})
	return wk, mux, nil
}

// send prints a message in place of sending it.
func send(_ context.Context, m supabasewalkin.Message) error {
	link := ""
	if m.Link != "" {
		link = ", or open " + m.Link
	}
	_, err := fmt.Fprintf(os.Stderr, "To %s: the code %s is for %s%s\n", m.To, m.Code, m.Kind, link)
	return err
}
