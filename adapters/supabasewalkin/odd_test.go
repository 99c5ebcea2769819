package supabasewalkin_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
)

// routes returns all patterns of the endpoint, without their methods.
func (s *site) routes() []string {
	s.t.Helper()
	h, err := supabasewalkin.New(s.wk, supabasewalkin.Config{URL: "https://app.example/auth/v1", SiteURL: siteURL, Profiles: supabasewalkin.Memory()})
	if err != nil {
		s.t.Fatal(err)
	}
	var paths []string
	for _, pattern := range supabasewalkin.Patterns(h) {
		_, path, ok := strings.Cut(pattern, " ")
		if !ok {
			path = pattern
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

var fill = strings.NewReplacer("{id}", "83fd9e20-7a80-46e4-bf29-a86e3d6bbf66", "{key}", "x", "{factor}", "x", "{provider}", "google")

// raw sends a path as it is, without the tidying of an URL parser.
func (s *site) raw(method, path, token, body string, header http.Header) answer {
	s.t.Helper()
	r := httptest.NewRequest(method, "https://app.example/auth/v1/", strings.NewReader(body))
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut("/auth/v1"+path, "?")
	r.Header = http.Header{"Apikey": {publishable}, "X-Supabase-Api-Version": {"2024-01-01"}}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	return answer{Response: w.Result(), text: w.Body.String()}
}

var code = regexp.MustCompile(`^[a-z0-9_]+$`)

// inWords fails unless an answer is one that clients can read: JSON with a code, no
// 5xx, and no redirect but of the routes that lead a browser on.
func inWords(t *testing.T, what string, path string, a answer) {
	t.Helper()
	isJSON := a.Header.Get("Content-Type") == "application/json"
	leads := path == "/verify" || path == "/authorize" || strings.HasPrefix(path, "/callback/")
	switch {
	case a.StatusCode == http.StatusNoContent, a.StatusCode == http.StatusOK && isJSON, leads && a.StatusCode/100 == 3:
	case a.StatusCode/100 == 4 && isJSON && code.MatchString(a.Header.Get("X-Sb-Error-Code")):
	default:
		t.Errorf("%s: got %d %v %.200s", what, a.StatusCode, a.Header, a.text)
	}
}

// TestOddRequests holds that every route answers every method, path and body in the
// words of the API: nothing is a 5xx, at which clients try again for half a minute, and
// nothing is no JSON.
func TestOddRequests(t *testing.T) {
	s := newSite(t, func(w *walkin.Config, _ *supabasewalkin.Config) {})
	ann := s.upgraded("ann@example.com")
	paths := append(s.routes(), "", "//", "/nothing", "//user", "//evil.example/user", "/user/", "/signup/", "/./user", "/admin/../user", "/oauth/x/../y",
		"/admin/oauth/clients", "/admin/sso/providers/x", "/scim/v2/Users", "/user\x00", "/admin/users/\x00", "/admin/users/"+strings.Repeat("9", 5000), "/user/identities/",
		"/token", "/token?grant_type=refresh_token", "/token?grant_type=pkce", "/token?grant_type=id_token", "/token?grant_type=password", "/token?grant_type=password&grant_type=pkce", "/token?grant_type=%zz",
		"/admin/users?page=99999999999999999999", "/admin/users?page=1000000&per_page=1000000", "/logout?scope=%00")
	bodies := []string{"", "{}", "[]", "null", "0", `"x"`, "{", "\x00", "\xef\xbb\xbf{}", "{}{}", "{} x", strings.Repeat("[", 60_000), `{"a":` + strings.Repeat("[", 30_000),
		`{"email":["a@b.example"]}`, `{"email":"a@b.example","email":"c@d.example"}`, `{"email":"a@b.example","Email":"c@d.example"}`, `{"email":null,"phone":null,"password":null,"data":null}`,
		`{"data":[]}`, `{"data":"x"}`, `{"data":{"a":1e999}}`, `{"data":{"a":12345678901234567890}}`, `{"data":{"\u0000":"\u0000\ud800"}}`, `{"email":"\ud800@b.example","password":"\ud800\u0000"}`,
		`{"email":"a@b.example\u0000","password":"x"}`, `{"email":"` + strings.Repeat("a", 50_000) + `@b.example"}`, `{"password":"` + strings.Repeat("p", 50_000) + `"}`, `{"x":"` + strings.Repeat("x", 70_000) + `"}`,
		`{"type":"email","email":"a@b.example","token":"` + strings.Repeat("1", 9999) + `"}`, `{"refresh_token":"` + strings.Repeat("a", 9999) + `"}`, `{"auth_code":"\u0000","code_verifier":"\u0000"}`,
		`{"provider":"google","id_token":"\u0000"}`, `{"challenge_id":"\u0000","credential":"x"}`, `{"code_challenge":"x","code_challenge_method":"s256","email":"a@b.example"}`, `{"create_user":"yes","email":"a@b.example"}`,
		`{"type":"magiclink","email":"new@b.example"}`, `{"type":"email_change_new","email":"ann@example.com","new_email":[]}`, `{"ban_duration":"1e9h"}`, `{"ban_duration":"-1h"}`, `{"role":"\u0000"}`, `{"should_soft_delete":"x"}`,
		`{"email_confirm":"x"}`, `{"link_identity":1,"provider":"google","id_token":"x"}`}
	methods := []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "get"}
	n := 0
	for _, path := range paths {
		plain, _, _ := strings.Cut(path, "?")
		for _, method := range methods {
			for _, token := range []string{"", "garbage", "a.b.c", ann.access, secretKey} {
				if token == ann.access && (plain == "/logout" || strings.HasPrefix(plain, "/user")) && method != "GET" && method != "PUT" {
					continue // it ends there
				}
				some := bodies
				if method != "POST" && method != "PUT" && method != "DELETE" {
					some = []string{"", "{}", "{"}
				}
				for _, body := range some {
					a := s.raw(method, fill.Replace(path), token, body, nil)
					inWords(t, fmt.Sprintf("%s %.80q %.20q %.80q", method, path, token, body), plain, a)
					n++
				}
			}
		}
	}
	if n < 20_000 {
		t.Errorf("only %d requests were made", n)
	}
	s.get("/user", ann.access).want(t, 200, "")
}

// TestOddHeaders does the same for what stands around a body.
func TestOddHeaders(t *testing.T) {
	s := newSite(t)
	ann := s.upgraded("ann@example.com")
	for _, path := range s.routes() {
		for name, header := range map[string]http.Header{
			"a cookie beside the bearer": {"Cookie": {"__Host-walkin=" + ann.access + "; __Host-walkin-anon=x; __Host-walkin-supabase=x"}},
			"two bearers":                {"Authorization": {"Bearer " + ann.access, "Bearer x"}},
			"a basic":                    {"Authorization": {"Basic YTpi"}},
			"an empty bearer":            {"Authorization": {"Bearer "}},
			"bearer twice in one":        {"Authorization": {"Bearer Bearer " + ann.access}},
			"two keys":                   {"Apikey": {"x", publishable}},
			"no key":                     {"Apikey": nil},
			"a form":                     {"Content-Type": {"application/x-www-form-urlencoded"}},
			"text":                       {"Content-Type": {"text/plain"}},
			"two types":                  {"Content-Type": {"application/json", "text/plain"}},
			"a broken type":              {"Content-Type": {"application/json; charset"}},
			"another charset":            {"Content-Type": {"application/json; charset=utf-16"}},
			"packed":                     {"Content-Encoding": {"gzip"}},
			"another version":            {"X-Supabase-Api-Version": {"1999-01-01\x00"}},
			"many addresses":             {"X-Forwarded-For": {strings.Repeat("1.2.3.4, ", 2000)}},
			"a null origin":              {"Origin": {"null"}},
		} {
			for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
				if path == "/logout" && method == "POST" {
					continue
				}
				inWords(t, name+" "+method+" "+path, path, s.raw(method, fill.Replace(path), "", "{}", header))
			}
		}
	}
	// A cookie alone is no one here, and a bearer stays who it is beside one.
	s.raw("GET", "/user", "", "", http.Header{"Cookie": {"__Host-walkin=" + ann.access}}).status(t, 401)
	s.raw("GET", "/user", s.anonymous().access, "", http.Header{"Cookie": {"__Host-walkin=" + ann.access}}).status(t, 200)
}

func (a answer) status(t *testing.T, want int) {
	t.Helper()
	if a.StatusCode != want {
		t.Errorf("got %d %s, want %d", a.StatusCode, a.text, want)
	}
}

// TestTypesOfFields holds that a field of a wrong type is refused by each route that
// reads it: passed over, an address in a list would make an anonymous user.
func TestTypesOfFields(t *testing.T) {
	s := newSite(t)
	ann := s.upgraded("ann@example.com")
	rows := func() string { return s.get("/admin/users", secretKey).Header.Get("X-Total-Count") }
	before := rows()
	refuse := func(path, token, body string) {
		t.Helper()
		for _, method := range []string{"POST", "PUT", "PATCH"} {
			a := s.do(request{method: method, path: fill.Replace(path), token: token, body: body})
			if a.StatusCode != 405 && a.StatusCode != 404 && (a.StatusCode != 400 || a.str("code") != "bad_json") {
				t.Errorf("%s %s %s: got %d %s", method, path, body, a.StatusCode, a.text)
			}
		}
	}
	names := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(`\bc\.(?:text|has)\("([a-z_]+)"\)`).FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
	}
	if len(names) < 20 {
		t.Fatalf("found only the fields %v", names)
	}
	for path, token := range map[string]string{"/signup": "", "/token?grant_type=password": "", "/otp": "", "/verify": "", "/resend": "", "/recover": "", "/user": ann.access, "/factors": ann.access,
		"/passkeys/authentication/verify": "", "/admin/users": secretKey, "/admin/users/{id}": secretKey, "/admin/generate_link": secretKey, "/invite": secretKey} {
		for name := range names {
			for _, value := range []string{"1", "true", "[]", `["a@b.example"]`, "{}", `{"a":"a@b.example"}`} {
				refuse(path, token, `{"`+name+`":`+value+`}`)
			}
		}
		for _, body := range []string{"", "[]", "null", `"x"`, "{}{}", `{"email":"a@b.example","email":"c@d.example"}`, `{"email":"a@b.example","EMAIL":"c@d.example"}`} {
			if body == "" {
				a := s.do(request{method: "POST", path: fill.Replace(path), token: token})
				if a.StatusCode != 405 && a.StatusCode != 404 && a.str("code") != "bad_json" {
					t.Errorf("%s without a body: got %d %s", path, a.StatusCode, a.text)
				}
				continue
			}
			refuse(path, token, body)
		}
	}
	if after := rows(); after != before {
		t.Errorf("there were %s users, and now there are %s", before, after)
	}
}

