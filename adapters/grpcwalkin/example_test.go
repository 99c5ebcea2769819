package grpcwalkin_test

import (
	"log"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/grpcwalkin"
	"github.com/walkin-go/walkin/store/memstore"
	"google.golang.org/grpc"
)

func Example() {
	wk, err := walkin.New(walkin.Config{
		Keys:     []walkin.Key{{Secret: []byte("32 random bytes, from a safe place")}}, // the site's
		Store:    memstore.New(),                                                       // the site's, so a database
		Audience: "notes",                                                              // what the site's AccessToken is for
	})
	if err != nil {
		log.Fatal(err)
	}
	guard := grpcwalkin.Guard{Middleware: wk, Level: func(method string) grpcwalkin.Level {
		if method == "/notes.Notes/Publish" {
			return grpcwalkin.Permanent
		}
		return grpcwalkin.User
	}}
	server := grpc.NewServer(grpc.UnaryInterceptor(guard.Unary), grpc.StreamInterceptor(guard.Stream))
	server.Stop()
	// Output:
}
