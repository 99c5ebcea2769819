package bench_test

import (
	"net/http"
	"testing"

	"github.com/walkin-go/walkin"
)

// The names are scene/algorithm/contender; the command in table reads them. Contenders
// that begin with "floor" are the lower bound.

// BenchmarkReturning is a page view of a visitor who was here before.
func BenchmarkReturning(b *testing.B) {
	b.Run("any/floor bare handler", func(b *testing.B) { run(b, hello, newRequest(""), false) })
	b.Run("any/floor WithContext", func(b *testing.B) { run(b, withContext, newRequest(""), false) })
	for _, alg := range algs {
		token := tokens(b, alg, 1)[0]
		r := newRequest(withTheme(cookieName, token))
		b.Run(alg+"/floor signature", func(b *testing.B) {
			message, signature := split(b, token)
			verify := bareVerify(b, keys()[alg])
			b.ReportAllocs()
			for b.Loop() {
				if !verify(message, signature) {
					b.Fatal("the signature does not verify")
				}
			}
		})
		b.Run(alg+"/walkin", func(b *testing.B) {
			h := newWalkin(b, alg).Handler(walkinPage)
			for range 3 { // known, and come back
				h.ServeHTTP(newSink(), r)
			}
			run(b, h, r, false)
		})
		for _, p := range peers {
			if p.returning == nil {
				continue
			}
			b.Run(alg+"/"+p.name, func(b *testing.B) { run(b, p.returning(b, keys()[alg]), r, p.changes) })
		}
	}
	for _, p := range peers {
		if p.session == nil {
			continue
		}
		b.Run("any/"+p.name, func(b *testing.B) {
			cookie, h := p.session(b)
			run(b, h, newRequest(cookie), p.changes)
		})
	}
}

// BenchmarkStranger is a request that has no cookie and gets none.
func BenchmarkStranger(b *testing.B) {
	h := newWalkin(b, "HS256").Handler(hello)
	b.Run("any/floor bare handler", func(b *testing.B) { run(b, hello, asset(newRequest("")), false) })
	b.Run("any/walkin", func(b *testing.B) { run(b, h, asset(newRequest("")), false) })
	b.Run("any/walkin, other cookies", func(b *testing.B) {
		run(b, h, asset(newRequest("theme=dark; _ga=GA1.1.1234567890.1234567890")), false)
	})
}

// BenchmarkFirst is the page view that brings a visitor their user.
func BenchmarkFirst(b *testing.B) {
	for _, alg := range algs {
		b.Run(alg+"/floor bare sign and set", func(b *testing.B) { run(b, bareFirst(b, keys()[alg]), newRequest(""), false) })
		b.Run(alg+"/walkin", func(b *testing.B) {
			run(b, newWalkin(b, alg).Handler(walkinPage), newRequest(""), false)
		})
		for _, p := range peers {
			if p.first == nil || p.first(b, keys()[alg]) == nil {
				continue
			}
			b.Run(alg+"/"+p.name, func(b *testing.B) { run(b, p.first(b, keys()[alg]), newRequest(""), p.changes) })
		}
	}
	for _, p := range peers {
		if p.session == nil {
			continue
		}
		b.Run("any/"+p.name, func(b *testing.B) {
			_, h := p.session(b)
			run(b, h, newRequest(""), p.changes)
		})
	}
}

// BenchmarkMiss is a token that this replica has not seen, or has evicted.
func BenchmarkMiss(b *testing.B) {
	for _, alg := range algs {
		all := tokens(b, alg, 1000)
		b.Run(alg+"/floor signature and decoding", func(b *testing.B) { runAll(b, bareMiss(b, keys()[alg]), all) })
		b.Run(alg+"/walkin", func(b *testing.B) { runAll(b, newWalkin(b, alg, small).Handler(walkinPage), all) })
	}
}

