package main

import (
	"log"
	"net/http"

	"github.com/walkin-go/walkin"
)

func save(http.ResponseWriter, *http.Request) {}

func main() {
	wk, err := walkin.New(walkin.Config{})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("POST /notes", wk.RequireUser()(http.HandlerFunc(save)))
	http.HandleFunc("POST /newsletter", save) //walkin:allow a sign-up by mail address, limited by the proxy
	handler := http.NewCrossOriginProtection().Handler(http.DefaultServeMux)
	server := &http.Server{Addr: ":8080", Handler: wk.Handler(handler)}
	go func() { log.Print(server.ListenAndServe()) }()
	select {}
}
