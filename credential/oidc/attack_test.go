package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/walkintest"
)

// victims are the visitors an attacker may find.
var victims = map[string]func(*site) *walkintest.Client{
	"nobody":           func(s *site) *walkintest.Client { return s.browser() },
	"a guest":          func(s *site) *walkintest.Client { c, _ := s.anonymous(); return c },
	"a permanent user": func(s *site) *walkintest.Client { c, _ := s.member("bea"); return c },
	"who began one of their own": func(s *site) *walkintest.Client {
		c := s.browser()
		s.press(c, "op")
		return c
	},
	"a guest who began one of their own": func(s *site) *walkintest.Client {
		c, _ := s.anonymous()
		s.press(c, "op")
		return c
	},
}

// TestAttackersAnswer is scenario 6: an attacker's code and state, opened in the
// victim's browser, do not sign in to the attacker's account and attach nothing.
func TestAttackersAnswer(t *testing.T) {
	attackers := map[string]func(*site) *walkintest.Client{
		"nobody":  func(s *site) *walkintest.Client { return s.browser() },
		"a guest": func(s *site) *walkintest.Client { c, _ := s.anonymous(); return c },
		"a user":  func(s *site) *walkintest.Client { c, _ := s.member("mallory"); return c },
	}
	for from, attacker := range attackers {
		for to, victim := range victims {
			t.Run(from+" to "+to, func(t *testing.T) {
				s := newSite(t, minting(walkin.MintOnWrite))
				answer := s.op.answer(s.press(attacker(s), "op"), "mallory")
				v := victim(s)
				before := s.glance(v)
				r := s.back(v, "op", answer)
				if r.StatusCode != http.StatusForbidden || s.reason() != "oidc_browser" {
					t.Errorf("got %d for %q", r.StatusCode, s.reason())
				}
				if after := s.glance(v); after != before {
					t.Errorf("got %+v, want %+v as before", after, before)
				}
				if _, err := s.store.Identity(t.Context(), issuer, "mallory"); err == nil {
					t.Error("the attacker's identity was attached")
				}
				if s.op.called("/token") != 0 {
					t.Error("the code was shown to the provider")
				}
			})
		}
	}
}

// TestReplayedState holds that an answer counts once, and that of any number of
// requests with it at the same moment, on two replicas, one does.
func TestReplayedState(t *testing.T) {
	s := newSite(t)
	c, _ := s.anonymous()
	answer := s.op.answer(s.press(c, "op"), "ann")
	if r := s.back(c, "op", answer); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("got %d for %q", r.StatusCode, s.reason())
	}
	before := s.who(c)
	for i := range 2 {
		s.refused(c, s.back(c.On(s.replicas[i]), "op", answer), before, http.StatusForbidden, "oidc_state")
	}
	thief := s.browser()
	s.refused(thief, s.back(thief, "op", answer), s.who(thief), http.StatusForbidden, "oidc_state")

	s = newSite(t)
	c, guest := s.anonymous()
	answer = s.op.answer(s.press(c, "op"), "ann")
	var statuses [20]int
	var wg sync.WaitGroup
	for i := range statuses {
		r := callback(c, "op", answer)
		c.Carry(r)
		wg.Go(func() {
			response, err := c.On(s.replicas[i%2]).Serve(r)
			if err != nil {
				t.Error(err)
				return
			}
			if statuses[i] = response.StatusCode; response.StatusCode == http.StatusSeeOther {
				c.Keep(response)
			}
		})
	}
	wg.Wait()
	won := 0
	for _, status := range statuses {
		if status == http.StatusSeeOther {
			won++
		} else if status != http.StatusForbidden {
			t.Errorf("got %d", status)
		}
	}
	if after := s.who(c); won != 1 || s.op.called("/token") != 1 || after.ID != guest.ID || after.Anonymous {
		t.Errorf("%d won, %d exchanges, got %+v", won, s.op.called("/token"), after)
	}
}

