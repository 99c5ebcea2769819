package pages_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ask sends JSON, as a page's own script does.
func (b *browser) ask(path, body string, header ...string) (*http.Response, map[string]any) {
	b.t.Helper()
	r := b.NewRequest(http.MethodPost, path, strings.NewReader(body))
	header = append([]string{"Content-Type", "application/json", "Accept", "*/*", "Sec-Fetch-Site", "same-origin",
		"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, header...)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response := b.Do(r)
	var answer map[string]any
	_ = json.NewDecoder(response.Body).Decode(&answer)
	return response, answer
}

// TestPostsAsJSON holds that every form of the pages takes and answers JSON, and only
// from the site itself.
func TestPostsAsJSON(t *testing.T) {
	posts := map[string]string{
		"sign-up": `{"email":"bob@example.com"}`, "sign-up/code": `{"code":"1"}`, "sign-in": `{"email":"ann@example.com","password":"x"}`,
		"sign-in/send": `{"email":"ann@example.com"}`, "sign-in/code": `{"code":"1"}`, "code": `{"code":"1"}`,
		"remove": `{"provider":"x","subject":"y"}`, "password": `{"password":"short"}`, "email": `{"email":"x"}`, "email/code": `{"code":"1"}`,
		"end-session": `{"session":"x"}`, "end-others": `{}`, "download": `{}`, "undo": `{"token":"x"}`,
		"sign-out": `{}`, "delete": `{}`,
	}
	s := newSite(t, nil)
	for path, body := range posts {
		t.Run(path, func(t *testing.T) {
			s.t = t
			b := s.browser("en")
			b.signUp(s, strings.ReplaceAll(path, "/", "-")+"@example.com")
			b.want(200, b.open("/account/"))
			for _, tt := range []struct {
				name, body, site string
				want             int // zero is any but a redirect and 415
			}{
				{"from another site", body, "cross-site", 403},
				{"no object", `["x"]`, "same-origin", 400},
				{"as it is", body, "same-origin", 0},
			} {
				m := renderedFor.FindStringSubmatch(b.page)
				response, answer := b.ask("/account/"+path, strings.Replace(tt.body, "}", rest(tt.body, m[1]), 1), "Sec-Fetch-Site", tt.site)
				kind := response.Header.Get("Content-Type")
				if !strings.HasPrefix(kind, "application/") || !strings.Contains(kind, "json") || answer == nil {
					t.Errorf("%s: got %d %s %v, want JSON", tt.name, response.StatusCode, kind, answer)
				}
				if got := response.StatusCode; tt.want != 0 && got != tt.want || tt.want == 0 && (got == 415 || got >= 500 || got/100 == 3) {
					t.Errorf("%s: got %d %v", tt.name, response.StatusCode, answer)
				}
				if tt.want == 0 && response.StatusCode == 200 && path != "download" && answer["location"] == nil {
					t.Errorf("%s: got %v, want a location", tt.name, answer)
				}
			}
		})
	}
	// No form is missing above. Passkeys, providers and a second device are tested in their modules.
	for _, template := range templatesOf(t) {
		for _, m := range regexp.MustCompile(`\.Path}}([a-z/-]+)"`).FindAllStringSubmatch(template, -1) {
			if _, ok := posts[m[1]]; !ok && !elsewhere.MatchString(m[1]) {
				t.Errorf("a form posts to %s, which this test does not know", m[1])
			}
		}
	}
}

var (
	renderedFor = regexp.MustCompile(`name="walkin_rendered_for" value="([^"]*)"`)
	elsewhere   = regexp.MustCompile(`^(passkey/|provider/|device|rename$|connect|factor|add-passkey$)`)
)

// rest closes an object with the value of the page's hidden field.
func rest(body, value string) string {
	field := `"walkin_rendered_for":"` + value + `"}`
	if body == "{}" {
		return field
	}
	return "," + field
}

func templatesOf(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("templates/*.html")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d templates, %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return all
}

// TestJSONDoes holds that a form of the account page that was sent as JSON does what
// the form does, and that a name that is there twice is refused.
func TestJSONDoes(t *testing.T) {
	s := newSite(t, nil)
	b, other := s.browser("en"), s.browser("en")
	b.signUp(s, ann)
	other.want(200, other.signIn(ann, secret))
	b.want(200, b.open("/account/"))
	value := renderedFor.FindStringSubmatch(b.page)[1]
	field := `"walkin_rendered_for":"` + value + `"`
	if response, _ := b.ask("/account/end-others", `{`+field+`,`+field+`}`); response.StatusCode != 400 {
		t.Errorf("twice the same name: got %d", response.StatusCode)
	}
	if response, _ := b.ask("/account/end-others", `{}`); response.StatusCode != 409 {
		t.Errorf("without the value of the page: got %d", response.StatusCode)
	}
	response, answer := b.ask("/account/end-others", `{}`, "Walkin-Rendered-For", value)
	if response.StatusCode != 200 || answer["location"] != "/account/?done=sessions" || answer["is_anonymous"] != false {
		t.Errorf("got %d %v", response.StatusCode, answer)
	}
	other.send(http.MethodGet, "/account/", nil)
	if id := other.id(); id == b.id() {
		t.Error("the other session goes on")
	}
	if response, answer = b.ask("/account/password", `{"password":"short",`+field+`}`); response.StatusCode != 422 || answer["code"] != "password_short" {
		t.Errorf("got %d %v", response.StatusCode, answer)
	}
	if response, answer = b.ask("/account/delete", `{`+field+`}`); response.StatusCode != 200 || answer["location"] != "/" || answer["user_id"] != nil {
		t.Errorf("got %d %v", response.StatusCode, answer)
	}
	if code := s.browser("en").signIn(ann, secret); code == 200 {
		t.Error("the account is still there")
	}
}
