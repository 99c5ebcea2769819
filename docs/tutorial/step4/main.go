// Step 4 of docs/tutorial.md: a visitor makes an account and stays the same user.
package main

import (
	"cmp"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"os"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/store/memstore"
)

func main() {
	keys, err := walkin.KeyFile("walkin.key")
	if err != nil {
		log.Fatal(err)
	}
	wk, err := walkin.New(walkin.Config{
		Keys:    keys,
		Store:   memstore.New(),
		Cookies: walkin.Cookies{Insecure: true},
		Paths:   walkin.Paths{Upgrade: "/upgrade"}, // where guards send visitors
	})
	if err != nil {
		log.Fatal(err)
	}
	passwords, err := password.New(wk, password.Config{})
	if err != nil {
		log.Fatal(err)
	}

	var notes board
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", notes.show)
	mux.Handle("POST /notes", wk.RequireUser()(http.HandlerFunc(notes.write)))
	mux.Handle("/upgrade", wk.UpgradeHandler(passwords, upgradePage))
	mux.Handle("GET /publish", wk.RequirePermanent()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "Published.")
	})))
	site := wk.Handler(http.NewCrossOriginProtection().Handler(mux))

	addr := cmp.Or(os.Getenv("ADDR"), "localhost:8080")
	log.Print("http://", addr)
	log.Fatal(http.ListenAndServe(addr, site))
}

// upgradePage is shown first, and again when something is wrong.
func upgradePage(w http.ResponseWriter, r *http.Request, f walkin.Form) {
	w.WriteHeader(f.Status)
	_ = upgrade.Execute(w, f)
}

var upgrade = template.Must(template.New("").Parse(`<!doctype html>
<title>Make an account</title>
{{with .Refusal}}<p role="alert">{{.Message}}</p>{{end}}
<form method="post" action="/upgrade">
<input type="hidden" name="return_to" value="{{.ReturnTo}}">
<input name="email" type="email" placeholder="E-mail" required>
<input name="password" type="password" placeholder="Password" required>
<button>Make an account</button>
</form>
`))