// TestOldRoundTrip is scenario 9: what was begun before the visitor became another
// user, by whatever way, completes nothing afterwards.
func TestOldRoundTrip(t *testing.T) {
	for name, change := range map[string]func(*site, *walkintest.Client){
		"an upgrade by a password": func(_ *site, c *walkintest.Client) { c.Post("/prove", url.Values{"name": {"ann"}}) },
		"an upgrade by another provider": func(s *site, c *walkintest.Client) {
			s.back(c, "other", s.other.answer(s.press(c, "other"), "ann"))
		},
		"a sign-out": func(_ *site, c *walkintest.Client) { c.Post("/out", nil) },
	} {
		for _, kind := range []string{"nobody", "a guest", "a permanent user"} {
			if kind == "nobody" && name == "a sign-out" {
				continue // without a user there is no sign-out
			}
			t.Run(kind+", "+name, func(t *testing.T) {
				s := newSite(t, minting(walkin.MintOnWrite))
				c := victims[kind](s)
				answer := s.op.answer(s.press(c, "op"), "mallory")
				change(s, c)
				before := s.glance(c)
				for i := range s.replicas {
					r := s.back(c.On(s.replicas[i]), "op", answer)
					if r.StatusCode != http.StatusForbidden {
						t.Errorf("got %d", r.StatusCode)
					}
				}
				if after := s.glance(c); after != before {
					t.Errorf("got %+v, want %+v as before", after, before)
				}
				if _, err := s.store.Identity(t.Context(), issuer, "mallory"); err == nil {
					t.Error("the identity was attached")
				}
			})
		}
	}
}

// TestExpiredRoundTrip holds that 15 minutes are the end of it.
func TestExpiredRoundTrip(t *testing.T) {
	for after, want := range map[time.Duration]int{14 * time.Minute: http.StatusSeeOther, 16 * time.Minute: http.StatusForbidden} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			c, _ := s.anonymous()
			to := s.press(c, "op")
			time.Sleep(after)
			if r := s.back(c, "op", s.op.answer(to, "ann")); r.StatusCode != want {
				t.Errorf("after %v: got %d, want %d", after, r.StatusCode, want)
			}
		})
	}
}

// TestMixUp holds that an answer counts only as the one of the provider that
// was asked.
func TestMixUp(t *testing.T) {
	sendsIss := func(s *site) {
		s.op.discovery = func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = true }
	}
	for _, c := range []struct {
		name   string
		setup  func(*site)
		change func(url.Values)
		at     string // the callback it is brought to
		reason string // empty: it is accepted
	}{
		{"no iss", nil, func(url.Values) {}, "op", ""},
		{"its own iss", nil, func(v url.Values) { v.Set("iss", issuer) }, "op", ""},
		{"its own iss, announced", sendsIss, func(v url.Values) { v.Set("iss", issuer) }, "op", ""},
		{"another iss", nil, func(v url.Values) { v.Set("iss", other) }, "op", "oidc_mix_up"},
		{"another iss with an error", nil, func(v url.Values) { v.Set("iss", other); v.Set("error", "access_denied") }, "op", "oidc_mix_up"},
		{"no iss, though announced", sendsIss, func(url.Values) {}, "op", "oidc_mix_up"},
		{"another's callback", nil, func(url.Values) {}, "other", "oidc_mix_up"},
		{"another's callback and iss", nil, func(v url.Values) { v.Set("iss", other) }, "other", "oidc_mix_up"},
		{"nobody's callback", nil, func(url.Values) {}, "unheard-of", "oidc_unknown_provider"},
		{"two codes", nil, func(v url.Values) { v.Add("code", "x") }, "op", "oidc_malformed"},
		{"two states", nil, func(v url.Values) { v.Add("state", "x") }, "op", "oidc_malformed"},
		{"two issuers", nil, func(v url.Values) { v.Set("iss", issuer); v.Add("iss", other) }, "op", "oidc_malformed"},
		{"no state", nil, func(v url.Values) { v.Del("state") }, "op", "oidc_state"},
		{"the state as a post's", nil, func(v url.Values) { v.Set("posted", v.Get("state")); v.Del("state") }, "op", "oidc_state"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			if c.setup != nil {
				c.setup(s)
			}
			b, before := s.anonymous()
			answer := s.op.answer(s.press(b, "op"), "ann")
			c.change(answer)
			r := s.back(b, c.at, answer)
			if c.reason == "" {
				if r.StatusCode != http.StatusSeeOther {
					t.Errorf("got %d for %q", r.StatusCode, s.reason())
				}
				return
			}
			s.refused(b, r, before, r.StatusCode, c.reason)
			if r.StatusCode < 400 || s.op.called("/token")+s.other.called("/token") != 0 {
				t.Errorf("got %d, and %d codes were shown", r.StatusCode, s.op.called("/token")+s.other.called("/token"))
			}
		})
	}
}

