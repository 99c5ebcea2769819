package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"math/bits"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	userAgent   = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
	townAddress = "100.64.0.1" // of a carrier, for all its customers there
	passphrase  = "seven lemons on a sill"
)

// homeOf returns an address: every fourth person has IPv6, and a house of three
// shares a network.
func homeOf(i int) string {
	if i%4 == 0 {
		return fmt.Sprintf("2001:db8:%x:%x::%x", i/4096, i/12, i+1)
	}
	return fmt.Sprintf("198.18.%d.%d", i/250, i%250+1)
}

// A browser is one jar at one address.
type browser struct {
	s       *site
	crowd   *crowd
	address string
	agent   string
	jar     http.CookieJar // nil: keeps no cookie
	client  *http.Client   // nil: the proxy's
}

func (s *site) browser(c *crowd, address string) *browser {
	jar, _ := cookiejar.New(nil) // never fails without options
	return &browser{s: s, crowd: c, address: address, agent: userAgent, jar: jar}
}

type answer struct {
	status int
	body   string
	header http.Header
}

// do sends a request as a browser does: mode is "navigate", "no-cors" for what
// belongs to a page, or "" for a program.
func (b *browser) do(ctx context.Context, method, path, mode string, body io.Reader, more ...string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, b.s.base+path, body)
	if err != nil {
		return answer{}, err
	}
	r.Header.Set(crowdHeader, b.crowd.name)
	r.Header.Set("X-Forwarded-For", b.address)
	r.Header.Set("User-Agent", b.agent)
	switch mode {
	case "navigate":
		r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		r.Header.Set("Sec-Fetch-Site", "none")
	case "no-cors":
		r.Header.Set("Accept", "*/*")
		r.Header.Set("Sec-Fetch-Mode", "no-cors")
		r.Header.Set("Sec-Fetch-Dest", "image")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if mode != "" {
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.Header.Set("Origin", b.s.base)
		}
	}
	for i := 0; i+1 < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	if b.jar != nil {
		for _, cookie := range b.jar.Cookies(r.URL) {
			r.AddCookie(cookie)
		}
	}
	client := b.client
	if client == nil {
		client = b.s.client
	}
	response, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return answer{}, err
	}
	if b.jar != nil {
		b.jar.SetCookies(r.URL, response.Cookies())
	}
	b.crowd.got(response.StatusCode)
	return answer{response.StatusCode, string(text), response.Header}, nil
}

func (b *browser) open(ctx context.Context, path string) (answer, error) {
	return b.do(ctx, http.MethodGet, path, "navigate", nil)
}

func (b *browser) post(ctx context.Context, path string, pairs ...string) (answer, error) {
	return b.do(ctx, http.MethodPost, path, "navigate", form(pairs...))
}

func form(pairs ...string) io.Reader {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return strings.NewReader(values.Encode())
}

// patiently posts a form, and posts it again when the page says that very many sign in
// at the moment, as people do.
func (b *browser) patiently(ctx context.Context, path string, pairs ...string) (a answer, err error) {
	for range 10 {
		if a, err = b.post(ctx, path, pairs...); err != nil || a.status != http.StatusServiceUnavailable {
			return a, err
		}
		seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
		if err != nil {
			return a, nil
		}
		select {
		case <-time.After(time.Duration(seconds) * time.Second):
		case <-ctx.Done():
			return a, ctx.Err()
		}
	}
	return a, nil
}

var (
	challengeText = regexp.MustCompile(`data-challenge="([^"]+)"`)
	challengeBits = regexp.MustCompile(`data-bits="(\d+)"`)
)

// act posts a form as a person does: when the page that comes has a challenge,
// their browser solves it and sends the form once more.
func (b *browser) act(ctx context.Context, path string, pairs ...string) (a answer, hashes int, err error) {
	for range 3 { // another may take the room that a solution made
		if a, err = b.patiently(ctx, path, pairs...); err != nil || a.status != http.StatusTooManyRequests {
			return a, hashes, err
		}
		solved, more, err := b.solve(ctx, a)
		if hashes += more; err != nil || !solved {
			return a, hashes, err
		}
	}
	return a, hashes, nil
}

