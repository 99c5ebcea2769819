// Margin is a small site that shows walkin at work: anybody writes notes at
// once, publishing one takes an account, and whoever makes an account keeps
// all that they wrote before.
//
//	go run ./example
//
// This file wires it up and is the one to read first. notes.go stores the notes
// under a user ID, and pages.go shows them to whoever walkin says is there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/resume"
	"github.com/walkin-go/walkin/store/sqlstore"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	file := flag.String("db", "walkin-example.db", "SQLite `file`; it is made when it is not there")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for anybody
	if err := run(ctx, *addr, *file, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "example:", err)
		os.Exit(1)
	}
}

// open builds the site on a database file. Close the database when done.
func open(ctx context.Context, file string) (http.Handler, io.Closer, error) {
	db, err := openDatabase(file)
	if err != nil {
		return nil, nil, err
	}
	handler, err := build(ctx, db, file+".key")
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return handler, db, nil
}

// build is the part to read: the wiring of a site with walkin.
func build(ctx context.Context, db database, keyFile string) (http.Handler, error) {
	store, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.SQLite, DB: db.write, Reader: db.read})
	if err != nil {
		return nil, err
	}
	notes := &notes{db}
	if err := store.Migrate(ctx); err != nil {
		return nil, err
	}
	if err := notes.migrate(ctx); err != nil {
		return nil, err
	}
	keys, err := walkin.KeyFile(keyFile) // made on the first start; without it nobody is who they were
	if err != nil {
		return nil, err
	}
	passwords, err := password.New(password.Config{Store: store})
	if err != nil {
		return nil, err
	}
	s := &site{notes: notes}
	wk, err := walkin.New(walkin.Config{
		Keys:       keys,
		Store:      store,
		Insecure:   true, // plain http on localhost; leave it out behind https
		UpgradeURL: "/upgrade",
		SignInURL:  "/signin",
		OnMerge: func(ctx context.Context, c walkin.Change) error {
			// Somebody wrote here as a guest, and then signed in to the account
			// that they have had all along.
			return notes.move(ctx, c.GuestID, c.UserID)
		},
		OnRefuse: s.refused, // in the site's own dress
		OnEvent:  logEvent,
	})
	if err != nil {
		return nil, err
	}
	s.wk = wk

	// A guest who publishes is sent to make an account, and what they were about
	// to do is kept for them meanwhile.
	keeper, err := resume.New(resume.Config{Middleware: wk, Store: store, Insecure: true, Page: s.resumePage})
	if err != nil {
		return nil, err
	}

	user, permanent := wk.RequireUser(), wk.RequirePermanent()
	upgrade := wk.UpgradeHandler(passwords, s.upgradePage)
	signIn := wk.SignInHandler(passwords, s.signInPage)

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", s.page(s.home))
	mux.Handle("POST /notes", s.page(s.addNote))
	mux.Handle("GET /p/{id}", s.page(s.publicNote))
	mux.Handle("GET /notes/{id}", user(s.page(s.editNote)))
	mux.Handle("POST /notes/{id}", user(s.page(s.editNote)))
	mux.Handle("POST /notes/{id}/delete", user(s.page(s.deleteNote)))
	mux.Handle("POST /notes/{id}/publish", keeper.RequirePermanent()(s.page(s.publish)))
	mux.Handle("GET /resume", keeper)
	mux.Handle("POST /notes/{id}/unpublish", permanent(s.page(s.unpublish)))

	mux.Handle("GET /whoami", user(s.page(s.whoami)))
	mux.Handle("GET /upgrade", upgrade)
	mux.Handle("POST /upgrade", upgrade)
	mux.Handle("GET /signin", signIn)
	mux.Handle("POST /signin", signIn)
	mux.Handle("GET /signout", s.page(s.signOutPage))
	mux.Handle("POST /signout", wk.SignOutHandler())
	mux.Handle("GET /.well-known/jwks.json", wk.JWKSHandler())

	mux.Handle("GET /notes", http.RedirectHandler("/", http.StatusSeeOther)) // the address after a refused note
	mux.HandleFunc("GET /static/{file}", static)
	mux.Handle("GET /", s.page(func(http.ResponseWriter, *http.Request) error { return errNoNote }))

	// walkin refuses what other sites send to its own forms; this refuses what
	// they send to ours.
	site := http.NewCrossOriginProtection().Handler(mux)
	return headers(wk.Handler(site)), nil // one line, and every visitor is somebody
}

// logEvent tells in the log who becomes whom, who was refused, and what broke.
// Events hold no secrets and no addresses.
func logEvent(ctx context.Context, e walkin.Event) {
	level := slog.LevelInfo
	switch e.Outcome {
	case walkin.Skipped, walkin.Renewed:
		return
	case walkin.Failed:
		level = slog.LevelError
	}
	var attrs []slog.Attr
	if e.UserID != uuid.Nil {
		attrs = append(attrs, slog.Any("user", e.UserID))
	}
	if e.Reason != "" {
		attrs = append(attrs, slog.String("reason", e.Reason))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("error", e.Err))
	}
	slog.LogAttrs(ctx, level, string(e.Outcome), attrs...)
}

// run serves the site until ctx ends, and then lets requests finish.
func run(ctx context.Context, addr, file string, out io.Writer) error {
	handler, db, err := open(ctx, file)
	if err != nil {
		return err
	}
	defer db.Close()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	fmt.Fprintf(out, "Margin is open at http://%s - its notes are in %s. Stop it with Ctrl-C.\n", listener.Addr(), file)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}
