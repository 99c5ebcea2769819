// Command walkin is the same site behind walkin.
package main

import (
	"io"
	"log"
	"net/http"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
)

func main() {
	wk, err := walkin.New(walkin.Config{Store: memstore.New()})
	if err != nil {
		log.Fatal(err)
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	log.Fatal(http.ListenAndServe("localhost:8080", wk.Handler(hello)))
}