// TestIDToken holds which ID tokens prove nothing.
func TestIDToken(t *testing.T) {
	claim := func(name string, value any) func(*op) {
		return func(o *op) {
			o.claims = func(m map[string]any) {
				if m[name] = value; value == nil {
					delete(m, name)
				}
			}
		}
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := func(o *op, form string) []byte {
		der, err := x509.MarshalPKIXPublicKey(o.key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if form == "pem" {
			return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		}
		return der
	}
	hs256 := func(form string) func(*op) {
		return func(o *op) {
			o.sign = func(jose.SigningKey) jose.SigningKey {
				return jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: public(o, form), KeyID: "1"}}
			}
		}
	}
	for name, c := range map[string]struct {
		want  string
		fault func(*op)
	}{
		"another nonce":       {"nonce", claim("nonce", "guessed")},
		"no nonce":            {"nonce", claim("nonce", nil)},
		"an empty nonce":      {"nonce", claim("nonce", "")},
		"another audience":    {"for another client", claim("aud", "another client")},
		"no audience":         {"for another client", claim("aud", nil)},
		"two audiences":       {"to another client", claim("aud", []string{"client", "another client"})},
		"another azp":         {"to another client", claim("azp", "another client")},
		"another issuer":      {"another issuer", claim("iss", other)},
		"no issuer":           {"another issuer", claim("iss", nil)},
		"expired":             {"expired", claim("exp", time.Now().Add(-time.Minute).Unix())},
		"no expiry":           {"expired", claim("exp", nil)},
		"not yet":             {"not valid yet", claim("nbf", time.Now().Add(time.Hour).Unix())},
		"no subject":          {"no subject", claim("sub", "")},
		"a subject of 256":    {"bad_identity", claim("sub", strings.Repeat("x", 256))},
		"a number as subject": {"claims of the ID token are malformed", claim("sub", 7)},
		"a text as auth_time": {"claims of the ID token are malformed", claim("auth_time", "now")},
		"another at_hash":     {"access token", claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
		"HS256 with the DER":  {"algorithm", hs256("der")},
		"HS256 with the PEM":  {"algorithm", hs256("pem")},
		"a stranger's key": {"signature", func(o *op) {
			o.sign = func(jose.SigningKey) jose.SigningKey {
				return jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: stranger, KeyID: "1"}}
			}
		}},
		"none": {"algorithm", func(o *op) {
			o.idToken = func(token string) string {
				_, payload, _ := strings.Cut(token, ".")
				payload, _, _ = strings.Cut(payload, ".")
				return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + payload + "."
			}
		}},
		"no signature": {"signature", func(o *op) {
			o.idToken = func(token string) string { return token[:strings.LastIndex(token, ".")+1] }
		}},
		"other claims": {"signature", func(o *op) {
			o.idToken = func(token string) string {
				parts := strings.Split(token, ".")
				payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
				var c map[string]any
				_ = json.Unmarshal(payload, &c)
				c["sub"] = "ann"
				payload, _ = json.Marshal(c)
				parts[1] = base64.RawURLEncoding.EncodeToString(payload)
				return strings.Join(parts, ".")
			}
		}},
		"nonsense": {"malformed", func(o *op) { o.idToken = func(string) string { return "eyJ.eyJ.eyJ" } }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.prove(s.browser(), "ann") // the keys are fetched, and the provider works
			c.fault(s.op)
			b, before := s.anonymous()
			r := s.prove(b, "mallory")
			reason := "oidc_not_believed"
			if name == "a subject of 256" {
				reason = "bad_identity"
			}
			if r.StatusCode < 400 || r.StatusCode >= 500 {
				t.Errorf("got %d", r.StatusCode)
			}
			s.refused(b, r, before, r.StatusCode, reason)
			if got := s.cause(); !strings.Contains(got, c.want) {
				t.Errorf("the owner is told %q, want %q in it", got, c.want)
			}
		})
	}
	sum := sha256.Sum256([]byte(accessToken))
	for name, claims := range map[string]map[string]any{
		"two audiences and an azp": {"aud": []string{"client", "an API"}, "azp": "client"},
		"one audience and an azp":  {"azp": "client"},
		"the right at_hash":        {"at_hash": base64.RawURLEncoding.EncodeToString(sum[:16])},
		"a subject of 255":         {"sub": strings.Repeat("x", 255)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.op.claims = func(m map[string]any) { maps.Copy(m, claims) }
			c, _ := s.anonymous()
			if r := s.prove(c, "ann"); r.StatusCode != http.StatusSeeOther {
				t.Errorf("got %d for %q", r.StatusCode, s.cause())
			}
		})
	}
}

