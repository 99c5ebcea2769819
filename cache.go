package walkin

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An entry is a token that verified. Its claims never change; what is known
// about its session does.
type entry struct {
	claims   Claims
	access   bool         // an access token: good as a bearer, never in a cookie
	checked  atomic.Int64 // unix nanoseconds of the last look-up that found the session alive; 0: none yet
	dead     atomic.Bool  // the session has ended; this is final
	renewing atomic.Bool  // a request is issuing the token anew
	hits     atomic.Uint32
}

// checkedWithin reports whether the session was found alive in the last d.
func (e *entry) checkedWithin(d time.Duration, now time.Time) bool {
	age := now.UnixNano() - e.checked.Load()
	return age >= 0 && age < int64(d)
}

// A cache remembers tokens that verified, so that a returning visitor costs a
// map look-up. It only ever saves work: whatever it forgets is verified again,
// and what it remembers is still checked for expiry and for its session.
//
// The key is the exact text of the token, so another spelling of the same
// token is never found here.
//
// Tokens are many and most come once, so a token first has to come back: new
// ones go to probation and move to the kept part on their second visit. A
// flood of genuine tokens that are each used once turns over probation alone.
// A token that fell out of probation is recognised by the doorkeeper when it
// comes back, however many came in between.
// Both parts are two generations of a map: when the young one is full, the
// old one is dropped whole. That is coarse, but a hit costs no list to keep in
// order and so no write that two cores would fight over.
type cache struct {
	seed   maphash.Seed // so that nobody can aim at another's place with the doorkeeper
	shards [cacheShards]shard
}

const cacheShards = 64

type shard struct {
	mu        sync.RWMutex
	probation generations
	kept      generations
	door      doorkeeper
}

type generations struct {
	young, old map[string]*entry
	limit      int // of each
}

func newCache(size int) *cache {
	c := &cache{seed: maphash.MakeSeed()}
	// Four maps a shard: together they hold size entries at most, or one each
	// where size is less than that.
	limit := max(size/cacheShards/4, 1)
	for i := range c.shards {
		c.shards[i].probation.limit = limit
		c.shards[i].kept.limit = limit
		c.shards[i].door.limit = limit * doorTokens
	}
	return c
}

// shard picks by two letters near the end, out of the signature: nobody can
// choose them, and they cost no look at the rest.
func (c *cache) shard(token string) *shard {
	n := len(token)
	return &c.shards[(uint(token[n-2])*31+uint(token[n-3]))%cacheShards]
}

// get returns the entry of a token, or nil. A nil cache is empty.
func (c *cache) get(token string) *entry {
	if c == nil || len(token) < 3 {
		return nil
	}
	s := c.shard(token)
	s.mu.RLock()
	e, settled := s.find(token)
	s.mu.RUnlock()
	if e == nil || settled || e.hits.Add(1) < 2 {
		return e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.kept.young[token]; !ok {
		// The text of a token that came in may be a piece of a whole
		// Cookie header; only the token is kept.
		s.kept.add(strings.Clone(token), e)
		delete(s.kept.old, token)
		delete(s.probation.young, token)
		delete(s.probation.old, token)
	}
	return e
}

// find returns the entry, and whether it stands where it may stay.
func (s *shard) find(token string) (e *entry, settled bool) {
	if e := s.kept.young[token]; e != nil {
		return e, true
	}
	for _, m := range [...]map[string]*entry{s.probation.young, s.kept.old, s.probation.old} {
		if e := m[token]; e != nil {
			return e, false
		}
	}
	return nil, false
}

// add remembers a token and returns its entry: the one that is there already
// when another request was faster.
func (c *cache) add(token string, claims Claims, access bool) *entry {
	s := c.shard(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, _ := s.find(token); e != nil {
		return e
	}
	e := &entry{claims: claims, access: access}
	if s.door.cameBefore(maphash.String(c.seed, token)) {
		s.kept.add(strings.Clone(token), e)
	} else {
		s.probation.add(strings.Clone(token), e)
	}
	return e
}

func (g *generations) add(token string, e *entry) {
	if len(g.young) >= g.limit {
		// The map of the generation that goes serves the one that comes: it
		// has its size already, so nothing is made or moved any more.
		g.old, g.young = g.young, g.old
		clear(g.young)
	}
	if g.young == nil {
		g.young = make(map[string]*entry)
	}
	g.young[token] = e
}

// A doorkeeper remembers that a token came, long after its entry went: two
// generations of a Bloom filter. It decides where a verified token is kept and
// nothing else. Taking one new token in a thousand for an old one, it costs
// that one a place among the kept.
type doorkeeper struct {
	young, old []uint64
	count      int // of tokens in young
	limit      int // of each
}

const (
	doorTokens = 64 // that a generation remembers, for each entry of one of the maps
	doorBits   = 16 // for each token: of a full cache the doorkeeper is a fifteenth
	doorProbes = 6
)

// cameBefore reports whether a token with this hash came before, and notes that
// it came now.
func (d *doorkeeper) cameBefore(hash uint64) bool {
	if d.young == nil || d.count >= d.limit {
		d.young, d.old, d.count = d.old, d.young, 0
		if d.young == nil {
			d.young = make([]uint64, d.limit*doorBits/64)
		}
		clear(d.young)
	}
	bits := uint64(len(d.young)) * 64
	at, step := hash&(1<<32-1), hash>>32|1
	inYoung, inOld := true, d.old != nil
	for range doorProbes {
		word, bit := at%bits/64, uint64(1)<<(at%64)
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
