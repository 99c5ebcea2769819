package otelwalkin_test

import (
	"context"
	"fmt"
	"log"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/otelwalkin"
	"github.com/walkin-go/walkin/store/memstore"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func Example() {
	reader := sdk.NewManualReader() // a real app has an exporter
	recorder, err := otelwalkin.New(sdk.NewMeterProvider(sdk.WithReader(reader)))
	if err != nil {
		log.Fatal(err)
	}
	wk, err := walkin.New(walkin.Config{
		Keys:    []walkin.Key{{Secret: []byte("32 random bytes, from a safe place")}},
		Store:   memstore.New(),
		OnEvent: recorder.OnEvent,
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = wk // wraps the site

	ctx := context.Background()
	recorder.OnEvent(ctx, walkin.Event{Outcome: walkin.Minted}) // as a visit does
	var data metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &data); err != nil {
		log.Fatal(err)
	}
	for _, m := range data.ScopeMetrics[0].Metrics {
		fmt.Println(m.Name, m.Data.(metricdata.Sum[int64]).DataPoints[0].Value)
	}
	// Output: walkin.minted 1
}
