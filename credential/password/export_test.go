package password

import "net/http"

// SetIDKey replaces argon2 by something that counts, or is quick.
func (p *Password) SetIDKey(f func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte) {
	p.hashes.idKey = f
}

// Fail counts a failed sign-in, without one; it reports whether it was allowed.
func (p *Password) Fail(r *http.Request, name string) bool {
	return p.limits.take(p.limits.attempt(name, p.origin(r))) == 0
}

// FloodNames counts failures for n names, and returns the most that were in
// memory.
func (p *Password) FloodNames(n int) int {
	names, most := &p.limits.tables[2], 0
	for i := range n {
		names.add(uint64(i), 0)
		most = max(most, p.Remembered())
	}
	return most
}

// Remembered returns how many counts there are in memory.
func (p *Password) Remembered() int {
	n := 0
	for i := range p.limits.tables {
		n += len(p.limits.tables[i].fresh) + len(p.limits.tables[i].stale)
	}
	return n
}

// MaxNames is how many names have a count in memory, at most.
const MaxNames = 2 * generation

// ParsePHC returns the parts of a stored hash, and how it is spelled.
func ParsePHC(s string) (cost Cost, salt, sum []byte, spelled string, err error) {
	h, err := parsePHC(s)
	return h.cost, h.salt, h.sum, h.String(), err
}

// CommonList is the embedded list.
func CommonList() string { return commonList }
