// Command bare is a site with net/http alone.
package main

import (
	"io"
	"log"
	"net/http"
)

func main() {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	log.Fatal(http.ListenAndServe("localhost:8080", hello))
}