// TestHead holds that a HEAD changes nothing: mail scanners and link checkers send it.
func TestHead(t *testing.T) {
	s := newSite(t)
	s.post("/otp", "", `{"email":"ann@example.com"}`).want(t, 200, "")
	_, link, _ := strings.Cut(s.last().Link, "/auth/v1")
	for range 2 {
		if a := s.raw("HEAD", link, "", "", nil); a.StatusCode != 405 || a.Header.Get("Allow") != "GET" {
			t.Errorf("got %d %v", a.StatusCode, a.Header)
		}
	}
	ann := (&client{site: s}).take(s.post("/verify", "", `{"email":"ann@example.com","token":"`+s.last().Code+`","type":"email"}`))
	sent := len(s.mail)
	s.raw("HEAD", "/reauthenticate", ann.access, "", nil).status(t, 405)
	s.raw("HEAD", "/authorize?provider=google", "", "", nil).status(t, 405)
	s.raw("HEAD", "/user/identities/authorize?provider=google", ann.access, "", nil).status(t, 405)
	if len(s.mail) != sent {
		t.Error("a HEAD has sent a message")
	}
	for _, path := range []string{"/health", "/settings", "/.well-known/jwks.json"} {
		s.raw("HEAD", path, "", "", nil).status(t, 200)
	}
	s.raw("HEAD", "/user", ann.access, "", nil).status(t, 200)
	if a := s.raw("POST", "/user", ann.access, "{}", nil); a.StatusCode != 405 || a.Header.Get("Allow") != "GET, PUT" {
		t.Errorf("got %d %v", a.StatusCode, a.Header)
	}
}

