package password_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/store/memstore"
)

func Example() {
	wk, err := walkin.New(walkin.Config{
		Keys:  []walkin.Key{{Secret: []byte("an example's 32 bytes of secret!")}},
		Store: memstore.New(),
		Paths: walkin.Paths{Upgrade: "/upgrade", SignIn: "/signin"},
	})
	if err != nil {
		panic(err)
	}
	passwords, err := password.New(wk, password.Config{})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/upgrade", wk.UpgradeHandler(passwords, nil)) // give it your own page instead of nil
	mux.Handle("/signin", wk.SignInHandler(passwords, nil))
	site := wk.Handler(mux)

	post := func(path, name, password string) {
		body := url.Values{"email": {name}, "password": {password}}.Encode()
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		site.ServeHTTP(w, r)
		fmt.Println(strings.TrimSpace(fmt.Sprint(w.Code, " ", w.Body)))
	}
	post("/upgrade", "ann@example.com", "P@ssw0rd2025")
	post("/upgrade", "ann@example.com", "correct horse battery")
	post("/signin", " Ann@Example.COM ", "correct horse battery")
	post("/signin", "ann@example.com", "wrong horse battery")
	// Output:
	// 422 {"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"Many people use that password or one like it. Please choose another, such as a few words in a row.","code":"password_common"}
	// 303
	// 303
	// 401 {"type":"about:blank","title":"Unauthorized","status":401,"detail":"E-mail or password is wrong.","code":"wrong_credentials"}
}
