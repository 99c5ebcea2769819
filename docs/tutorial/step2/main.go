// Step 2 of docs/tutorial.md: every visitor is a user.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
)

func main() {
	keys, err := walkin.KeyFile("walkin.key") // created if it does not exist
	if err != nil {
		log.Fatal(err)
	}
	wk, err := walkin.New(walkin.Config{
		Keys:    keys,
		Store:   memstore.New(),
		Cookies: walkin.Cookies{Insecure: true}, // plain http on localhost
	})
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "private, no-store") // the page shows who the visitor is
		if c, ok := walkin.FromContext(r.Context()); ok {
			fmt.Fprintln(w, "You are", c.UserID)
		}
	})

	addr := cmp.Or(os.Getenv("ADDR"), "localhost:8080")
	log.Print("http://", addr)
	log.Fatal(http.ListenAndServe(addr, wk.Handler(mux)))
}
