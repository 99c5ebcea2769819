package connectwalkin_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"connectrpc.com/connect"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/connectwalkin"
	"github.com/walkin-go/walkin/store/memstore"
	"google.golang.org/protobuf/types/known/emptypb"
)

func Example() {
	wk, err := walkin.New(walkin.Config{
		Keys:     []walkin.Key{{Secret: []byte("32 random bytes, from a safe place")}},
		Store:    memstore.New(),
		OnRefuse: connectwalkin.OnRefuse(nil),
	})
	if err != nil {
		log.Fatal(err)
	}
	guard := connectwalkin.Guard{Middleware: wk, Level: func(string) connectwalkin.Level { return connectwalkin.Permanent }}

	const publish = "/notes.Notes/Publish" // generated code has these two
	mux := http.NewServeMux()
	mux.Handle(publish, connect.NewUnaryHandler(publish,
		func(context.Context, *connect.Request[emptypb.Empty]) (*connect.Response[emptypb.Empty], error) {
			return connect.NewResponse(&emptypb.Empty{}), nil
		}, connect.WithInterceptors(guard)))

	server := httptest.NewServer(wk.Handler(mux))
	defer server.Close()
	client := connect.NewClient[emptypb.Empty, emptypb.Empty](server.Client(), server.URL+publish)
	request := connect.NewRequest(&emptypb.Empty{})
	request.Header().Set("Sec-Fetch-Site", "same-origin") // as a browser on the site does; a program's first call makes no user
	_, err = client.CallUnary(context.Background(), request)
	fmt.Println(connect.CodeOf(err))
	// Output: permission_denied
}
