package challenge

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
)

// A challenge is base64url of its expiry, its difficulty and 16 random bytes, and
// behind a dot their HMAC-SHA256: the server keeps nothing until it is solved. A
// solution is a decimal number such that the SHA-256 of the challenge, a colon and
// the number begins with so many zero bits.

const (
	leastBits = 17 // 130,000 hashes on average
	mostBits  = 22 // 4,200,000

	shortest = 2 * time.Minute
	unlucky  = 20 * time.Second // ten times what the least work takes a slow phone

	clockSkew = time.Minute // between two replicas
)

// workFor returns how long a challenge lives. The work has no fixed length: one in
// seven needs twice the average, and one in 20,000 ten times. If all lives were short,
// the hardest challenge would end before a slow phone solves it. If all were long, a
// bot could collect easy ones for later.
func workFor(difficulty int) time.Duration {
	return max(shortest, unlucky<<(difficulty-leastBits))
}

// solutions is what a network may solve before the work is at its hardest: each
// eighth makes it twice as hard.
var solutions = limit.Limit{Count: 8 * (mostBits - leastBits), Per: time.Hour}

// newWork returns a challenge for the sender of the request.
func (g *Gate) newWork(r *http.Request) (text string, difficulty int, err error) {
	verdict, err := g.limiter.Take(r.Context(), g.network(r), solutions, 0, time.Now())
	if err != nil {
		return "", 0, err
	}
	difficulty = difficultyAt(verdict)
	var b [25]byte
	binary.BigEndian.PutUint64(b[:8], uint64(time.Now().Add(workFor(difficulty)).Unix()))
	b[8] = byte(difficulty)
	_, _ = rand.Read(b[9:]) // never fails, see crypto/rand
	text = base64.RawURLEncoding.EncodeToString(b[:])
	return text + "." + sign(g.keys[0], text), difficulty, nil
}

// difficultyAt returns the difficulty for a network that has solved so much.
func difficultyAt(verdict limit.Verdict) int {
	solved := solutions.Count - min(max(verdict.Remaining, 0), solutions.Count) // whatever a limiter of the app's says
	return leastBits + solved/8
}

func (g *Gate) network(r *http.Request) string {
	networks := g.wk.ClientNetworks(r)
	return "challenge:" + networks[len(networks)-1] // the largest: a rented range is one crowd
}

func sign(key []byte, text string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("walkin challenge\x00" + text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// checkWork reports whether a solution is right and was not used before.
func (g *Gate) checkWork(ctx context.Context, r *http.Request, challenge, solution string) (bool, error) {
	text, signature, _ := strings.Cut(challenge, ".")
	if !slices.ContainsFunc(g.keys, func(key []byte) bool { return hmac.Equal([]byte(signature), []byte(sign(key, text))) }) {
		return false, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != 25 {
		return false, nil
	}
	now := time.Now()
	expires := time.Unix(int64(binary.BigEndian.Uint64(b[:8])), 0)
	// One that lives longer than any of ours was made by an attacker who has the key.
	if !now.Before(expires) || expires.After(now.Add(workFor(mostBits)+clockSkew)) || !isNumber(solution) || zeroBits(challenge, solution) < int(b[8]) {
		return false, nil
	}
	// Only the exact text was signed, so of one challenge there is one key.
	added, err := g.store.AddTicket(ctx, store.Ticket{Key: "challenge:work:" + text, ExpiresAt: expires}, now)
	if err != nil {
		return false, fmt.Errorf("walkin: challenge: %w", err)
	}
	if !added {
		return false, nil
	}
	// Whether there is room in the bucket makes no difference: the work is at its
	// hardest then. Nor does a limiter that fails.
	verdict, err := g.limiter.Take(ctx, g.network(r), solutions, 1, now)
	if err == nil && int(b[8]) < difficultyAt(verdict)-1 {
		return false, errTooEasy
	}
	return true, nil
}

// errTooEasy is for work that was right, and has become too little since: a bot that
// asks for many challenges before it solves any pays the price of the first for fifteen
// at most. Visitors who are overtaken by a crowd get another one, and their browser
// goes on.
var errTooEasy = errors.New("walkin: challenge: the work has become harder")

// isNumber reports whether s is one, in its one spelling.
func isNumber(s string) bool {
	n, _ := strconv.ParseUint(s, 10, 53)  // what JavaScript counts exactly
	return strconv.FormatUint(n, 10) == s // not so of what is none, or larger
}

func zeroBits(challenge, solution string) int {
	sum := sha256.Sum256([]byte(challenge + ":" + solution))
	return bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:8]))
}
