package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost is what an argon2id hash costs, in the words of RFC 9106.
type Cost struct {
	Time    uint32 // passes over the memory, 1 to 10
	Memory  uint32 // KiB, at most 262144 (256 MiB)
	Threads uint8  // lanes, 1 to 16; each runs on a core of its own
}

// Bounds on what a stored hash may ask for, so that an unchecked row cannot take the
// process's memory: 256 MiB and some two seconds, at worst. RFC 9106's second
// recommendation (64 MiB, t=3, p=4) fits, its first (2 GiB) does not. Less than eight
// bytes of salt or sixteen of hash is no proper argon2id; more than 64 of either is not
// in use.
const (
	maxTime          = 10
	maxMemory        = 256 << 10 // KiB
	maxThreads       = 16
	minSalt, maxSalt = 8, 64 // bytes
	minSum, maxSum   = 16, 64
	newSalt, newSum  = 16, 32 // what we write ourselves
	maxPHC           = 256    // bytes, more than the longest string within the bounds
	phcFormat        = "$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s"
	memoryPerThread  = 8 // KiB; RFC 9106, 3.1
)

// leastMemory is the memory in KiB that OWASP's Password Storage Cheat Sheet
// asks for with one pass, two, and so on, which it holds to be worth the same.
var leastMemory = [...]uint32{47104, 19456, 12288, 9216, 7168}

// check reports what is wrong with a cost for new hashes.
func (c Cost) check() error {
	if err := c.checkStored(); err != nil {
		return err
	}
	if least := leastMemory[min(int(c.Time), len(leastMemory))-1]; c.Memory < least {
		return fmt.Errorf("with Time %d, Memory is at least %d KiB", c.Time, least)
	}
	return nil
}

// checkStored reports what is wrong with the cost of a hash that is there.
func (c Cost) checkStored() error {
	switch {
	case c.Time < 1 || c.Time > maxTime:
		return fmt.Errorf("the time is not 1 to %d", maxTime)
	case c.Threads < 1 || c.Threads > maxThreads:
		return fmt.Errorf("the threads are not 1 to %d", maxThreads)
	case c.Memory < memoryPerThread*uint32(c.Threads) || c.Memory > maxMemory:
		return fmt.Errorf("the memory is not %d KiB a thread to %d KiB", memoryPerThread, maxMemory)
	}
	return nil
}

// A phc is an argon2id hash as a PHC string has it.
type phc struct {
	cost      Cost
	salt, sum []byte
}

func (h phc) String() string {
	return fmt.Sprintf(phcFormat, argon2.Version, h.cost.Memory, h.cost.Time, h.cost.Threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.sum))
}

var errNoPHC = errors.New("it is no argon2id PHC string")

// parsePHC reads a stored hash, in the one spelling that String gives it, and
// within the bounds above. Its errors quote nothing.
func parsePHC(s string) (phc, error) {
	if len(s) > maxPHC {
		return phc{}, errNoPHC
	}
	parts := strings.Split(s, "$")
	if len(parts) != 6 {
		return phc{}, errNoPHC
	}
	var params [3]uint32
	for i, param := range strings.SplitN(parts[3], ",", len(params)) {
		_, digits, _ := strings.Cut(param, "=")
		n, _ := strconv.ParseUint(digits, 10, 32) // if it fails, String returns another string
		params[i] = uint32(n)
	}
	h := phc{cost: Cost{Memory: params[0], Time: params[1], Threads: uint8(min(params[2], 255))}}
	h.salt, _ = base64.RawStdEncoding.DecodeString(parts[4]) // and so here
	h.sum, _ = base64.RawStdEncoding.DecodeString(parts[5])
	if err := h.cost.checkStored(); err != nil {
		return phc{}, err
	}
	switch {
	case h.String() != s: // the names, the version, 07, +7, what is no base64 or has a newline in it
		return phc{}, errNoPHC
	case len(h.salt) < minSalt || len(h.salt) > maxSalt:
		return phc{}, fmt.Errorf("the salt is not %d to %d bytes", minSalt, maxSalt)
	case len(h.sum) < minSum || len(h.sum) > maxSum:
		return phc{}, fmt.Errorf("the hash is not %d to %d bytes", minSum, maxSum)
	}
	return h, nil
}

// weakerThan reports whether the hash is easier to guess than new ones with
// cost c: less memory, or fewer passes than the memory makes up for.
func (h phc) weakerThan(c Cost) bool {
	work := func(c Cost) uint64 { return uint64(c.Time) * uint64(c.Memory) }
	return h.cost.Memory < c.Memory || work(h.cost) < work(c) || len(h.salt) < newSalt || len(h.sum) < newSum
}

// A hasher makes and checks hashes.
type hasher struct {
	cost    Cost // of new ones
	nobodys phc  // a hash with that cost that no password has

	// idKey is argon2.IDKey, and in tests what counts its calls.
	idKey func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte
}

func newHasher(cost Cost) *hasher {
	return &hasher{
		cost:    cost,
		nobodys: phc{cost: cost, salt: make([]byte, newSalt), sum: make([]byte, newSum)},
		idKey:   argon2.IDKey,
	}
}

// hash returns the PHC string of a new hash.
func (h *hasher) hash(password string) []byte {
	p := phc{cost: h.cost, salt: make([]byte, newSalt)}
	rand.Read(p.salt) // never fails
	p.sum = h.sum(p, password, newSum)
	return []byte(p.String())
}

// matches reports whether a hash is the password's, in a time that depends on
// the hash's cost alone.
func (h *hasher) matches(stored phc, password string) bool {
	return subtle.ConstantTimeCompare(h.sum(stored, password, len(stored.sum)), stored.sum) == 1
}

func (h *hasher) sum(p phc, password string, size int) []byte {
	return h.idKey([]byte(password), p.salt, p.cost.Time, p.cost.Memory, p.cost.Threads, uint32(size))
}
