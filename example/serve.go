package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/walkin-go/walkin"
)

// run serves the site until ctx ends, and then lets requests finish.
func run(ctx context.Context, addr string, cfg config, out io.Writer) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	// Passkeys belong to a name, and no address is one.
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return err
	}
	cfg.url = cmp.Or(cfg.url, "http://"+net.JoinHostPort("localhost", port))
	s, db, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	// Inactive anonymous users go, with their notes; and so does what has expired.
	var sweeper sync.WaitGroup
	defer sweeper.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	sweeper.Go(func() { _ = s.wk.RunSweeper(ctx, time.Hour, walkin.SweepOptions{}) }) // its error is that ctx ended
	sweeper.Go(func() { _ = s.wk.RunFeed(ctx) })
	server := &http.Server{Handler: s, MaxHeaderBytes: 64 << 10,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	fmt.Fprintf(out, "Margin is open at %s - its notes are in %s, and its mail is printed here. Stop it with Ctrl-C.\n", cfg.url, cfg.file)
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

// open builds the site on a database file. Close the database when done.
func open(ctx context.Context, cfg config) (*site, io.Closer, error) {
	db, err := openDatabase(cfg.file)
	if err != nil {
		return nil, nil, err
	}
	s, err := build(ctx, db, cfg)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return s, db, nil
}

// event tells in the log who becomes whom, who was refused, and what failed. Events hold
// no secrets and no addresses.
func event(ctx context.Context, e walkin.Event) {
	if e.Outcome != walkin.Skipped && e.Outcome != walkin.Renewed {
		slog.InfoContext(ctx, string(e.Outcome), "user", e.UserID, "reason", e.Reason, "token", e.Token, "error", e.Err)
	}
}