// TestInjectedCode holds that a code which was issued for another login flow is worth
// nothing in this one: by PKCE, and if the provider does not check it, by the nonce.
func TestInjectedCode(t *testing.T) {
	for _, checks := range []bool{true, false} {
		s := newSite(t)
		victim := s.browser()
		stolen := s.op.answer(s.press(victim, "op"), "ann").Get("code")
		if !checks {
			s.op.token = func(w http.ResponseWriter, form url.Values) bool {
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(map[string]any{
					"access_token": accessToken, "token_type": "Bearer", "id_token": s.op.mint(s.op.codes[form.Get("code")])})
				return true
			}
		}
		attacker, before := s.anonymous()
		state := s.press(attacker, "op").Query().Get("state")
		r := s.back(attacker, "op", url.Values{"state": {state}, "code": {stolen}})
		s.refused(attacker, r, before, http.StatusForbidden, "oidc_not_believed")
	}
}

// TestPKCE holds that every exchange shows a verifier, another one each time.
func TestPKCE(t *testing.T) {
	s := newSite(t)
	seen := map[string]bool{}
	s.op.token = func(_ http.ResponseWriter, form url.Values) bool {
		if v := form.Get("code_verifier"); len(v) < 43 || seen[v] {
			t.Errorf("got the verifier %q", v)
		} else {
			seen[v] = true
		}
		return false
	}
	for _, sub := range []string{"ann", "bea"} {
		if r := s.prove(s.browser(), sub); r.StatusCode != http.StatusSeeOther {
			t.Errorf("got %d", r.StatusCode)
		}
	}
	if len(seen) != 2 {
		t.Errorf("got %d exchanges", len(seen))
	}
}

// TestLoginCSRF is scenario 5: no other page starts a login flow, and no GET.
func TestLoginCSRF(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"another site": func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Origin", "https://evil.example")
		},
		"a sibling":         func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"a sandbox":         func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "null") },
		"a link":            func(r *http.Request) { r.Method = http.MethodGet },
		"a PUT":             func(r *http.Request) { r.Method = http.MethodPut },
		"a cross-site HEAD": func(r *http.Request) { r.Method = http.MethodHead; r.Header.Set("Sec-Fetch-Site", "cross-site") },
	} {
		for to, victim := range victims {
			s := newSite(t, minting(walkin.MintOnWrite))
			v := victim(s)
			before := s.glance(v)
			r := v.NewRequest(http.MethodPost, "/auth/start?provider=op", nil)
			change(r)
			response := v.Do(r)
			if response.StatusCode != http.StatusForbidden && response.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s, %s: got %d", name, to, response.StatusCode)
			}
			if after := s.glance(v); after != before || len(response.Cookies()) != 0 {
				t.Errorf("%s, %s: got %+v, want %+v as before, and %v", name, to, after, before, response.Cookies())
			}
		}
	}
}

