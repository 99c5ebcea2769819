package bench_test

import (
	"net/http"
	"testing"

	"github.com/walkin-go/walkin"
)

// A returning visitor costs one allocation, as r.WithContext alone does, whatever
// the algorithm, the method that reads and the other cookies.
func TestReturningAllocations(t *testing.T) {
	for _, alg := range algs {
		h := newWalkin(t, alg).Handler(walkinPage)
		token := tokens(t, alg, 1)[0]
		for name, r := range map[string]*http.Request{
			"page":          newRequest(cookieName + "=" + token),
			"other cookies": newRequest("_ga=GA1.1.1.1; " + withTheme(cookieName, token) + "; cart=3"),
			"20 others":     newRequest(withMany(cookieName, token)),
			"asset":         asset(newRequest(withTheme(cookieName, token))),
		} {
			t.Run(alg+"/"+name, func(t *testing.T) {
				hold(t, h, r, http.StatusNoContent, 1)
			})
		}
	}
}

// A request without our cookies that gets none costs no allocation.
func TestStrangerAllocations(t *testing.T) {
	h := newWalkin(t, "HS256").Handler(hello)
	onAct := newWalkin(t, "HS256", func(cfg *walkin.Config) { cfg.NewUsers.Mint = walkin.MintOnWrite }).Handler(hello)
	probe := newRequest("")
	probe.URL.Path = "/healthz"
	probe.Header = http.Header{"User-Agent": {"kube-probe/1.32"}, "Accept": {"*/*"}}
	prefetch := newRequest("")
	prefetch.Header.Set("Sec-Purpose", "prefetch")
	robot := newRequest("")
	robot.Header.Set("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
	for name, it := range map[string]struct {
		handler http.Handler
		request *http.Request
	}{
		"asset":               {h, asset(newRequest(""))},
		"asset, their cookie": {h, asset(newRequest("theme=dark; _ga=GA1.1.1.1"))},
		"health check":        {h, probe},
		"prefetch":            {h, prefetch},
		"robot":               {h, robot},
		"page, mint on act":   {onAct, newRequest("")},
	} {
		t.Run(name, func(t *testing.T) { hold(t, it.handler, it.request, http.StatusNoContent, 0) })
	}
}

// hold fails the test when serving r allocates more than limit.
func hold(t *testing.T, h http.Handler, r *http.Request, status int, limit float64) {
	t.Helper()
	w := newSink()
	for range 3 { // into the cache, and known there
		w.reset()
		h.ServeHTTP(w, r)
		if w.status != status {
			t.Fatalf("got status %d, want %d", w.status, status)
		}
	}
	if got := testing.AllocsPerRun(100, func() {
		w.reset()
		h.ServeHTTP(w, r)
	}); got > limit {
		t.Errorf("got %v allocations, want %v at most", got, limit)
	}
}
