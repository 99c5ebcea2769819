package main

import (
	"context"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/walkin-go/walkin"
)

// serve serves the site until ctx ends, and lets requests finish.
func serve(ctx context.Context, wk *walkin.Middleware, addr string, site http.Handler, registry *prometheus.Registry) error {
	server := &http.Server{Addr: addr, Handler: site, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute}
	private := &http.Server{Addr: os.Getenv("METRICS_ADDR"), Handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{})}
	ctx, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stop()
	beside.Go(func() { _ = wk.RunFeed(ctx) })                                      // hears of what ends on other replicas
	beside.Go(func() { _ = wk.RunSweeper(ctx, time.Hour, walkin.SweepOptions{}) }) // deletes who stayed away
	beside.Go(func() { _ = private.ListenAndServe() })                             // where only you can reach it
	beside.Go(func() {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(last)
		_ = private.Close()
	})
	return server.ListenAndServe()
}
