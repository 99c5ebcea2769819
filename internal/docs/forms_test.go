package docs

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/credential/passkey"
	"github.com/walkin-go/walkin/walkintest"
)

var (
	formTag  = regexp.MustCompile(`(?s)<form [^>]*action="([^"]+)"[^>]*>(.*?)</form>`)
	fieldTag = regexp.MustCompile(`<(?:input|button) [^>]*name="([^"]+)"(?: value="([^"]*)")?`)
)

// A form is one on a page of docs/.
type form struct {
	action string
	fields url.Values // by name, with the values that the page gives
}

// formsOf returns the forms in the blocks of HTML on a page.
func formsOf(t *testing.T, page string) (all []form) {
	t.Helper()
	for _, b := range blocksOf(t, "docs/"+page) {
		if b.language != "html" {
			continue
		}
		for _, found := range formTag.FindAllStringSubmatch(b.text, -1) {
			f := form{found[1], url.Values{}}
			for _, field := range fieldTag.FindAllStringSubmatch(found[2], -1) {
				value := field[2]
				if strings.HasPrefix(value, "{{") {
					value = "/whoami"
				}
				f.fields.Add(field[1], value)
			}
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no form", page)
	}
	return all
}

// filled is the form with what a visitor typed into one field that it has.
func (f form) filled(t *testing.T, field, value string) url.Values {
	t.Helper()
	if !f.fields.Has(field) {
		t.Fatalf("the form for %s has no field %q", f.action, field)
	}
	f.fields.Set(field, value)
	return f.fields
}

// codeOf returns the text of a page's one block of a language that contains a word.
func codeOf(t *testing.T, page, language, word string) string {
	t.Helper()
	for _, b := range blocksOf(t, page) {
		if b.language == language && strings.Contains(b.text, word) {
			return b.text
		}
	}
	t.Fatalf("%s has no block of %s with %q", filepath.Base(page), language, word)
	return ""
}

// TestPasskeysPage posts the forms of docs/passkeys.md as its script does: each begins a
// ceremony, and the script is where the page says.
func TestPasskeysPage(t *testing.T) {
	mux := http.NewServeMux()
	cfg := defaults()
	cfg.Paths.Credentials = []string{"/passkey/"}
	wk := newWalkin(t, cfg)
	passkeys, err := passkey.New(wk, passkey.Config{RPID: "app.example", Origins: []string{"https://app.example"}, DisplayName: "Example"})
	ok(t, err)
	mux.Handle("/passkey/", passkeys)
	c := walkintest.NewClient(t, wk.Handler(mux))
	begun := 0
	for _, f := range formsOf(t, "passkeys.md") {
		if !strings.HasPrefix(f.action, "/passkey/") {
			continue
		}
		values := map[string]string{}
		for name := range f.fields {
			values[name] = f.fields.Get(name)
		}
		text, err := json.Marshal(values)
		ok(t, err)
		r := c.NewRequest("POST", f.action, bytes.NewReader(text))
		r.Header.Set("Content-Type", "application/json")
		if text := body(t, mustBe(t, c.Do(r), http.StatusOK)); strings.Contains(text, "challenge") {
			begun++
		}
	}
	if begun != 3 {
		t.Errorf("%d forms began a ceremony, want 3", begun)
	}
	mustBe(t, c.Visit("/passkey/script.js"), http.StatusOK)
}
