package supabasewalkin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
)

// TestOpenAPI holds that openapi.json names every route and no other, and that what a
// route answers to an empty request, to a user and to the operator is a status that it
// names, with the members that it requires.
func TestOpenAPI(t *testing.T) {
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	type operation struct {
		Responses map[string]struct {
			Content map[string]struct {
				Schema struct {
					Ref string `json:"$ref"`
				}
			}
		}
	}
	var doc struct {
		OpenAPI    string
		Paths      map[string]map[string]operation
		Components struct {
			Schemas map[string]struct{ Required []string }
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil || doc.OpenAPI != "3.1.0" {
		t.Fatalf("got %q, %v", doc.OpenAPI, err)
	}
	s := newSite(t)
	cfg := supabasewalkin.Config{URL: "https://app.example/auth/v1", SiteURL: siteURL, Profiles: supabasewalkin.Memory()}
	h, err := supabasewalkin.New(s.wk, cfg)
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, pattern := range supabasewalkin.Patterns(h) {
		method, path, ok := strings.Cut(pattern, " ")
		if !ok {
			continue // all below a path, which is refused
		}
		served[pattern] = true
		if _, ok := doc.Paths[path][strings.ToLower(method)]; !ok {
			t.Errorf("openapi.json lacks %s", pattern)
		}
	}
	if len(served) < 40 {
		t.Fatalf("only %d routes were looked at", len(served))
	}
	ann := s.upgraded("ann@example.com")
	for path, operations := range doc.Paths {
		for method, operation := range operations {
			method = strings.ToUpper(method)
			if !served[method+" "+path] {
				t.Errorf("openapi.json has %s %s, which is not served", method, path)
				continue
			}
			for _, token := range []string{"", ann.access, secretKey} {
				target := strings.NewReplacer("{id}", uuid.NewString(), "{key}", uuid.NewString(), "{factor}", uuid.NewString(), "{provider}", "google").Replace(path)
				if path == "/logout" {
					target += "?scope=others"
				}
				r := request{method: method, path: target, token: token}
				if method != http.MethodGet && method != http.MethodDelete {
					r.body = "{}"
				}
				a := s.do(r)
				answer, ok := operation.Responses[fmt.Sprint(a.StatusCode)]
				if !ok {
					t.Errorf("%s %s answers %d, which openapi.json does not name: %s", method, path, a.StatusCode, a.text)
				}
				schema := strings.TrimPrefix(answer.Content["application/json"].Schema.Ref, "#/components/schemas/")
				if a.StatusCode >= 400 {
					schema = "Error"
				}
				for _, name := range doc.Components.Schemas[schema].Required {
					if _, ok := a.body[name]; !ok {
						t.Errorf("%s %s: the answer lacks %s: %s", method, path, name, a.text)
					}
				}
			}
		}
	}
}
