// Package tokencache caches what is known about verified tokens. It knows nothing of
// visitors: its user decides what to keep of a token.
package tokencache

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
)

// A Cache remembers tokens that were verified, so that a returning visitor costs no
// signature check. It only ever saves time. A token that it has evicted is verified
// again. One that it remembers is still checked for expiry and for its session.
//
// It is a table of small sets. The last letters of a token belong to its signature and
// are so random. They choose its set and serve as its tag there. A hit is the exact
// text of the token, so another spelling of the same token is never found here. Reading
// takes no lock. For a token that is in constant use it writes nothing, so that cores
// do not compete.
//
// Tokens are many and most come once, so a token first has to come back: new ones go to
// probation and are kept from their second return on. The kept have three places in
// four at most, and probation has all others, so that it is as large as those who come
// back leave room for. A flood of genuine tokens that are each used once turns over
// probation alone. A token that fell out of probation is recognised by the doorkeeper
// when it comes back, however many came in between.
type Cache[V any] struct {
	seed maphash.Seed // so that no client can aim at another's place with the doorkeeper
	sets []set[V]
}

type entry[V any] struct {
	token string
	kept  atomic.Bool
	hits  atomic.Uint32 // on probation
	used  atomic.Bool   // while kept, since the hand last passed over it
	value V
}

const (
	ways      = 16           // places of a set
	mostKept  = ways * 3 / 4 // of them, for the kept
	tagLength = 8            // letters
)

type set[V any] struct {
	tags    [ways]atomic.Uint64 // 0: the place is empty
	entries [ways]atomic.Pointer[entry[V]]

	// For what follows, and for all changes. Finding a place for a new token reads no
	// entry: sixteen of them are seldom in a processor's cache.
	mu    sync.Mutex
	count uint32       // of probations that began
	since [ways]uint32 // the count when the probation of each place began
	kept  uint16       // a bit for each place
	hand  uint8
	door  doorkeeper
}

// New returns a cache of about so many tokens, and of at least 256.
func New[V any](size int) *Cache[V] {
	return &Cache[V]{seed: maphash.MakeSeed(), sets: make([]set[V], max(size, minCache)/ways)}
}

const minCache = 256

// find returns the set of a token, and its tag.
func (c *Cache[V]) find(token string) (*set[V], uint64) {
	tag := binary.LittleEndian.Uint64([]byte(token[len(token)-tagLength:]))
	i, _ := bits.Mul64(tag*0x9e3779b97f4a7c15, uint64(len(c.sets))) // spreads letters over all bits
	return &c.sets[i], tag
}

// Get returns what is known about a token, or nil. A nil cache is empty.
func (c *Cache[V]) Get(token string) *V {
	if c == nil || len(token) < tagLength {
		return nil
	}
	s, tag := c.find(token)
	e := s.get(token, tag)
	switch {
	case e == nil:
		return nil
	case e.kept.Load():
		if !e.used.Load() {
			e.used.Store(true)
		}
	case e.hits.Add(1) >= 2:
		s.keep(e)
	}
	return &e.value
}

func (s *set[V]) get(token string, tag uint64) *entry[V] {
	for i := range s.tags {
		if s.tags[i].Load() != tag {
			continue
		}
		if e := s.entries[i].Load(); e != nil && e.token == token {
			return e
		}
	}
	return nil
}

// Add remembers a token and returns what is known about it: what is there already when
// another request was faster, and otherwise what fill makes of the zero value. The text
// of the token that fill gets is the cache's own copy: what came in may be a piece of a
// whole Cookie header, which must not be kept alive.
func (c *Cache[V]) Add(token string, fill func(v *V, token string)) *V {
	s, tag := c.find(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.get(token, tag); e != nil {
		return &e.value
	}
	e := &entry[V]{token: strings.Clone(token)}
	fill(&e.value, e.token)
	place := s.room()
	s.put(place, e, tag)
	if s.door.cameBefore(maphash.String(c.seed, token)) {
		s.promote(place)
	}
	return &e.value
}

// keep moves an entry from probation to the kept, unless it has been evicted.
func (s *set[V]) keep(e *entry[V]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.entries {
		if s.entries[i].Load() == e && !e.kept.Load() {
			s.promote(i)
		}
	}
}

// promote makes the entry in a place one of the kept. Where they are as many as may be,
// another one is on probation again: one that was not used since the hand last passed
// over it.
func (s *set[V]) promote(place int) {
	for bits.OnesCount16(s.kept) == mostKept {
		i := int(s.hand)
		s.hand = (s.hand + 1) % ways
		if s.kept>>i&1 == 0 {
			continue
		}
		other := s.entries[i].Load()
		if other.used.CompareAndSwap(true, false) {
			continue
		}
		s.probe(i)
		other.hits.Store(0)
		other.kept.Store(false)
	}
	e := s.entries[place].Load()
	e.used.Store(false)
	e.kept.Store(true)
	s.kept |= 1 << place
}

// probe begins the probation of a place.
func (s *set[V]) probe(place int) {
	s.count++
	s.since[place] = s.count
	s.kept &^= 1 << place
}

// room returns an empty place, or that of the entry that has been on probation longest.
// There is one: the kept never have all places.
func (s *set[V]) room() int {
	oldest, place := uint32(0), 0
	for i := range s.tags {
		if s.tags[i].Load() == 0 {
			return i
		}
		if age := s.count - s.since[i]; s.kept>>i&1 == 0 && age >= oldest {
			oldest, place = age, i
		}
	}
	return place
}

// put needs no order of its two steps. A reader between them finds an entry of another
// token, or none.
func (s *set[V]) put(place int, e *entry[V], tag uint64) {
	s.probe(place)
	s.tags[place].Store(tag)
	s.entries[place].Store(e)
}

// A doorkeeper remembers that a token came, long after its entry went: two
// generations of a Bloom filter. It decides where a verified token is kept and
// nothing else. Taking one new token in a thousand for an old one, it costs
// that one a place among the kept.
type doorkeeper struct {
	young, old *[doorWords]uint64
	count      int // of tokens in young
}

const (
	doorTokens = 16 * ways // that a generation remembers
	doorBits   = 16        // for each token: of a full cache the doorkeepers are a fifteenth
	doorWords  = doorTokens * doorBits / 64
	doorProbes = 6
)

// cameBefore reports whether a token with this hash came before, and notes that
// it came now.
func (d *doorkeeper) cameBefore(hash uint64) bool {
	if d.young == nil || d.count >= doorTokens {
		d.young, d.old, d.count = d.old, d.young, 0
		if d.young == nil {
			d.young = new([doorWords]uint64)
		}
		clear(d.young[:])
	}
	at, step := hash&(1<<32-1), hash>>32|1
	inYoung, inOld := true, d.old != nil
	for range doorProbes {
		word, bit := at%(doorWords*64)/64, uint64(1)<<(at%64)
		inYoung = inYoung && d.young[word]&bit != 0
		inOld = inOld && d.old[word]&bit != 0
		d.young[word] |= bit
		at += step
	}
	if !inYoung {
		d.count++
	}
	return inYoung || inOld
}
