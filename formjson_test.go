package walkin_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
)

// fields is a credential that believes what a form says.
type fields struct{}

func (fields) SignUp(r *http.Request) (walkin.Proof, error) { return fields{}.SignIn(r) }

func (fields) SignIn(r *http.Request) (walkin.Proof, error) {
	name := r.PostFormValue("name")
	if name == "" {
		return walkin.Proof{}, &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: "name_missing", Message: "Enter a name."}
	}
	return walkin.Proof{Provider: "test", Subject: name, Method: "pwd"}, nil
}

// TestFormJSON holds that a page's own script sends a form as JSON and is answered in
// JSON, with the same rules as a form.
func TestFormJSON(t *testing.T) {
	s := newSite(t)
	page := func(w http.ResponseWriter, _ *http.Request, f walkin.Form) {
		w.WriteHeader(f.Status)
		fmt.Fprint(w, "<form>")
	}
	mux := http.NewServeMux()
	mux.Handle("/upgrade", s.UpgradeHandler(fields{}, page))
	mux.HandleFunc("/", who)
	const script, form = "application/json", "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, kind, accept, site, body string
		status                         int
		want                           string // begins the body, or is the Location
	}{
		{"JSON", script, "*/*", "same-origin", `{"name":"JSON","return_to":"/notes?page=2"}`, 200, `{"location":"/notes?page=2","user_id":"`},
		{"JSON, asked for", script, "application/json", "same-origin", `{"name":"asked"}`, 200, `{"location":"/","user_id":"`},
		{"a form, JSON asked for", form, "application/json", "same-origin", "name=mixed", 200, `{"location":"/","user_id":"`},
		{"JSON, a page asked for", script, "text/html", "same-origin", `{"name":"page","return_to":"/x"}`, 303, "/x"},
		{"a form", form, "text/html", "same-origin", "name=form&return_to=/y", 303, "/y"},
		{"a way out of the site", script, "*/*", "same-origin", `{"name":"away","return_to":"https://evil.example/"}`, 200, `{"location":"/","user_id":"`},
		{"a refusal", script, "*/*", "same-origin", `{"name":""}`, 422, `{"type":`},
		{"no field", script, "*/*", "same-origin", `{}`, 422, `{"type":`},
		{"malformed", script, "*/*", "same-origin", `{"name":`, 400, `{"type":`},
		{"not flat", script, "*/*", "same-origin", `{"name":["a"]}`, 400, `{"type":`},
		{"too large", script, "*/*", "same-origin", `{"name":"` + strings.Repeat("x", 65<<10) + `"}`, 413, `{"type":`},
		{"from another site", script, "*/*", "cross-site", `{"name":"evil"}`, 403, `{"type":`},
		{"malformed, where a page is asked for", script, "text/html", "same-origin", `{"name":`, 400, "<form>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := s.browser(mux.ServeHTTP)
			before := body(t, client.Visit("/"))
			r := client.NewRequest(http.MethodPost, "/upgrade", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.kind)
			r.Header.Set("Accept", c.accept)
			r.Header.Set("Sec-Fetch-Site", c.site)
			r.Header.Set("Sec-Fetch-Mode", "cors")
			r.Header.Set("Sec-Fetch-Dest", "empty")
			answer := client.Do(r)
			got, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			text := string(got)
			if answer.StatusCode == http.StatusSeeOther {
				text = answer.Header.Get("Location")
			}
			if answer.StatusCode != c.status || !strings.HasPrefix(text, c.want) {
				t.Fatalf("got %d %q, want %d %q", answer.StatusCode, text, c.status, c.want)
			}
			if c.status != http.StatusOK {
				return
			}
			var told struct {
				UserID    string `json:"user_id"`
				Anonymous *bool  `json:"is_anonymous"`
			}
			if err := json.Unmarshal(got, &told); err != nil || told.Anonymous == nil || *told.Anonymous || before != told.UserID+" anonymous=true" {
				t.Errorf("got %s, want the ID of %q, no longer anonymous", got, before)
			}
			if now := body(t, client.Fetch("/")); now != told.UserID+" anonymous=false" {
				t.Errorf("then got %q", now)
			}
			if answer.Header.Get("Content-Type") != "application/json" || !strings.Contains(answer.Header.Get("Cache-Control"), "no-store") {
				t.Errorf("got header %v", answer.Header)
			}
		})
	}
}
