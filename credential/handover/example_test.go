package handover_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/handover"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/pages"
	"github.com/walkin-go/walkin/store/memstore"
)

func Example() {
	wk, err := walkin.New(walkin.Config{
		Keys:  []walkin.Key{{Secret: []byte("an example's 32 bytes of secret!")}},
		Store: memstore.New(),
		Paths: walkin.Paths{SignIn: "/account/sign-in", Credentials: []string{"/account/"}},
	})
	if err != nil {
		panic(err)
	}
	passwords, err := password.New(wk, password.Config{})
	if err != nil {
		panic(err)
	}
	handovers, err := handover.New(wk, handover.Config{Link: "https://margin.example/account/device/join"})
	if err != nil {
		panic(err)
	}
	p, err := pages.New(wk, pages.Config{
		Name: "Margin", URL: "https://margin.example",
		Password: passwords, Handover: handovers,
	})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/account/", p)

	r := httptest.NewRequest("GET", "/account/device", nil)
	w := httptest.NewRecorder()
	wk.Handler(mux).ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Referrer-Policy"))
	// Output: 200 no-referrer
}
