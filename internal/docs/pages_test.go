package docs

import (
	"html/template"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/pages"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/texts"
	"github.com/walkin-go/walkin/walkintest"
)

// TestPagesPage mounts the pages as docs/pages.md says, in a frame of the site's own, and
// reads them in the language of a cookie.
func TestPagesPage(t *testing.T) {
	keys, store, mux := defaults().Keys, memstore.New(), http.NewServeMux()
	layout := template.Must(template.New("").Parse(`<html>{{.Title}}{{.Body}}<footer>Margin</footer>`))
	german := texts.German()

	wk, err := walkin.New(walkin.Config{
		Keys: keys, Store: store,
		Paths: walkin.Paths{
			Upgrade: "/account/sign-up", SignIn: "/account/sign-in", SignOut: "/account/sign-out",
			Credentials: []string{"/account/"},
		},
		Texts: pages.Languages(),
	})
	ok(t, err)
	passwords, err := password.New(wk, password.Config{})
	ok(t, err)
	p, err := pages.New(wk, pages.Config{
		Name: "Margin", URL: "https://margin.example",
		Password: passwords, // Code, Passkeys, Providers: what is nil is neither shown nor served
	})
	ok(t, err)
	mux.Handle("/account/", p)
	site := wk.Handler(mux)

	mustBe(t, walkintest.NewClient(t, site).Visit("/account/sign-up"), http.StatusOK)

	framed := pages.Config{
		Name: "Margin", Password: passwords,
		Frame: func(w io.Writer, r *http.Request, p pages.Page) error { return layout.Execute(w, p) },
	}
	choosing := walkin.Config{
		Keys: keys, Store: store,
		Texts: func(r *http.Request) *texts.Catalogue {
			if c, err := r.Cookie("language"); err == nil && c.Value == "de" {
				return german // texts.German(), made once
			}
			return nil // English
		},
	}
	wk = newWalkin(t, choosing)
	p, err = pages.New(wk, framed)
	ok(t, err)
	c := walkintest.NewClient(t, wk.Handler(p))
	english := body(t, c.Visit("/account/sign-up"))
	c.SetCookie("language", "de")
	if text := body(t, c.Visit("/account/sign-up")); text == english || !strings.Contains(text, "<footer>Margin</footer>") {
		t.Errorf("got %s", text)
	}
}

// TestPagesStyle holds that docs/pages.md sets variables that the style sheet uses.
func TestPagesStyle(t *testing.T) {
	sheet, err := os.ReadFile(filepath.Join(root, "pages", "style.css"))
	ok(t, err)
	for _, name := range regexp.MustCompile(`--walkin-[a-z-]+`).FindAllString(codeOf(t, "docs/pages.md", "css", ":root"), -1) {
		if !strings.Contains(string(sheet), "var("+name) {
			t.Errorf("the style sheet does not use %s", name)
		}
	}
}