// TestCallbackByPost holds that a callback by another method does nothing.
func TestCallbackByPost(t *testing.T) {
	for _, c := range []struct {
		setup   setup
		methods []string
		allow   string
	}{
		{provider(func(*oidc.Provider) {}), []string{http.MethodPost, http.MethodHead, http.MethodPut, http.MethodOptions}, "GET"},
		{formPost, []string{http.MethodHead, http.MethodPut, http.MethodOptions}, "GET, POST"},
	} {
		s := newSite(t, c.setup)
		b, before := s.anonymous()
		answer := s.op.answer(s.press(b, "op"), "ann")
		for _, method := range c.methods {
			r := callback(b, "op", answer)
			r.Method = method
			response := b.Do(r)
			s.refused(b, response, before, http.StatusMethodNotAllowed, "method")
			if got := response.Header.Get("Allow"); got != c.allow {
				t.Errorf("%s: got Allow %q, want %q", method, got, c.allow)
			}
		}
		unknown := callback(b, "unheard-of", answer)
		unknown.Method = http.MethodPut
		if r := b.Do(unknown); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET" {
			t.Errorf("of no provider: got %d, Allow %q", r.StatusCode, r.Header.Get("Allow"))
		}
		for _, path := range []string{"/auth/", "/auth/other", "/auth/start/other"} {
			r := b.Post(path, pressed("op"))
			s.refused(b, r, before, http.StatusNotFound, "no_route")
		}
		if r := s.back(b, "op", answer); r.StatusCode != http.StatusSeeOther {
			t.Errorf("afterwards: got %d for %q", r.StatusCode, s.reason())
		}
	}
}