// TestWhoBeforeWhat holds that who calls is looked at before what they say: a stranger
// learns no more from a good body than from a bad one.
func TestWhoBeforeWhat(t *testing.T) {
	s := newSite(t)
	for _, body := range []string{"", "{", "{}", `{"email":1}`} {
		a := s.raw("PUT", "/user", "", body, nil)
		b := s.raw("POST", "/admin/users", "", body, nil)
		c := s.raw("POST", "/signup", "", body, http.Header{"Apikey": nil})
		d := s.raw("POST", "/sso", "", body, nil)
		if a.StatusCode != 401 || b.StatusCode != 401 || c.StatusCode != 401 || d.StatusCode != 404 {
			t.Errorf("%q: got %d, %d, %d and %d", body, a.StatusCode, b.StatusCode, c.StatusCode, d.StatusCode)
		}
	}
}

// TestSoftDelete holds that who asks for a user to be kept does not lose them.
func TestSoftDelete(t *testing.T) {
	s := newSite(t)
	ann := s.upgraded("ann@example.com")
	s.do(request{method: "DELETE", path: "/admin/users/" + ann.id, token: secretKey, body: `{"should_soft_delete":true}`}).want(t, 400, "validation_failed")
	s.get("/user", ann.access).want(t, 200, "")
	s.do(request{method: "DELETE", path: "/admin/users/" + uuid.NewString(), token: secretKey, body: `{"should_soft_delete":false}`}).want(t, 404, "user_not_found")
	s.do(request{method: "DELETE", path: "/admin/users/" + ann.id, token: secretKey, body: `{"should_soft_delete":false}`}).want(t, 200, "")
	s.get("/user", ann.access).want(t, 403, "")
}

// TestSpellings holds that no other address becomes the one spelling of an address.
func TestSpellings(t *testing.T) {
	s := newSite(t)
	s.upgraded("kate@example.com")
	for _, typed := range []string{"\u212aate@example.com", "kate@\u212aing.example", "kate@exam\u017fple.com", "\uff4bate@example.com", "k\u200bate@example.com", "kate@example.com\u202e"} {
		a := s.do(request{method: "POST", path: "/otp", body: `{"email":"` + typed + `"}`})
		if a.StatusCode != 400 || a.str("code") != "validation_failed" {
			t.Errorf("%+q: got %d %s", typed, a.StatusCode, a.text)
		}
	}
}
