package password

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Breaches knows passwords that have leaked, see [Config].
type Breaches interface {
	// Breached reports whether a password is known from a data leak. It must not log
	// the password or quote it in the error. It may be called concurrently; the
	// context ends after two seconds.
	Breached(ctx context.Context, password string) (bool, error)
}

// breachTimeout is how long a new password waits for [Breaches].
const breachTimeout = 2 * time.Second

// checkBreached refuses with 422 a new password that has leaked (NIST SP 800-63B,
// 5.1.1.2). It fails open: while the list cannot be read, sign-ups go on, and OnEvent
// gets Failed with the reason breaches.
func (p *Password) checkBreached(ctx context.Context, password string) error {
	if p.breaches == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, breachTimeout)
	defer cancel()
	breached, err := p.breaches.Breached(ctx, password)
	switch {
	case err != nil:
		p.wk.Report(ctx, ReasonBreaches, err)
		return nil
	case breached:
		return weak(ReasonBreached, "password_breached", "password.breached")
	}
	return nil
}

// PwnedPasswords asks the service "Pwned Passwords" of haveibeenpwned.com, or one that
// speaks as it does. The service gets the first five characters of the password's
// SHA-1 hash, which hundreds of passwords share, and never the password. It learns the
// address of your server. The zero value is ready to use.
type PwnedPasswords struct {
	// URL is where the service is; empty is "https://api.pwnedpasswords.com".
	URL string

	// Client sends the requests; nil is http.DefaultClient.
	Client *http.Client
}

// maxRange bounds an answer of the service, which has some 40 KB.
const maxRange = 1 << 20 // bytes

// Breached implements [Breaches].
func (s PwnedPasswords) Breached(ctx context.Context, password string) (bool, error) {
	hash := sha1Of(password)
	base := strings.TrimSuffix(s.URL, "/")
	if base == "" {
		base = "https://api.pwnedpasswords.com"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/range/"+hash[:5], nil)
	if err != nil {
		return false, errors.New("walkin: password: PwnedPasswords.URL is not a URL")
	}
	r.Header.Set("User-Agent", "walkin")
	r.Header.Set("Add-Padding", "true") // so that the size of the answer says nothing
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(r)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err // the address would say what was asked
	}
	if err != nil {
		return false, fmt.Errorf("walkin: password: asking for leaked passwords: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("walkin: password: asking for leaked passwords: the answer is %d", response.StatusCode)
	}
	lines := bufio.NewScanner(io.LimitReader(response.Body, maxRange))
	for lines.Scan() {
		suffix, count, _ := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		if strings.EqualFold(suffix, hash[5:]) {
			return count != "0", nil // 0 is padding
		}
	}
	return false, lines.Err()
}

func sha1Of(password string) string {
	sum := sha1.Sum([]byte(password)) // as the lists have it; nothing rests on its strength
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// A HashList looks a password up in a file, without a network: one SHA-1 hash in
// hexadecimal a line, in ascending order, with anything behind a colon. The downloader
// of Pwned Passwords writes such a file. Nothing of it is kept in memory; a look-up reads
// some 30 pieces of 128 bytes. Make one with [OpenHashList].
type HashList struct {
	file *os.File
	size int64
}

// OpenHashList opens a file. It is an error if its first line is no hash.
func OpenHashList(path string) (*HashList, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("walkin: password: %w", err)
	}
	info, err := file.Stat()
	l := &HashList{file: file}
	if err == nil {
		l.size = info.Size()
		_, _, _, err = l.line(0)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("walkin: password: reading %s: %w", path, err)
	}
	return l, nil
}

// Close closes the file.
func (l *HashList) Close() error { return l.file.Close() }

// Breached implements [Breaches].
func (l *HashList) Breached(_ context.Context, password string) (bool, error) {
	hash := sha1Of(password)
	for low, high := int64(0), l.size; low < high; {
		found, start, end, err := l.line(low + (high-low)/2)
		if err != nil {
			return false, fmt.Errorf("walkin: password: reading leaked passwords: %w", err)
		}
		switch strings.Compare(hash, found) {
		case 0:
			return true, nil
		case -1:
			high = start
		default:
			low = end
		}
	}
	return false, nil
}

// maxLine is longer than any line: a hash, a colon, a count and the end of the line.
const maxLine = 64

// line returns the hash of the line that a position is in, and where that line begins
// and ends.
func (l *HashList) line(at int64) (hash string, start, end int64, err error) {
	from := max(0, at-maxLine)
	piece := make([]byte, 2*maxLine)
	n, err := l.file.ReadAt(piece, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", 0, 0, err
	}
	before, behind := piece[:min(at-from, int64(n))], piece[min(at-from, int64(n)):n]
	start = from + int64(bytes.LastIndexByte(before, '\n')) + 1
	end = from + int64(n)
	if i := bytes.IndexByte(behind, '\n'); i >= 0 {
		end = at + int64(i) + 1
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(piece[start-from:end-from])), ":")
	if b, err := hex.DecodeString(text); err != nil || len(b) != sha1.Size {
		return "", 0, 0, errors.New("it is not a list of SHA-1 hashes, one a line")
	}
	return strings.ToUpper(text), start, end, nil
}