// TestPreHijacking has the attacks of Sudhodanan and Paverd that concern
// providers, by their names: an attacker prepares an account, and waits for its
// victim to come by.
func TestPreHijacking(t *testing.T) {
	const address = "ann@example.com"
	vouching := func(o *op, address string, verified bool) {
		o.claims = func(m map[string]any) { m["email"], m["email_verified"] = address, verified }
	}
	believing := func(_ *walkin.Config, c *oidc.Config) { c.Providers[0].VerifiesEmail = true }

	t.Run("classic-federated merge", func(t *testing.T) {
		s := newSite(t, believing)
		_, attackers := s.member(address)
		vouching(s.op, address, true)
		victim, before := s.anonymous()
		if r := s.prove(victim, "ann"); r.StatusCode != http.StatusSeeOther {
			t.Fatalf("got %d for %q", r.StatusCode, s.reason())
		}
		if after := s.who(victim); after.ID == attackers.ID || after.ID != before.ID || s.identities(after.ID) != 1 {
			t.Errorf("got %+v, the attacker is %v", after, attackers.ID)
		}
	})

	t.Run("unexpired session", func(t *testing.T) {
		s := newSite(t)
		attacker, planted := s.anonymous()
		victim := s.browser()
		for _, cookie := range attacker.Cookies() {
			victim.SetCookie(cookie.Name, cookie.Value)
		}
		pending := s.op.answer(s.press(attacker, "op"), "mallory")
		if r := s.prove(victim, "ann"); r.StatusCode != http.StatusSeeOther {
			t.Fatalf("got %d for %q", r.StatusCode, s.reason())
		}
		for i := range s.replicas {
			if r := attacker.On(s.replicas[i]).Post("/note", nil); r.StatusCode != http.StatusUnauthorized {
				t.Errorf("the attacker's session: got %d", r.StatusCode)
			}
		}
		if r := s.back(attacker, "op", pending); r.StatusCode != http.StatusForbidden {
			t.Errorf("the attacker's round trip: got %d", r.StatusCode)
		}
		if after := s.who(victim); after.ID != planted.ID || s.identities(after.ID) != 1 {
			t.Errorf("got %+v with %d identities", after, s.identities(after.ID))
		}
	})

	t.Run("trojan identifier", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			attacker, _ := s.anonymous()
			victim := s.browser()
			for _, cookie := range attacker.Cookies() {
				victim.SetCookie(cookie.Name, cookie.Value)
			}
			if r := s.prove(attacker, "mallory"); r.StatusCode != http.StatusSeeOther {
				t.Fatalf("got %d for %q", r.StatusCode, s.reason())
			}
			attackers := s.who(attacker)
			// The cookie that was planted is dead, so she does not finish his account. For a
			// minute she may be a late click of his own.
			if r := s.prove(victim, "ann"); r.StatusCode != http.StatusConflict || s.reason() != "replaced" {
				t.Errorf("at once: got %d for %q", r.StatusCode, s.reason())
			}
			time.Sleep(time.Minute)
			if r := s.prove(victim, "ann"); r.StatusCode != http.StatusSeeOther {
				t.Fatalf("got %d for %q", r.StatusCode, s.reason())
			}
			hers := s.who(victim)
			if hers.ID == attackers.ID || s.identities(hers.ID) != 1 || s.identities(attackers.ID) != 1 {
				t.Errorf("got %+v, the attacker is %v", hers, attackers.ID)
			}
			// His permanent cookie, planted after a silent sign-in, links nothing of hers
			// either: its owner has not been proven lately.
			victim = s.browser()
			victim.SetCookie(permName, attacker.Cookie(permName))
			r := s.back(victim, "other", s.other.answer(s.press(victim, "other"), "ann"))
			if r.StatusCode != http.StatusForbidden || s.reason() != "not_recent" || s.identities(attackers.ID) != 1 {
				t.Errorf("got %d for %q, %d identities", r.StatusCode, s.reason(), s.identities(attackers.ID))
			}
		})
	})

	t.Run("non-verifying provider", func(t *testing.T) {
		s := newSite(t, believing)
		vouching(s.op, address, true)
		victim := s.browser()
		s.prove(victim, "ann")
		hers := s.who(victim)
		vouching(s.other, address, true) // and no list names it
		attacker := s.browser()
		if r := s.back(attacker, "other", s.other.answer(s.press(attacker, "other"), "ann")); r.StatusCode != http.StatusSeeOther {
			t.Fatalf("got %d for %q", r.StatusCode, s.reason())
		}
		if got := s.who(attacker); got.ID == hers.ID {
			t.Error("the attacker is the victim, by her address and her subject at another provider")
		}
		if p := s.profiles[len(s.profiles)-1]; p.Email != "" || p.UnverifiedEmail != address || p.Provider != other {
			t.Errorf("got %+v", p)
		}
		vouching(s.op, address, false) // listed, and says itself that it is not verified
		s.prove(s.browser(), "mallory")
		if p := s.profiles[len(s.profiles)-1]; p.Email != "" || p.UnverifiedEmail != address {
			t.Errorf("got %+v", p)
		}
	})
}

// TestStartWithoutCookies holds that a client whose cookies do not come back begins no
// login flow without a token: one bound to nothing would complete for any browser.
func TestStartWithoutCookies(t *testing.T) {
	s := newSite(t)
	c := s.browser().On(s.wk[0].WithoutCookies(s.sso[0]))
	r := c.Post("/auth/start", pressed("op"))
	if r.StatusCode != http.StatusUnauthorized || s.reason() != string(walkin.ReasonFlowWithoutToken) || r.Header.Get("Location") != "" {
		t.Errorf("got %d for %q, to %q", r.StatusCode, s.reason(), r.Header.Get("Location"))
	}
}
