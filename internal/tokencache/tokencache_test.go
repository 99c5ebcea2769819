package tokencache

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/google/uuid"
)

// tokens returns n texts that look like tokens. The cache uses only their last letters,
// which a signature makes random.
func tokens(seed uint64, n int) []string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	random := rand.New(rand.NewPCG(seed, 0))
	all := make([]string, n)
	for i := range all {
		b := []byte("header.payload.")
		b = strconv.AppendUint(b, seed<<32+uint64(i), 36)
		for range 4 {
			b = append(b, letters[random.IntN(len(letters))])
		}
		all[i] = string(b)
	}
	return all
}

// A user is what these tests keep of a token.
type user struct {
	id    uuid.UUID
	token string
	seen  atomic.Int64
}

func is(id uuid.UUID) func(*user, string) {
	return func(u *user, token string) { u.id, u.token = id, token }
}

// size returns how many tokens a cache holds.
func (c *Cache[V]) size() int {
	n := 0
	for i := range c.sets {
		for j := range c.sets[i].entries {
			if c.sets[i].entries[j].Load() != nil {
				n++
			}
		}
	}
	return n
}

// TestCacheSize holds that the cache never has more entries than it was given,
// whatever comes how often, and makes use of what it was given. The size is
// rounded down to a multiple of 16, the places of a set; 256 is the least.
func TestCacheSize(t *testing.T) {
	for _, tt := range []struct{ size, limit int }{
		{1, 256}, {255, 256}, {256, 256}, {271, 256}, {272, 272}, {1000, 992}, {4096, 4096},
	} {
		for visits := range 3 {
			c := New[user](tt.size)
			for _, token := range tokens(1, 10*tt.limit+1000) {
				c.Add(token, is(uuid.Nil))
				for range visits {
					if c.Get(token) == nil {
						t.Fatalf("size %d: a token was forgotten at once", tt.size)
					}
				}
			}
			// Who came once has all places that the kept do not use.
			least, most := tt.limit*9/10, tt.limit
			if got := c.size(); got < least || got > most {
				t.Errorf("size %d, %d visits: got %d entries, want %d to %d", tt.size, visits, got, least, most)
			}
		}
	}
}

// TestCacheKeepsRegulars holds that a token which keeps coming is not pushed
// out by any number of tokens that come once.
func TestCacheKeepsRegulars(t *testing.T) {
	c := New[user](4096)
	regulars := tokens(1, 100)
	entries := make(map[string]*user)
	for _, token := range regulars {
		entries[token] = c.Add(token, is(uuid.New()))
		c.Get(token)
		c.Get(token) // the second return
	}
	for i, token := range tokens(2, 20_000) {
		c.Add(token, is(uuid.Nil))
		if i%2 == 0 {
			c.Get(token) // came back once
		}
	}
	for _, token := range regulars {
		if e := c.Get(token); e != entries[token] {
			t.Fatalf("a regular was forgotten: got %v", e)
		}
	}
	if once := tokens(3, 1)[0]; c.Add(once, is(uuid.Nil)) == nil || c.Get(once) == nil {
		t.Error("a newcomer is not remembered after the flood")
	}

	// Regulars make way for other regulars, and those who still come stay.
	faithful := regulars[0]
	for _, token := range tokens(4, 20_000) {
		c.Add(token, is(uuid.Nil))
		c.Get(token)
		c.Get(token)
		if c.Get(faithful) == nil {
			t.Fatal("a token that comes between any two others was forgotten")
		}
		if s, tag := c.find(faithful); !s.get(faithful, tag).kept.Load() {
			t.Fatal("a token that comes between any two others is on probation again")
		}
	}
	if got := c.Get(regulars[1]); got != nil {
		t.Errorf("a token that stayed away is still there: %v", got)
	}
}

// TestCacheKeepsOne holds that the token that came back is kept, and none beside it.
func TestCacheKeepsOne(t *testing.T) {
	c := New[user](0)
	all := tokens(1, 200)
	for _, token := range all {
		c.Add(token, is(uuid.Nil))
	}
	back := all[len(all)-1]
	c.Get(back)
	c.Get(back)
	for _, token := range all {
		s, tag := c.find(token)
		if e := s.get(token, tag); e != nil && e.kept.Load() != (token == back) {
			t.Errorf("%s: kept %t", token, e.kept.Load())
		}
	}
}

