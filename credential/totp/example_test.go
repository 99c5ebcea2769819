package totp_test

import (
	"fmt"
	"log"
	"net/http"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/totp"
	"github.com/walkin-go/walkin/store/memstore"
)

func Example() {
	wk, err := walkin.New(walkin.Config{
		Keys:  []walkin.Key{{Secret: []byte("32 random bytes, of crypto/rand…")}},
		Store: memstore.New(),
		Paths: walkin.Paths{Credentials: []string{"/signin/factor"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	codePage := func(w http.ResponseWriter, _ *http.Request, f walkin.Form) {
		w.WriteHeader(f.Status)
		_, _ = fmt.Fprint(w, `<form method="post"><input name="code" inputmode="numeric" autocomplete="one-time-code"><button>Sign in</button></form>`)
	}
	mux := http.NewServeMux()

	factor, err := totp.New(wk, totp.Config{Issuer: "Example", Page: "/signin/factor"})
	if err != nil {
		log.Fatal(err)
	}
	mux.Handle("/signin/factor", wk.SignInHandler(factor, codePage))

	fmt.Println(factor.Page())
	// Output: /signin/factor
}
