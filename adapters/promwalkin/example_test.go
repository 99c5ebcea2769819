package promwalkin_test

import (
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/promwalkin"
	"github.com/walkin-go/walkin/store/memstore"
)

func Example() {
	registry := prometheus.NewRegistry()
	metrics := promwalkin.New()
	registry.MustRegister(metrics)

	wk, err := walkin.New(walkin.Config{
		Keys:  []walkin.Key{{Secret: []byte("32 random bytes, from a safe place")}},
		Store: memstore.New(),
		OnEvent: func(ctx context.Context, e walkin.Event) {
			metrics.OnEvent(ctx, e) // and whatever else the app does with it
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = wk // wraps the site

	metrics.OnEvent(context.Background(), walkin.Event{Outcome: walkin.Minted}) // as a visit does
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, family := range families {
		if v := family.Metric[0].Counter.GetValue(); v > 0 {
			fmt.Println(family.GetName(), v)
		}
	}
	// Output: walkin_minted_total 1
}