// solve computes the proof of work that a page asks for, and reports whether the site
// accepted it. Where a crowd has made it harder meanwhile, it goes on with the harder
// one, as the page's script does.
func (b *browser) solve(ctx context.Context, page answer) (solved bool, hashes int, err error) {
	text, difficulty := challengeText.FindStringSubmatch(page.body), challengeBits.FindStringSubmatch(page.body)
	if text == nil || difficulty == nil {
		return false, 0, nil
	}
	var work struct {
		Challenge string
		Bits      int
	}
	if work.Bits, err = strconv.Atoi(difficulty[1]); err != nil {
		return false, 0, err
	}
	work.Challenge = html.UnescapeString(text[1])
	for {
		solution := solve(work.Challenge, work.Bits)
		hashes += solution + 1
		body, err := json.Marshal(map[string]string{"Challenge": work.Challenge, "Solution": strconv.Itoa(solution)})
		if err != nil {
			return false, hashes, err
		}
		a, err := b.do(ctx, http.MethodPost, "/challenge/solved", "no-cors", bytes.NewReader(body), "Content-Type", "application/json")
		if err != nil || a.status != http.StatusConflict {
			return a.status == http.StatusNoContent, hashes, err
		}
		if err := json.Unmarshal([]byte(a.body), &work); err != nil {
			return false, hashes, err
		}
	}
}

func solve(challenge string, difficulty int) int {
	for n := 0; ; n++ {
		sum := sha256.Sum256(strconv.AppendInt([]byte(challenge+":"), int64(n), 10))
		if bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:8])) >= difficulty {
			return n
		}
	}
}

// A person writes, and may sign up. What they wrote is in notes, and who they are in id
// from their first write on.
type person struct {
	*browser
	number int
	member bool
	name   string
	id     uuid.UUID
	notes  []string
	second *browser // of a member, signed in
	lost   string   // the first thing
}

func newPerson(s *site, c *crowd, number int, address string) *person {
	return &person{browser: s.browser(c, address), number: number, member: number%2 == 0, name: fmt.Sprintf("person%d@example.com", number)}
}

func (p *person) miss(format string, args ...any) {
	if p.lost == "" {
		p.lost = fmt.Sprintf(format, args...)
	}
}

// live is a person's day: a look, a note, the trial, an account for every second,
// another device for every fourth, a sign-out for every sixth.
func (p *person) live(ctx context.Context) error {
	if _, err := p.open(ctx, "/"); err != nil {
		return err
	}
	if err := p.assets(ctx); err != nil {
		return err
	}
	if err := p.write(ctx, p.browser, "first"); err != nil {
		return err
	}
	before, err := p.look(ctx, p.browser)
	if err != nil {
		return err
	}
	if p.id = before.ID; p.id == uuid.Nil {
		p.miss("after their first note they have no user")
	}
	if err := p.write(ctx, p.browser, "second"); err != nil {
		return err
	}
	if err := p.trial(ctx); err != nil {
		return err
	}
	if p.member {
		if err := p.join(ctx); err != nil {
			return err
		}
	}
	return p.check(ctx, p.browser, "at the end of their visit")
}

// assets is what a browser fetches beside a page, all at once.
func (p *person) assets(ctx context.Context) error {
	var errs collected
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			a, err := p.do(ctx, http.MethodGet, fmt.Sprintf("/static/%d.png", i), "no-cors", nil)
			if err == nil && len(a.header["Set-Cookie"]) > 0 {
				err = errors.New("an image sets a cookie")
			}
			errs.add(err)
		})
	}
	wg.Wait()
	return errs.err()
}

func (p *person) write(ctx context.Context, from *browser, text string) error {
	a, _, err := from.act(ctx, "/notes", "text", text)
	if err != nil {
		return err
	}
	if a.status != http.StatusSeeOther {
		p.miss("a note was answered with %d", a.status)
		return nil
	}
	p.notes = append(p.notes, text)
	return nil
}

func (p *person) look(ctx context.Context, from *browser) (kept, error) {
	var k kept
	a, err := from.open(ctx, "/notes")
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal([]byte(a.body), &k); err != nil {
		return k, fmt.Errorf("%d %q: %w", a.status, a.body, err)
	}
	return k, nil
}

