//go:build unix

package bench_test

import (
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// BenchmarkProcessor is BenchmarkTarget by processor time, in batches that are
// long enough for the collector's cycles to be in them: all that a request
// costs the machine, whoever else runs on it. One core alone, so that the
// collector does not hide on the other.
func BenchmarkProcessor(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, alg := range algs {
		r := newRequest(withTheme(cookieName, tokens(b, alg, 1)[0]))
		b.Run(alg+"/returning", func(b *testing.B) {
			compareProcessor(b, 50_000, serve(newWalkin(b, alg).Handler(walkinPage), r), serve(withContext, r))
		})
		all := tokens(b, alg, 1000)
		b.Run(alg+"/miss", func(b *testing.B) {
			compareProcessor(b, 1000, serveAll(newWalkin(b, alg, small).Handler(walkinPage), all), serveAll(bareMiss(b, keys()[alg]), all))
		})
		b.Run(alg+"/first", func(b *testing.B) {
			compareProcessor(b, 1000, serve(newWalkin(b, alg).Handler(walkinPage), newRequest("")), serve(bareFirst(b, keys()[alg]), newRequest("")))
		})
	}
	b.Run("any/stranger", func(b *testing.B) {
		r := asset(newRequest("theme=dark"))
		compareProcessor(b, 50_000, serve(newWalkin(b, "HS256").Handler(hello), r), serve(withContext, r))
	})
	b.Run("any/no middleware", func(b *testing.B) {
		r := newRequest("")
		compareProcessor(b, 50_000, serve(hello, r), serve(withContext, r))
	})
}

// compareProcessor reports how much more processor time ours takes than floor.
func compareProcessor(b *testing.B, batch int, ours, floor func()) {
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