// BenchmarkCrowd is 100,000 visitors who come in turn, three times as many as
// walkin's cache remembers.
func BenchmarkCrowd(b *testing.B) {
	for _, alg := range []string{"HS256", "EdDSA"} {
		all := tokens(b, alg, 100_000)
		b.Run(alg+"/floor signature and decoding", func(b *testing.B) { runAll(b, bareMiss(b, keys()[alg]), all) })
		b.Run(alg+"/walkin", func(b *testing.B) { runAll(b, newWalkin(b, alg).Handler(walkinPage), all) })
		b.Run(alg+"/walkin, room for all", func(b *testing.B) {
			h := newWalkin(b, alg, func(cfg *walkin.Config) { cfg.CacheSize = 1 << 19 }).Handler(walkinPage)
			w, r := newSink(), newRequest("")
			for range 3 {
				for _, token := range all {
					r.Header.Set("Cookie", withTheme(cookieName, token))
					h.ServeHTTP(w, r)
				}
			}
			runAll(b, h, all)
		})
		for _, p := range peers {
			if p.returning == nil {
				continue
			}
			b.Run(alg+"/"+p.name, func(b *testing.B) { runAll(b, p.returning(b, keys()[alg]), all) })
		}
	}
}

// runAll measures one handler with many visitors in turn.
func runAll(b *testing.B, h http.Handler, tokens []string) {
	b.Helper()
	lines := make([][]string, len(tokens))
	for i, token := range tokens {
		lines[i] = []string{withTheme(cookieName, token)}
	}
	w, r := newSink(), newRequest("x")
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		w.reset()
		r.Header["Cookie"] = lines[i]
		if i++; i == len(lines) {
			i = 0
		}
		h.ServeHTTP(w, r)
		if w.status != http.StatusNoContent {
			b.Fatalf("got status %d, want 204", w.status)
		}
	}
}

// BenchmarkPage is one page and the thirty pieces it is made of.
func BenchmarkPage(b *testing.B) {
	const pieces = 30
	measure := func(b *testing.B, h http.Handler, cookie string) {
		b.Helper()
		w, page, piece := newSink(), newRequest(cookie), asset(newRequest(cookie))
		piece.URL.Path = "/" // one route is enough for the routers
		b.ReportAllocs()
		for b.Loop() {
			w.reset()
			h.ServeHTTP(w, page)
			for range pieces {
				w.reset()
				h.ServeHTTP(w, piece)
			}
		}
	}
	cookie := withTheme(cookieName, tokens(b, "HS256", 1)[0])
	b.Run("HS256/floor bare handler", func(b *testing.B) { measure(b, hello, cookie) })
	b.Run("HS256/floor WithContext", func(b *testing.B) { measure(b, withContext, cookie) })
	b.Run("HS256/walkin", func(b *testing.B) { measure(b, newWalkin(b, "HS256").Handler(walkinPage), cookie) })
	b.Run("HS256/walkin, no user", func(b *testing.B) {
		measure(b, newWalkin(b, "HS256", func(cfg *walkin.Config) { cfg.NewUsers.Mint = walkin.MintOnWrite }).Handler(hello), "")
	})
	for _, p := range peers {
		switch {
		case p.returning != nil:
			b.Run("HS256/"+p.name, func(b *testing.B) { measure(b, p.returning(b, keys()["HS256"]), cookie) })
		case !p.changes:
			b.Run("HS256/"+p.name, func(b *testing.B) {
				c, h := p.session(b)
				measure(b, h, c)
			})
		}
	}
}

// BenchmarkParallel is returning visitors on all cores: -cpu 1,2 shows whether
// two cores do twice the work of one.
func BenchmarkParallel(b *testing.B) {
	all := tokens(b, "HS256", 1000)
	parallel := func(b *testing.B, h http.Handler, all []string) {
		b.Helper()
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			lines := make([][]string, len(all))
			for i, token := range all {
				lines[i] = []string{withTheme(cookieName, token)}
			}
			w, r, i := newSink(), newRequest("x"), 0
			for pb.Next() {
				w.reset()
				r.Header["Cookie"] = lines[i]
				if i++; i == len(lines) {
					i = 0
				}
				h.ServeHTTP(w, r)
			}
		})
	}
	warm := func(b *testing.B) http.Handler {
		h := newWalkin(b, "HS256").Handler(walkinPage)
		for range 3 {
			for _, token := range all {
				h.ServeHTTP(newSink(), newRequest(withTheme(cookieName, token)))
			}
		}
		return h
	}
	b.Run("HS256/floor WithContext", func(b *testing.B) { parallel(b, withContext, all) })
	b.Run("HS256/walkin", func(b *testing.B) { parallel(b, warm(b), all) })
	b.Run("HS256/walkin, one visitor", func(b *testing.B) { parallel(b, warm(b), all[:1]) })
	for _, p := range peers {
		if p.returning != nil {
			b.Run("HS256/"+p.name, func(b *testing.B) { parallel(b, p.returning(b, keys()["HS256"]), all) })
		}
	}
}
