package bench_test

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

// BenchmarkTarget sets walkin beside the floor its target is a multiple of, in
// turn and in batches of some ten microseconds, and reports the median of the
// ratios: what else the machine does in between hits few of the batches. The
// collector's cycles are outside of the median too; the other benchmarks have
// them.
func BenchmarkTarget(b *testing.B) {
	for _, alg := range algs {
		r := newRequest(withTheme(cookieName, tokens(b, alg, 1)[0]))
		b.Run(alg+"/returning", func(b *testing.B) {
			compare(b, 50, serve(newWalkin(b, alg).Handler(walkinPage), r), serve(withContext, r))
		})
		all := tokens(b, alg, 1000)
		b.Run(alg+"/miss", func(b *testing.B) {
			compare(b, 2, serveAll(newWalkin(b, alg, small).Handler(walkinPage), all), serveAll(bareMiss(b, keys()[alg]), all))
		})
		b.Run(alg+"/first", func(b *testing.B) {
			compare(b, 2, serve(newWalkin(b, alg).Handler(walkinPage), newRequest("")), serve(bareFirst(b, keys()[alg]), newRequest("")))
		})
	}
	b.Run("any/stranger", func(b *testing.B) {
		r := asset(newRequest("theme=dark"))
		compare(b, 50, serve(newWalkin(b, "HS256").Handler(hello), r), serve(withContext, r))
	})
}

func serve(h http.Handler, r *http.Request) func() {
	w := newSink()
	return func() {
		w.reset()
		h.ServeHTTP(w, r)
	}
}

func serveAll(h http.Handler, tokens []string) func() {
	lines := make([][]string, len(tokens))
	for i, token := range tokens {
		lines[i] = []string{withTheme(cookieName, token)}
	}
	w, r, i := newSink(), newRequest("x"), 0
	return func() {
		w.reset()
		r.Header["Cookie"] = lines[i%len(lines)]
		i++
		h.ServeHTTP(w, r)
	}
}

// compare reports how much longer ours takes than floor.
func compare(b *testing.B, batch int, ours, floor func()) {
	b.Helper()
	measure := func(f func()) time.Duration {
		start := time.Now()
		for range batch {
			f()
		}
		return time.Since(start)
	}
	for range 3 {
		measure(ours)
		measure(floor)
	}
	var ratios []float64
	for b.Loop() {
		f := measure(floor)
		o := measure(ours)
		ratios = append(ratios, float64(o)/float64(f))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "×floor")
}
