// Step 1 of docs/tutorial.md: a site without users.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "Notes")
	})

	addr := cmp.Or(os.Getenv("ADDR"), "localhost:8080")
	log.Print("http://", addr)
	log.Fatal(http.ListenAndServe(addr, mux))
}
