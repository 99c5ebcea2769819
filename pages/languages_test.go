package pages_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/pages"
	"github.com/walkin-go/walkin/texts"
)

func mustParse(t *testing.T, id string) uuid.UUID {
	t.Helper()
	parsed, err := uuid.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestLanguages(t *testing.T) {
	choose := pages.Languages()
	for _, tt := range []struct{ header, want string }{
		{"", "en"},
		{"de", "de"},
		{"de-AT,en;q=0.5", "de"},
		{"fr-CH, fr;q=0.9, en;q=0.8", "fr"},
		{"es-MX", "es"},
		{"pt-BR", "pt"},
		{"ja", "ja"},
		{"zh-CN", "zh-Hans"},
		{"zh-Hans-SG", "zh-Hans"},
		{"ar-EG", "ar"},
		{"xx, de;q=0.5", "de"},
		{"tlh", "en"},
		{"en;q=0.1, de", "de"},
		{";;;;", "en"},
		{strings.Repeat("a", 5000), "en"},
		{"de," + strings.Repeat("en-US,", 5000), "de"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Language", tt.header)
		if got := choose(r).Language(); got != tt.want {
			t.Errorf("%.40q: got %s, want %s", tt.header, got, tt.want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept-Language", "ja")
	if got := pages.Languages(texts.German(), texts.French())(r).Language(); got != "de" {
		t.Errorf("of the app's two, got %s", got)
	}
}

func FuzzLanguages(f *testing.F) {
	for _, header := range []string{"de", "fr-CH, fr;q=0.9", ";;", "zh-Hans-SG;q=1", "\x00"} {
		f.Add(header)
	}
	choose := pages.Languages()
	f.Fuzz(func(t *testing.T, header string) {
		r := &http.Request{Header: http.Header{"Accept-Language": {header}}}
		if choose(r) == nil {
			t.Error("no language")
		}
	})
}

var (
	tags        = regexp.MustCompile(`(?s)<[^>]*>`)
	attributes  = regexp.MustCompile(`aria-label="([^"]*)"`)
	placeholder = regexp.MustCompile(`\\\{\w+\\\}`)
)

// TestOneLanguage walks from the first page to the deleted account as a visitor who
// reads no English, errors and mail included, and looks for a sentence of the English
// catalogue in all they see.
func TestOneLanguage(t *testing.T) {
	english := texts.English().Keys()
	for _, c := range []*texts.Catalogue{texts.German(), texts.Japanese(), texts.Arabic(), texts.French(), texts.Spanish(), texts.Portuguese(), texts.Chinese()} {
		t.Run(c.Language(), func(t *testing.T) {
			own := c.Keys()
			var sentences []*regexp.Regexp
			for key, text := range english {
				if text != own[key] && len(strings.Fields(text)) > 1 && !strings.Contains(key, "layout") {
					sentences = append(sentences, regexp.MustCompile(placeholder.ReplaceAllString(regexp.QuoteMeta(text), `.*`)))
				}
			}
			looks := 0
			seen := func(what, page string) {
				t.Helper()
				looks++
				visible := tags.ReplaceAllString(page, "\n")
				for _, m := range attributes.FindAllStringSubmatch(page, -1) {
					visible += "\n" + m[1]
				}
				visible = html.UnescapeString(visible)
				for _, sentence := range sentences {
					if found := sentence.FindString(visible); found != "" {
						t.Errorf("%s says %q", what, found)
					}
				}
				for key := range english {
					if strings.Contains(visible, key) && !strings.Contains(key, "e.mail") {
						t.Errorf("%s says the key %q", what, key)
					}
				}
				if strings.Contains(visible, "{") {
					t.Errorf("%s has a placeholder in it: %s", what, visible)
				}
			}
			walk(t, c.Language(), seen)
			if looks < 40 {
				t.Errorf("%d pages and mails were looked at", looks)
			}
		})
	}
}

// walk meets every page, most errors, and every mail.
func walk(t *testing.T, language string, seen func(what, page string)) {
	t.Helper()
	s := newSite(t, nil)
	b := s.browser(language)
	b.seen = seen
	b.id()
	b.want(200, b.open("/account/sign-out"))
	b.want(404, b.open("/account/nothing"))
	b.want(200, b.open("/account/sign-in"))
	b.want(422, b.post("/account/sign-in", url.Values{"email": {""}, "password": {"x"}}))
	b.want(401, b.post("/account/sign-in", url.Values{"email": {ann}, "password": {"wrong one"}}))
	b.want(422, b.post("/account/sign-in/send", url.Values{"email": {"no address"}}))
	b.want(200, b.open("/account/sign-up"))
	b.want(422, b.post("/account/sign-up", url.Values{"email": {ann}, "password": {"short"}}))
	b.want(422, b.post("/account/sign-up", url.Values{"email": {ann}, "password": {"password1"}}))
	b.want(200, b.open("/account/sign-up/code"))
	b.want(401, b.post("/account/sign-up/code", url.Values{"code": {"000000"}}))
	b.signUp(s, ann)
	b.want(200, b.open("/account/sign-out"))
	b.want(409, b.post("/account/remove", url.Values{"provider": {"email"}, "subject": {ann}}))
	other := s.browser(language)
	other.seen = seen
	other.want(200, other.open("/account/code?code=123456"))
	other.want(404, other.open("/account/code"))
	other.want(200, other.signIn(ann, secret))
	b.want(200, b.open("/account/"))
	b.want(200, b.post("/account/end-others", url.Values{}))
	b.want(422, b.post("/account/email", url.Values{"email": {"no address"}}))
	b.want(200, b.open("/account/"))
	b.want(200, b.post("/account/email", url.Values{"email": {annNew}}))
	b.want(200, b.open("/account/code?code="+s.code(annNew)))
	b.want(401, b.post("/account/email/code", url.Values{"code": {"000000"}}))
	b.want(200, b.post("/account/email/code", url.Values{"code": {s.code(annNew)}}))
	b.want(200, b.post("/account/password", url.Values{"password": {another}}))
	link := undoLink.FindStringSubmatch(s.last(ann, func(m sent) bool { return undoLink.MatchString(m.Text) }).Text)
	b.want(200, b.open(link[1]))
	b.want(404, b.open("/account/undo?token=over"))
	b.want(200, b.open("/account/"))
	b.want(200, b.post("/account/sign-in/send", url.Values{"email": {"ann.third@example.com"}, "return_to": {"/account/?done=added"}}))
	b.want(200, b.post("/account/sign-in/code", url.Values{"code": {s.code("ann.third@example.com")}, "return_to": {"/account/?done=added"}}))
	b.want(200, b.post("/account/remove", url.Values{"provider": {"email"}, "subject": {"ann.third@example.com"}}))
	b.want(200, b.post("/account/undo", url.Values{"token": {strings.TrimPrefix(link[1], "/account/undo?token=")}}))
	b.want(200, b.signIn(ann, secret))
	b.want(200, b.open("/account/"))
	b.want(200, b.post("/account/delete", url.Values{}))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.mail {
		seen("the mail "+m.Subject, m.HTML)
		seen("the text of "+m.Subject, html.EscapeString(m.Subject+"\n"+m.Text))
	}
	if len(s.mail) < 9 {
		t.Errorf("%d mails were sent", len(s.mail))
	}
}
