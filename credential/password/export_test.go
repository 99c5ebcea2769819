package password

// SetIDKey replaces argon2 by something that counts, or is quick.
func (p *Password) SetIDKey(f func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte) {
	p.hashes.idKey = f
}

// ParsePHC returns the parts of a stored hash, and how it is spelled.
func ParsePHC(s string) (cost Cost, salt, sum []byte, spelled string, err error) {
	h, err := parsePHC(s)
	return h.cost, h.salt, h.sum, h.String(), err
}

// CommonList is the embedded list.
func CommonList() string { return commonList }
