package code_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/store/memstore"
)

func Example() {
	store := memstore.New()
	wk, err := walkin.New(walkin.Config{
		Keys:  []walkin.Key{{Secret: []byte("an example's 32 bytes of secret!")}},
		Store: store,
		Paths: walkin.Paths{Upgrade: "/signin", SignIn: "/signin", Credentials: []string{"/signin/", "/code"}},
		Cookies: walkin.Cookies{
			Insecure: true, // for http on localhost alone
		},
	})
	if err != nil {
		panic(err)
	}
	var sent code.Message
	codes, err := code.New(wk, code.Config{
		Link: "http://localhost:8080/code",
		// code.Print(os.Stdout) in development, a smtp.Sender in production.
		Sender: code.SenderFunc(func(_ context.Context, m code.Message) error {
			sent = m
			return nil
		}),
	})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/signin/send", codes.SendHandler("/signin", nil)) // give them pages of your own instead of nil
	mux.Handle("/signin", wk.SignInHandler(codes, nil))
	mux.Handle("/code", codes.LinkHandler(nil))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		c, ok := walkin.FromContext(r.Context())
		fmt.Fprintf(w, "somebody: %v, by a code: %v", ok, c.Method == "otp")
	})
	site := httptest.NewServer(wk.Handler(mux))
	defer site.Close()

	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	post := func(path, field, value string) {
		response, err := browser.PostForm(site.URL+path, url.Values{field: {value}})
		if err != nil {
			panic(err)
		}
		response.Body.Close()
		fmt.Println(path, response.StatusCode, "to", cmp.Or(response.Header.Get("Location"), "nowhere"))
	}
	post("/signin/send", "email", "not an address")
	post("/signin/send", "email", "Ann@Example.com")
	fmt.Println(sent.To, len(sent.Code), sent.Owned)
	post("/signin", "code", "12345")
	post("/signin", "code", sent.Code)
	c, _ := store.Identity(context.Background(), "email", "ann@example.com")
	fmt.Println(c.Provider, c.Subject)
	// Output:
	// /signin/send 422 to nowhere
	// /signin/send 303 to /signin
	// ann@example.com 6 false
	// /signin 422 to nowhere
	// /signin 303 to /
	// email ann@example.com
}

// E-mail and password in one step: the form has both, the password waits with
// the code, and signs in once the address is proven.
func ExampleConfig_secret() {
	store := memstore.New()
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("an example's 32 bytes of secret!")}}, Store: store})
	if err != nil {
		panic(err)
	}
	passwords, err := password.New(wk, password.Config{Proven: true})
	if err != nil {
		panic(err)
	}
	codes, err := code.New(wk, code.Config{Sender: code.Print(os.Stdout), Secret: passwords.NewSecret})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/join/send", codes.SendHandler("/join", nil)) // the fields email and password
	mux.Handle("/join", wk.UpgradeHandler(codes, nil))        // the field code
	mux.Handle("/signin", wk.SignInHandler(passwords, nil))   // email and password, from then on
	site := wk.Handler(mux)

	r := httptest.NewRequest("POST", "/join/send", strings.NewReader("email=ann%40example.com&password=12345678"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	site.ServeHTTP(w, r)
	fmt.Println(w.Body)
	// Output:
	// {"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"That password is a simple pattern. Please choose another, such as a few words in a row.","code":"password_common"}
}