// TestDoorkeeper holds that the doorkeeper knows every token of the generation that
// comes and of the one before, however often one of them comes, hardly any other, and
// forgets.
func TestDoorkeeper(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	var d doorkeeper
	come := func(n int) (hashes []uint64, wrong int) {
		for range n {
			hash := random.Uint64()
			if d.cameBefore(hash) {
				wrong++
			}
			hashes = append(hashes, hash)
		}
		return hashes, wrong
	}
	known := func(hashes []uint64) (n int) {
		for _, hash := range hashes {
			probe := d.copy()
			if probe.count = 0; probe.cameBefore(hash) { // no generation ends by the question
				n++
			}
		}
		return n
	}
	const few = doorTokens/50 + 1
	first, wrong := come(doorTokens)
	for range 10 * doorTokens {
		d.cameBefore(first[0])
	}
	if n := known(first); n != doorTokens || wrong > few {
		t.Errorf("the first generation: it knows %d of %d, and took %d for old", n, doorTokens, wrong)
	}
	second, wrong := come(doorTokens - 1) // with the one above a generation
	if n := known(first) + known(second); n != 2*doorTokens-1 || wrong > few {
		t.Errorf("the second: it knows %d of both, want %d, and took %d for old", n, 2*doorTokens-1, wrong)
	}
	for range 5 {
		if _, wrong := come(doorTokens); wrong > few {
			t.Errorf("it took %d of %d for old", wrong, doorTokens)
		}
	}
	if n := known(first) + known(second); n > 2*few {
		t.Errorf("it knows %d of long ago", n)
	}
}

// copy lets a test ask without that being noted.
func (d *doorkeeper) copy() doorkeeper {
	c := *d
	for _, generation := range []**[doorWords]uint64{&c.young, &c.old} {
		if *generation != nil {
			words := **generation
			*generation = &words
		}
	}
	return c
}

// TestCacheHolds holds that as many visitors as a cache has places for, four fifths of
// its size, find themselves there when they come back in any order, whether each comes
// back once or often.
func TestCacheHolds(t *testing.T) {
	const size = 1 << 14
	c, all := New[user](size), tokens(1, size*4/5)
	random := rand.New(rand.NewPCG(1, 1))
	for visit := range 6 {
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		found := 0
		for _, token := range all {
			if c.Get(token) != nil {
				found++
			} else {
				c.Add(token, is(uuid.Nil))
			}
		}
		if least := len(all) * 9 / 10; visit > 0 && found < least {
			t.Errorf("visit %d: %d of %d were there, want %d", visit, found, len(all), least)
		}
	}
}

// TestCacheSpelling holds that only the very text of a token finds its entry,
// that adding it again changes nothing, and that no larger text is kept alive.
func TestCacheSpelling(t *testing.T) {
	c, first := New[user](0), uuid.New()
	header := "x=1; name=" + tokens(1, 1)[0] + "; y=" + strings.Repeat("y", 1<<20)
	token := header[len("x=1; name="):strings.LastIndex(header, "; y=")]
	e := c.Add(token, is(first))
	if again := c.Add(strings.Clone(token), is(uuid.New())); again != e || e.id != first {
		t.Errorf("adding it again: got %v, want the first entry", again)
	}
	for range 3 { // on probation, and kept
		for _, other := range []string{"", "a", "ab", "abc", token + "=", " " + token, token + " ", token[1:], token[:len(token)-1], strings.ToUpper(token)} {
			if got := c.Get(other); got != nil {
				t.Errorf("%q finds %v", other, got)
			}
		}
		if got := c.Get(token); got != e {
			t.Errorf("got %v, want the entry", got)
		}
	}
	if unsafe.StringData(e.token) == unsafe.StringData(token) {
		t.Error("the cache keeps a whole Cookie header alive")
	}
	s, tag := c.find(token)
	if kept := s.get(token, tag); kept == nil || !kept.kept.Load() || c.size() != 1 {
		t.Errorf("got %d entries and %v, want one that is kept", c.size(), kept)
	}
	var none *Cache[user]
	if got := none.Get(token); got != nil {
		t.Errorf("no cache: got %v", got)
	}
}

// TestCacheConcurrently holds that many requests at once agree on one entry of
// a token as long as it is there, and that each finds the claims of its own.
func TestCacheConcurrently(t *testing.T) {
	c := New[user](1024)
	all := tokens(1, 2000)
	users := make(map[string]uuid.UUID, len(all))
	for _, token := range all {
		users[token] = uuid.New()
	}
	var found, wrong atomic.Int64
	var wg sync.WaitGroup
	for worker := range 4 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 0))
			for range 3000 {
				// Few come often, many seldom.
				token := all[min(random.IntN(len(all)), random.IntN(len(all)), random.IntN(len(all)))]
				e := c.Get(token)
				if e == nil {
					e = c.Add(token, is(users[token]))
				} else {
					found.Add(1)
				}
				if e.id != users[token] {
					wrong.Add(1)
				}
				e.seen.Store(int64(worker))
			}
		})
	}
	wg.Wait()
	if wrong.Load() > 0 || found.Load() == 0 {
		t.Errorf("got %d hits and %d of them another user's", found.Load(), wrong.Load())
	}
	if n := c.size(); n > 1024 {
		t.Errorf("got %d entries, want 1,024 at most", n)
	}

	// All add one token at the same moment.
	var entries sync.Map
	for range 16 {
		wg.Go(func() { entries.Store(c.Add("header.payload.signature", is(uuid.Nil)), true) })
	}
	wg.Wait()
	n := 0
	entries.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("got %d entries of one token", n)
	}
}