// trial takes what an anonymous user may take, and one more.
func (p *person) trial(ctx context.Context) error {
	for i := range exports + 1 {
		a, err := p.post(ctx, "/export")
		if err != nil {
			return err
		}
		want := http.StatusOK
		if i == exports {
			want = http.StatusSeeOther // to the sign-up
		}
		if a.status != want {
			p.miss("export %d was answered with %d", i+1, a.status)
		}
	}
	return nil
}

func (p *person) join(ctx context.Context) error {
	a, _, err := p.act(ctx, "/signup", "email", p.name, "password", passphrase)
	if err != nil {
		return err
	}
	if a.status != http.StatusSeeOther {
		p.miss("the sign-up was answered with %d", a.status)
		return nil
	}
	if p.number%4 == 0 {
		// Another device of theirs, on which they wrote as an anonymous user.
		other := p.s.browser(p.crowd, p.address)
		if _, err := other.open(ctx, "/"); err != nil {
			return err
		}
		if err := p.write(ctx, other, "on another device"); err != nil {
			return err
		}
		if err := p.signIn(ctx, other); err != nil {
			return err
		}
		if err := p.check(ctx, other, "on another device"); err != nil {
			return err
		}
	}
	if p.number%6 == 0 {
		if _, err := p.post(ctx, "/signout"); err != nil {
			return err
		}
		return p.signIn(ctx, p.browser)
	}
	return nil
}

func (p *person) signIn(ctx context.Context, from *browser) error {
	a, err := from.patiently(ctx, "/signin", "email", p.name, "password", passphrase)
	if err != nil {
		return err
	}
	if a.status != http.StatusSeeOther {
		p.miss("a sign-in was answered with %d", a.status)
	}
	return nil
}

// takeStock checks that the person is who they were and has what they made, in their
// browser and in the database. With again, it also checks for a member whether they can
// sign in from a browser that is new.
func (p *person) takeStock(ctx context.Context, anew bool) error {
	if err := p.check(ctx, p.browser, "at home"); err != nil {
		return err
	}
	if err := p.write(ctx, p.browser, "after the storm"); err != nil {
		return err
	}
	if p.member && anew {
		p.second = p.s.browser(p.crowd, p.address)
		if err := p.signIn(ctx, p.second); err != nil {
			return err
		}
		if err := p.check(ctx, p.second, "elsewhere"); err != nil {
			return err
		}
	}
	stored, owner, err := p.s.stored(ctx, p.id, p.name)
	if err != nil {
		return err
	}
	p.compare(stored, "in the database")
	if p.member && owner != p.id {
		p.miss("their name is %s's, and they are %s", owner, p.id)
	}
	return nil
}

// comeBack tries to sign in while another client tries their name, or from their
// address. It does so in a browser where they were signed in before, and in a new one.
// To be told to wait is no loss.
func (p *person) comeBack(ctx context.Context, c *crowd) error {
	if p.second == nil {
		return nil
	}
	if a, err := p.second.post(ctx, "/signout"); err != nil || a.status != http.StatusSeeOther {
		p.miss("a sign-out was answered with %d", a.status)
		return err
	}
	again := *p.second
	again.crowd = c
	for _, b := range []*browser{&again, p.s.browser(c, p.address)} {
		a, err := b.patiently(ctx, "/signin", "email", p.name, "password", passphrase)
		switch {
		case err != nil:
			return err
		case a.status == http.StatusSeeOther:
			err = p.check(ctx, b, "in the evening")
		case a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "":
			p.miss("a sign-in under siege was answered with %d", a.status)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *person) check(ctx context.Context, from *browser, where string) error {
	k, err := p.look(ctx, from)
	if err != nil {
		return err
	}
	p.compare(k, where)
	return nil
}

func (p *person) compare(k kept, where string) {
	if k.ID != p.id {
		p.miss("%s they are %s, and were %s", where, k.ID, p.id)
	}
	if k.Anonymous == p.member {
		p.miss("%s they are anonymous: %v", where, k.Anonymous)
	}
	slices.Sort(p.notes)
	if !slices.Equal(k.Notes, p.notes) {
		p.miss("%s they have %q, and wrote %q", where, k.Notes, p.notes)
	}
}
