package browser_test

import (
	"bytes"
	"html"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/internal/browser"
)

// What tests are written in does the same in each engine.
func TestPage(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: "yes", HttpOnly: true})
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; require-trusted-types-for 'script'")
		_, err := r.Cookie("seen")
		_, _ = io.WriteString(w, `<!doctype html><title>Page</title><p id=p>`+map[bool]string{true: "again", false: "first"}[err == nil]+
			`</p><form method=post action=/said><div style="height:3000px"></div><textarea name=text></textarea><button>Say</button></form><a href=/slow>slow</a>`)
	})
	mux.HandleFunc("POST /said", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>Said</title><pre>"+html.EscapeString(r.FormValue("text"))+"</pre>")
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	base := "http://localhost" + server.URL[strings.LastIndex(server.URL, ":"):]

	browser.Each(t, func(t *testing.T, engine browser.Engine) {
		ann := browser.NewPage(t, engine)
		ann.Quiet = true // there is no icon
		ann.Open(base + "/")
		if got := ann.Text("#p"); got != "first" {
			t.Fatalf("a first page says %q", got)
		}
		if got := ann.Cookies(); len(got) != 1 || got[0].Name != "seen" || got[0].Value != "yes" || !got[0].HttpOnly {
			t.Fatalf("the cookies are %v", got)
		}
		ann.Type("textarea", "“Ünïcode” & <more>\nsecond line")
		ann.Click("button")
		if got, want := ann.Text("pre"), "“Ünïcode” & <more>\nsecond line"; strings.ReplaceAll(got, "\r", "") != want {
			t.Errorf("typed was %q, want %q", got, want)
		}
		if got := ann.URL(); got != base+"/said" {
			t.Errorf("the form led to %s", got)
		}
		ann.Back()
		if got := ann.URL(); got != base+"/" {
			t.Errorf("back led to %s", got)
		}
		second := ann.Another()
		second.Open(base + "/")
		if got := second.Text("#p"); got != "again" {
			t.Errorf("another page of the same visitor says %q", got)
		}
		if got := browser.Eval[int](ann, "Promise.resolve(40 + 2)"); got != 42 {
			t.Errorf("a promise was %d", got)
		}
		ann.Run(`setTimeout(() => document.title = "changed", 50)`)
		ann.Wait(`document.title === "changed"`)

		bob := browser.NewPage(t, engine)
		bob.Quiet = true
		bob.Open(base + "/")
		if got := bob.Text("#p"); got != "first" {
			t.Errorf("another visitor's page says %q", got)
		}
		for _, width := range []int{480, 1280} {
			bob.Resize(width, 700)
			bob.Wait("innerWidth === " + strconv.Itoa(width))
			picture, err := png.DecodeConfig(bytes.NewReader(bob.Screenshot()))
			if err != nil || picture.Width < width-20 || picture.Width > width+20 {
				t.Errorf("a picture of %d pixels is %d wide: %v", width, picture.Width, err)
			}
		}
	})
}
