package clients_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// together runs f n times at once, on both replicas in turn.
func (s *site) together(n int, f func(i int, r *replica)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i, s.replicas[i%2]) })
	}
	wg.Wait()
}

// count says how often each status and code came.
func count(answers []answer) string {
	n := map[string]int{}
	for _, a := range answers {
		n[strings.TrimSpace(fmt.Sprint(a.status, " ", a.Code))]++
	}
	text, _ := json.Marshal(n)
	return string(text)
}

// testRaceForOneAddress has 20 anonymous users on two replicas ask for one address at
// once, where addresses are taken as proven, and where codes prove them.
func testRaceForOneAddress(t *testing.T, database func() share) {
	s := newSite(t, database, autoconfirm)
	for round := range 3 {
		var users [20]answer
		for i := range users {
			users[i] = s.replicas[i%2].anonymous()
		}
		answers := make([]answer, len(users))
		s.together(len(users), func(i int, r *replica) {
			answers[i] = r.do("PUT", "/user", users[i].Access, fmt.Sprintf(`{"email":"ann%d@example.com"}`, round))
		})
		if got := count(answers); got != `{"200":1,"422 email_exists":19}` {
			t.Fatalf("got %s, want one 200 and 19 422 email_exists", got)
		}
		for i, a := range answers {
			u := s.replicas[(i+1)%2].do("GET", "/user", users[i].Access, "").want(t, 200, "")
			if u.ID != users[i].User.ID {
				t.Errorf("got the user %s, want %s", u.ID, users[i].User.ID)
			}
			if next := s.replicas[(i+1)%2].refresh(users[i].Refr).want(t, 200, ""); next.User.ID != users[i].User.ID || next.User.Anonymous != (a.status != 200) {
				t.Errorf("after %d: got %+v", a.status, next.User)
			}
		}
	}
}

// testRaceByOneCode has one code typed in 20 times at once: one session is opened.
func testRaceByOneCode(t *testing.T, database func() share) {
	s := newSite(t, database)
	user := s.replicas[0].anonymous()
	s.replicas[1].do("PUT", "/user", user.Access, `{"email":"ann@example.com"}`).want(t, 200, "")
	body := `{"email":"ann@example.com","type":"email_change","token":"` + s.mail[0].Code + `"}`
	answers := make([]answer, 5) // each is one of five tries
	s.together(len(answers), func(i int, r *replica) { answers[i] = r.do("POST", "/verify", "", body) })
	if got := count(answers); got != `{"200":1,"403 otp_expired":4}` {
		t.Fatalf("got %s, want one 200 and 4 403 otp_expired", got)
	}
	for _, a := range answers {
		if a.status == 200 && (a.User.ID != user.User.ID || a.User.Anonymous) {
			t.Errorf("got %+v, want the ID %s", a.User, user.User.ID)
		}
	}
}

// testFiveTabs has five tabs refresh at once on two replicas: each gets the same new
// token.
func testFiveTabs(t *testing.T, database func() share) {
	s := newSite(t, database)
	for range 5 {
		user := s.replicas[0].anonymous()
		answers, tokens := make([]answer, 5), map[string]bool{}
		s.together(len(answers), func(i int, r *replica) { answers[i] = r.refresh(user.Refr) })
		for _, a := range answers {
			tokens[a.Refr] = true
			if a.User.ID != user.User.ID {
				t.Errorf("got the user %s, want %s", a.User.ID, user.User.ID)
			}
		}
		if got := count(answers); got != `{"200":5}` || len(tokens) != 1 || tokens[user.Refr] {
			t.Fatalf("got %s and %d new tokens, want five 200 and one", got, len(tokens))
		}
		for i, a := range answers {
			s.replicas[(i+1)%2].do("GET", "/user", a.Access, "").want(t, 200, "")
		}
		s.replicas[1].refresh(answers[0].Refr).want(t, 200, "")
	}
}

// testReuse holds that a refresh token that is used again after the interval ends its
// session, on the other replica as well, and that the operator is told once.
func testReuse(t *testing.T, database func() share) {
	t.Parallel() // each waits for the interval
	s := newSite(t, database)
	one, two := s.replicas[0], s.replicas[1]
	user, other := one.anonymous(), one.anonymous()
	next := one.refresh(user.Refr).want(t, 200, "")
	two.do("GET", "/user", next.Access, "").want(t, 200, "")
	time.Sleep(10*time.Second + 500*time.Millisecond)
	two.refresh(user.Refr).want(t, 400, "refresh_token_already_used")
	for _, r := range s.replicas {
		r.do("GET", "/user", next.Access, "").want(t, 403, "session_not_found")
		r.refresh(next.Refr).want(t, 400, "refresh_token_not_found")
		r.refresh(user.Refr).want(t, 400, "refresh_token_not_found")
		r.refresh(other.Refr).want(t, 200, "")
	}
	if n := s.did("refresh_token_reused"); n != 1 {
		t.Errorf("the operator was told %d times", n)
	}
}

// testMutatedRefreshTokens holds that the endpoint takes no refresh token but the one
// that it gave.
func testMutatedRefreshTokens(t *testing.T, database func() share) {
	s := newSite(t, database)
	r := s.replicas[0]
	token, other := r.anonymous().Refr, r.anonymous().Refr
	all := map[string]bool{"": true, " ": true, "null": true, "0": true, token + "=": true, token + "A": true, "A" + token: true, token + token: true, token + "." + other: true,
		strings.ToUpper(token): true, strings.ToLower(token): true, token + "\\u0000": true, token + "\\n": true, "\\ufeff" + token: true, " " + token: true, token + " ": true,
		"Bearer " + token: true, publishable: true, secretKey: true, strings.Repeat("A", len(token)): true, strings.Repeat(token, 500): true}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/="
	for i := range token {
		all[token[:i]] = true
		all[token[i+1:]] = true
		all[token[:i]+token[i+1:]] = true
		all[token[:i]+other[i:]] = true
		all[other[:i]+token[i:]] = true
		for _, l := range letters[i%16 : i%16+4] {
			all[token[:i]+string(l)+token[i+1:]] = true
		}
	}
	delete(all, token)
	delete(all, other)
	for mutated := range all {
		if a := r.refresh(mutated); a.status != 400 || a.Code != "validation_failed" {
			t.Errorf("%q: got %d %s", mutated, a.status, a.text)
		}
	}
	r.refresh(token).want(t, 200, "")
	if n := s.did("refresh_token_reused"); n != 0 {
		t.Errorf("%d sessions were ended", n)
	}
}
