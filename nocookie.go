package walkin

import (
	"crypto/rand"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walkin-go/walkin/internal/request"
)

const (
	firstCookiesFor = 15 * time.Minute
	maxFirstCookies = 2048 // pages; twice as many are kept
)

// A firstCookies remembers which pages came to which browser with its first cookie, by
// address and User-Agent. A request of such a page that comes without any cookie comes
// from a browser that keeps none: each of its requests would be a new visitor's, and
// nothing that it is told would last.
type firstCookies struct {
	seed    maphash.Seed
	address func(*http.Request) netip.Addr
	told    atomic.Bool // the operator was

	mu          sync.Mutex
	recent, old map[uint64]int64 // when, by clock
}

func newFirstCookies(address func(*http.Request) netip.Addr) *firstCookies {
	return &firstCookies{seed: maphash.MakeSeed(), address: address, recent: map[uint64]int64{}}
}

func (k *firstCookies) key(r *http.Request, path string) uint64 {
	var h maphash.Hash
	h.SetSeed(k.seed)
	address := k.address(r).As16() // zeros where there is none
	_, _ = h.Write(address[:])     // none of these fails
	_, _ = h.WriteString(r.UserAgent())
	_ = h.WriteByte(0)
	_, _ = h.WriteString(path)
	return h.Sum64()
}

// gave notes that a page came with a cookie, if the browser sent none of any kind: one
// that sends the cookies of others keeps ours, too.
func (k *firstCookies) gave(r *http.Request, f request.Facts, path string, now int64) {
	if f.Method != request.Get || f.Shape != request.Page || len(r.Header["Cookie"]) > 0 {
		return
	}
	k.note(k.key(r, path), now)
}

// returned notes that a browser has sent cookies, which it is about to be told to forget.
// What its open page asks next comes without any.
func (k *firstCookies) returned(r *http.Request, now int64) { k.note(k.key(r, ""), now) }

func (k *firstCookies) note(key uint64, now int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.recent) >= maxFirstCookies {
		k.old, k.recent = k.recent, map[uint64]int64{}
	}
	k.recent[key] = now
}

func (k *firstCookies) notedLately(key uint64, now int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, ok := k.recent[key]
	if !ok {
		at, ok = k.old[key]
	}
	return ok && now-at < int64(firstCookiesFor)
}

// keepsNoCookie reports whether a form, a followed link or a script's call comes from a
// browser that keeps no cookies. It may be wrong, as for a tab whose browser has just lost
// all cookies, or a script that leaves them out. So what follows is small: the request
// gets no new user, a visitor who needs one is told to allow cookies and to try again, and
// that answer carries one. A browser that returns it is believed. A visitor who shares
// address, browser and page with one that keeps none has a cookie of that page.
func (a *admission) keepsNoCookie(r *http.Request, f request.Facts) bool {
	switch f.Shape {
	case request.Page, request.Call, request.Beacon:
	default:
		return false // a browser leaves cookies out of some, such as a manifest
	}
	if !request.HasNoCookies(r.Header) {
		return false
	}
	if f.Method != request.Write && header(r, "Sec-Fetch-Site") != "same-origin" {
		return false // typed, or a link from elsewhere
	}
	if v := visitFrom(r.Context()); v != nil && v.withoutCookies {
		return false // none counts there
	}
	from, err := url.Parse(header(r, "Referer"))
	k, now := a.firstCookies, a.clock()
	return err == nil && request.IsHost(from, r.Host) && k.notedLately(k.key(r, from.Path), now) && !k.notedLately(k.key(r, ""), now)
}

// noCookie refuses a request of a browser that keeps no cookies, where it needs a user.
func (a *admission) noCookie(v *visit, r *http.Request) *Refusal {
	if a.keepsNoCookie(r, a.facts(v, r)) {
		return withoutCookie()
	}
	return nil
}

// refusedNoCookie sets the cookie that the next try is told by, and tells the operator,
// once: one visitor has switched cookies off, or no visitor's browser takes them.
func (a *admission) refusedNoCookie(w http.ResponseWriter, r *http.Request) {
	if v := a.verifier.visit(w, r); !v.begun() && !v.withoutCookies {
		if _, has := a.cookies.flowValue(r); !has {
			setCookies(w, v, a.cookies.flow(rand.Text()))
		}
	}
	if a.firstCookies.told.CompareAndSwap(false, true) {
		a.log.Warn("walkin: a browser does not send back the cookies that this site sets: its visitor blocks them, or something between browser and site removes Set-Cookie or Cookie",
			slog.String("cookie", a.cookies.anonymous))
		a.emit(r, Event{Outcome: Failed, Reason: ReasonCookiesBlocked})
	}
}
