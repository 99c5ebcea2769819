package passkey_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/passkey"
	"github.com/walkin-go/walkin/store/memstore"
)

func Example() {
	wk, err := walkin.New(walkin.Config{
		Keys:  []walkin.Key{{Secret: []byte("an example's 32 bytes of secret!")}},
		Store: memstore.New(),
		Paths: walkin.Paths{Credentials: []string{"/passkey/"}},
	})
	if err != nil {
		panic(err)
	}
	passkeys, err := passkey.New(wk, passkey.Config{
		RPID:        "example.com",
		Origins:     []string{"https://example.com"},
		DisplayName: "Example",
	})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/passkey/", passkeys)
	site := wk.Handler(mux)

	// What the script asks for when a visitor presses the button.
	r := httptest.NewRequest("POST", "/passkey/signin", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	site.ServeHTTP(w, r)
	var options struct {
		PublicKey struct {
			RPID             string `json:"rpId"`
			UserVerification string `json:"userVerification"`
			Timeout          int    `json:"timeout"`
		} `json:"publicKey"`
	}
	if err := json.NewDecoder(w.Body).Decode(&options); err != nil {
		panic(err)
	}
	fmt.Printf("%d %+v", w.Code, options.PublicKey)
	// Output: 200 {RPID:example.com UserVerification:required Timeout:300000}
}

// A page that lists a visitor's passkeys, and the forms of it. It stands behind
// the middleware's Handler and RequirePermanent.
func ExamplePasskeys_Keys() {
	var wk *walkin.Middleware
	var passkeys *passkey.Passkeys

	list := func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		keys, err := passkeys.Keys(r.Context(), c.UserID)
		if err != nil {
			wk.Refuse(w, r, err)
			return
		}
		for _, key := range keys {
			fmt.Fprintln(w, key.Name, key.CreatedAt, key.UsedAt) // your own template
		}
	}
	rename := func(w http.ResponseWriter, r *http.Request) {
		if err := passkeys.Rename(w, r, r.PostFormValue("id"), r.PostFormValue("name")); err != nil {
			wk.Refuse(w, r, err)
			return
		}
		http.Redirect(w, r, "/account", http.StatusSeeOther)
	}
	remove := func(w http.ResponseWriter, r *http.Request) {
		if err := wk.Unlink(w, r, passkey.Provider, r.PostFormValue("id")); err != nil {
			wk.Refuse(w, r, err) // 403 without a recent proof, 409 for the last way to sign in
			return
		}
		http.Redirect(w, r, "/account", http.StatusSeeOther)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /account", list)
	mux.HandleFunc("POST /account/rename", rename)
	mux.HandleFunc("POST /account/remove", remove)
}

// TestGuide holds that the code of the guide is the code above, which compiles.
func TestGuide(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "passkeys.md"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	plain := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	blocks := strings.Split(string(guide), "```go\n")[1:]
	if len(blocks) < 2 {
		t.Errorf("the guide has %d pieces of Go", len(blocks))
	}
	for _, block := range blocks {
		code, _, _ := strings.Cut(block, "```")
		if !strings.Contains(plain(string(source)), plain(code)) {
			t.Errorf("this is not in example_test.go:\n%s", code)
		}
	}
}
