package password

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"sync"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
)

// Failed sign-ins are limited three times over. As many as a limit's Count may come at
// once; each is forgiven after Per divided by Count, the oldest first, so that a user
// who mistyped ten times waits for a minute or two and not for all of Per. Refused
// attempts do not count, and neither do right ones, except while they are being checked.
//
// There are three limits, since each of them alone is a weapon:
//
//   - PerAddress (an IPv4 address, an IPv6 /64) stops one computer that tries
//     common passwords with many names.
//   - PerNameAndNetwork (an IPv4 /24, an IPv6 /48) stops guesses for one name.
//     It is the tight one for a name: one for all networks would let anybody
//     lock anybody out, with ten wrong passwords every quarter of an hour.
//   - PerName stops the same from many networks. It has to lock the name's
//     owner out of new browsers too, so it is wide: 100 is what NIST SP 800-63B, 5.2.2, allows
//     in a row. Keeping somebody out takes ten networks, all the time.
//
// A browser that has proven the name before, or is signed in as its user, counts in
// none of the three: it has as many tries as PerNameAndNetwork says, and all of them
// together as many as PerName.
//
// All count unknown names like known ones, and tell nothing about them.
func checkLimit(l limit.Limit) error {
	if l.Check() != nil || l.Per > 24*time.Hour {
		return errors.New("it needs a Count of at least 1, and Per of more than 0 and at most 24 hours")
	}
	return nil
}

func tooMany(wait time.Duration) *walkin.Refusal {
	after := "a minute"
	if minutes := (wait + time.Minute - 1) / time.Minute; minutes > 1 {
		after = fmt.Sprintf("%d minutes", minutes)
	}
	return &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: "too_many_attempts", RetryAfter: wait,
		Message: "There were too many failed attempts. Please wait " + after + " and try again."}
}

// A limiter counts attempts by all three limits. It knows addresses and names
// as hashes with a seed of its own, so nobody can make two of them collide.
type limiter struct {
	seed  maphash.Seed
	start time.Time

	mu     sync.Mutex // held for a few map accesses, never while something hashes
	tables [3]table
}

// An attempt is what one sign-in counts as, in each of the tables.
type attempt [3]uint64

func newLimiter(perAddress, perNameAndNetwork, perName limit.Limit) *limiter {
	l := &limiter{seed: maphash.MakeSeed(), start: time.Now()}
	for i, most := range []limit.Limit{perAddress, perNameAndNetwork, perName} {
		l.tables[i] = table{per: most.Per, step: most.Per / time.Duration(most.Count), fresh: make(map[uint64]time.Duration)}
	}
	return l
}

func (l *limiter) attempt(name string, from origin) attempt {
	return attempt{
		maphash.String(l.seed, from.address),
		maphash.Comparable(l.seed, [2]string{name, from.network}),
		maphash.String(l.seed, name),
	}
}

// wait returns how long it is until the attempt may be made; 0 is now.
func (l *limiter) wait(a attempt) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.longest(a, time.Since(l.start))
}

// take counts an attempt and returns 0; or it counts nothing and returns how
// long to wait.
func (l *limiter) take(a attempt) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Since(l.start)
	if wait := l.longest(a, now); wait > 0 {
		return wait
	}
	for i := range l.tables {
		l.tables[i].add(a[i], now)
	}
	return 0
}

func (l *limiter) longest(a attempt, now time.Duration) time.Duration {
	var wait time.Duration
	for i := range l.tables {
		wait = max(wait, l.tables[i].wait(a[i], now))
	}
	return wait
}

// giveBack takes an attempt out of the count again.
func (l *limiter) giveBack(a attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Since(l.start)
	for i := range l.tables {
		l.tables[i].remove(a[i], now)
	}
}

// generation bounds the memory: three tables of two generations have at most
// 393,216 entries, some 15 MB. To push out an entry, an attacker has to add
// 65,536 others and more, each a failed sign-in that waited for its hash. That
// is ten minutes of work of two cores; a limit forgives in that time too.
const generation = 1 << 16

// A table is a leaky bucket for each key. It remembers when all of a key's
// attempts will be forgiven; a key it does not have has none. What is pushed
// out is forgiven early: the other way, a flood would lock everybody out.
type table struct {
	per, step time.Duration

	// All times are since the limiter's start. When fresh is full, or as old
	// as per, it becomes stale, and what was stale is forgotten.
	fresh, stale map[uint64]time.Duration
	turned       time.Duration
}

func (t *table) forgiven(key uint64, now time.Duration) time.Duration {
	at, ok := t.fresh[key]
	if !ok {
		at = t.stale[key]
	}
	return max(at, now)
}

func (t *table) wait(key uint64, now time.Duration) time.Duration {
	return t.forgiven(key, now) + t.step - now - t.per
}

func (t *table) add(key uint64, now time.Duration) {
	at := t.forgiven(key, now) + t.step
	if len(t.fresh) >= generation || now-t.turned >= t.per {
		t.fresh, t.stale, t.turned = make(map[uint64]time.Duration), t.fresh, now
	}
	t.fresh[key] = at
}

func (t *table) remove(key uint64, now time.Duration) {
	for _, m := range []map[uint64]time.Duration{t.fresh, t.stale} {
		at, ok := m[key]
		switch {
		case !ok:
		case at-t.step > now:
			m[key] = at - t.step
		default:
			delete(m, key)
		}
	}
}
