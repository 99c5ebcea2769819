package redisstore_test

import (
	"fmt"
	"net/http"

	"github.com/alexedwards/scs/v2"
	"github.com/redis/go-redis/v9"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/store/redisstore"
)

// A shop whose carts are in Redis. Its users are in a database; store/memstore
// stands for it here.
func Example() {
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs:                 []string{"localhost:6379"}, // several are a cluster
		ContextTimeoutEnabled: true,
	})
	defer client.Close()

	carts, err := redisstore.New(redisstore.Config{Client: client, Prefix: "shop:"})
	if err != nil {
		fmt.Println(err)
		return
	}
	sm := scs.New()
	sm.Store = carts

	m, err := walkin.New(walkin.Config{
		Keys:  []walkin.Key{{Secret: []byte("32 random bytes, not these words")}},
		Store: memstore.New(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	shop := http.NewServeMux()
	shop.HandleFunc("POST /cart", func(_ http.ResponseWriter, r *http.Request) {
		sm.Put(r.Context(), "cart", r.FormValue("book"))
	})
	site := m.Handler(m.LoadAndSave(sm)(shop))
	fmt.Println(site != nil)
	// Output: true
}
