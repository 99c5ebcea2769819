// Step 3 of docs/tutorial.md: visitors write, and what they write is theirs.
package main

import (
	"cmp"
	"log"
	"net/http"
	"os"

	"github.com/walkin-go/walkin"
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
	})
	if err != nil {
		log.Fatal(err)
	}

	var notes board
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", notes.show)
	mux.Handle("POST /notes", wk.RequireUser()(http.HandlerFunc(notes.write)))
	site := wk.Handler(http.NewCrossOriginProtection().Handler(mux)) // no other site posts the app's forms

	addr := cmp.Or(os.Getenv("ADDR"), "localhost:8080")
	log.Print("http://", addr)
	log.Fatal(http.ListenAndServe(addr, site))
}
