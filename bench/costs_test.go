//go:build unix

package bench_test

import (
	"net/http"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkCost compares walkin with the floor that its target is a multiple of, by
// processor time. That is all that a request costs the machine, the collector's share
// included, no matter what else runs on it. The two take turns in batches of some
// milliseconds, and the median of the ratios is reported. One core alone does the work,
// so that the collector does not hide on another. The last scene is the exception.
func BenchmarkCost(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, alg := range algs {
		r := newRequest(withTheme(cookieName, tokens(b, alg, 1)[0]))
		b.Run(alg+"/returning", func(b *testing.B) {
			compare(b, 20_000, serve(newWalkin(b, alg).Handler(walkinPage), r), serve(withContext, r))
		})
		b.Run(alg+"/returning ÷ one token known by heart", func(b *testing.B) {
			token := tokens(b, alg, 1)[0]
			r := newRequest(withTheme(cookieName, token))
			compare(b, 20_000, serve(newWalkin(b, alg).Handler(walkinPage), r), serve(byHeart(token), r))
		})
		many := newRequest(withMany(cookieName, tokens(b, alg, 1)[0]))
		b.Run(alg+"/returning, 20 other cookies ÷ WithContext, WithValue, Value", func(b *testing.B) {
			compare(b, 20_000, serve(newWalkin(b, alg).Handler(walkinPage), many), serve(withValue, many))
		})
		b.Run(alg+"/returning, 20 other cookies ÷ one other", func(b *testing.B) {
			h := newWalkin(b, alg).Handler(walkinPage)
			compare(b, 20_000, serve(h, many), serve(h, r))
		})
		all := tokens(b, alg, 1000)
		b.Run(alg+"/miss", func(b *testing.B) {
			compare(b, 500, serveAll(newWalkin(b, alg, small).Handler(walkinPage), all), serveAll(bareMiss(b, keys()[alg]), all))
		})
		b.Run(alg+"/first", func(b *testing.B) {
			compare(b, 500, serve(newWalkin(b, alg).Handler(walkinPage), newRequest("")), serve(bareFirst(b, keys()[alg]), newRequest("")))
		})
	}
	b.Run("any/stranger", func(b *testing.B) {
		r := asset(newRequest("theme=dark"))
		compare(b, 20_000, serve(newWalkin(b, "HS256").Handler(hello), r), serve(withContext, r))
	})

	// The cost of a request when two cores serve at once, compared with one alone. More
	// than 1 is what they lose by getting into each other's way.
	all := tokens(b, "HS256", 2)
	for _, two := range []struct {
		name   string
		h      http.Handler
		tokens []string
	}{
		{"two cores ÷ one: floor WithContext", withContext, all},
		{"two cores ÷ one: walkin", newWalkin(b, "HS256").Handler(walkinPage), all},
		{"two cores ÷ one: walkin, one visitor", newWalkin(b, "HS256").Handler(walkinPage), []string{all[0], all[0]}},
	} {
		b.Run("HS256/"+two.name, func(b *testing.B) {
			const batch = 20_000
			var each [2]func()
			for i := range each {
				each[i] = serve(two.h, newRequest(withTheme(cookieName, two.tokens[i])))
			}
			on := func(cores int) func() {
				return func() {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
					var wg sync.WaitGroup
					for _, f := range each {
						wg.Go(func() {
							for range batch {
								f()
							}
						})
					}
					wg.Wait()
				}
			}
			compare(b, 1, on(2), on(1))
		})
	}
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

// compare reports how much more processor time ours takes than floor.
func compare(b *testing.B, batch int, ours, floor func()) {
	b.Helper()
	measure := func(f func()) time.Duration {
		start := processorTime(b)
		for range batch {
			f()
		}
		return processorTime(b) - start
	}
	measure(ours)
	measure(floor)
	var ratios []float64
	for b.Loop() {
		f := measure(floor)
		o := measure(ours)
		ratios = append(ratios, float64(o)/float64(f))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "×floor")
}

// processorTime returns what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
