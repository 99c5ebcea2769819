package grpcwalkin_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/grpcwalkin"
	"github.com/walkin-go/walkin/store/memstore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// notes is a service behind the site, with the methods of gRPC's own health
// service, so that the example needs no generated code.
type notes struct {
	health.UnimplementedHealthServer
}

func (notes) Check(ctx context.Context, _ *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	claims, _ := walkin.FromContext(ctx)
	fmt.Println("anonymous:", claims.Anonymous)
	return &health.HealthCheckResponse{}, nil
}

// Example is a site that calls a service behind it for its visitor: Check is for every
// user, List for permanent users.
func Example() {
	config := walkin.Config{
		Keys:  []walkin.Key{{Secret: []byte("32 random bytes, from a safe place")}},
		Store: memstore.New(), // a database, which both use

		Cookies: walkin.Cookies{
			Insecure: true, // plain http on localhost
		},
	}
	site, err := walkin.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	config.Tokens.Audience = "notes" // what the site's tokens for the service are for
	wk, err := walkin.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}

	// The service.
	guard := grpcwalkin.Guard{Middleware: wk, Level: func(method string) grpcwalkin.Level {
		if method == health.Health_List_FullMethodName {
			return grpcwalkin.Permanent
		}
		return grpcwalkin.User
	}}
	server := grpc.NewServer(grpc.UnaryInterceptor(guard.Unary), grpc.StreamInterceptor(guard.Stream))
	defer server.Stop()
	health.RegisterHealthServer(server, notes{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	client := health.NewHealthClient(conn)

	// The site.
	page := site.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		token, err := site.AccessToken(r.Context(), "notes", time.Minute)
		if err != nil {
			fmt.Println(err)
			return
		}
		ctx := metadata.AppendToOutgoingContext(r.Context(), "authorization", "Bearer "+token)
		_, err = client.Check(ctx, &health.HealthCheckRequest{})
		fmt.Println("check:", status.Code(err))
		_, err = client.List(ctx, &health.HealthListRequest{})
		fmt.Println("list:", status.Code(err))
		_, err = client.Check(r.Context(), &health.HealthCheckRequest{})
		fmt.Println("check without a token:", status.Code(err))
	}))
	visit := httptest.NewRequest(http.MethodGet, "/", nil)
	visit.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	visit.Header.Set("Accept", "text/html")
	page.ServeHTTP(httptest.NewRecorder(), visit)
	// Output:
	// anonymous: true
	// check: OK
	// list: PermissionDenied
	// check without a token: Unauthenticated
}
