package otelwalkin_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/otelwalkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func newRecorder(t *testing.T) (*otelwalkin.Recorder, *sdk.ManualReader) {
	t.Helper()
	reader := sdk.NewManualReader()
	recorder, err := otelwalkin.New(sdk.NewMeterProvider(sdk.WithReader(reader)))
	if err != nil {
		t.Fatal(err)
	}
	return recorder, reader
}

// counts returns all series with their values.
func counts(t *testing.T, reader *sdk.ManualReader) map[string]int64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]int64)
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if !ok || !sum.IsMonotonic || m.Unit == "" || m.Description == "" {
				t.Errorf("%s is no counter with a unit and a description", m.Name)
			}
			for _, point := range sum.DataPoints {
				all[m.Name+words(point.Attributes.ToSlice())] += point.Value
			}
		}
	}
	return all
}

func words(attributes []attribute.KeyValue) string {
	if len(attributes) == 0 {
		return ""
	}
	var all []string
	for _, a := range attributes {
		all = append(all, string(a.Key)+"="+a.Value.AsString())
	}
	slices.Sort(all)
	return "{" + strings.Join(all, ",") + "}"
}

// TestOnEvent lets people at a site, in a span each, and counts.
func TestOnEvent(t *testing.T) {
	recorder, reader := newRecorder(t)
	spans := tracetest.NewInMemoryExporter()
	tracer := trace.NewTracerProvider(trace.WithSyncer(spans)).Tracer("test")
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: memstore.New(),
		OnEvent: recorder.OnEvent, Hooks: walkin.Hooks{OnMerge: func(context.Context, walkin.Change) error { return nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/members", wk.RequirePermanent()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	mux.HandleFunc("POST /prove", func(w http.ResponseWriter, r *http.Request) {
		if _, err := wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"}); err != nil {
			wk.Refuse(w, r, err)
		}
	})
	inner := wk.Handler(mux)
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := tracer.Start(r.Context(), r.Method+" "+r.URL.Path)
		defer span.End()
		inner.ServeHTTP(w, r.WithContext(ctx))
	})
	c := walkintest.NewClient(t, site)
	c.Visit("/")
	c.Post("/", nil)
	c.Fetch("/members")
	c.Post("/prove", url.Values{"name": {"ann"}})
	want := map[string]int64{
		"walkin.minted": 1, "walkin.persisted": 1, "walkin.refused{walkin.reason=anonymous}": 1,
		"walkin.changes{walkin.outcome=upgraded,walkin.provider=test}": 1,
	}
	if got := counts(t, reader); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	var noted []string
	for _, span := range spans.GetSpans() {
		for _, e := range span.Events {
			noted = append(noted, span.Name+": "+e.Name+words(e.Attributes))
		}
	}
	wantNoted := []string{
		"GET /: walkin.minted", "POST /: walkin.persisted", "GET /members: walkin.refused{walkin.reason=anonymous}",
		"POST /prove: walkin.upgraded{walkin.outcome=upgraded,walkin.provider=test}",
	}
	if !slices.Equal(noted, wantNoted) {
		t.Errorf("got  %q\nwant %q", noted, wantNoted)
	}
}

// TestEveryOutcome holds which counter each outcome moves, and that no ID gets
// anywhere.
func TestEveryOutcome(t *testing.T) {
	id := uuid.New()
	for outcome, want := range map[walkin.Outcome]map[string]int64{
		walkin.Minted: {"walkin.minted": 1}, walkin.Persisted: {"walkin.persisted": 1}, walkin.Renewed: {"walkin.renewed": 1},
		walkin.Revived: {"walkin.revived": 1}, walkin.SignedOut: {"walkin.signed_out": 1}, walkin.Deleted: {"walkin.deleted": 1},
		walkin.Skipped: {"walkin.skipped{walkin.reason=why}": 1, "walkin.rejected_tokens{walkin.token=expired}": 1}, walkin.Refused: {"walkin.refused{walkin.reason=why}": 1},
		walkin.Failed: {"walkin.failed{walkin.reason=why}": 1}, walkin.Swept: {"walkin.swept": 7, "walkin.sweeps": 1},
		walkin.SignedUp:      {"walkin.changes{walkin.outcome=signed_up,walkin.provider=p}": 1},
		walkin.SignedIn:      {"walkin.changes{walkin.outcome=signed_in,walkin.provider=p}": 1},
		walkin.Merged:        {"walkin.changes{walkin.outcome=merged,walkin.provider=p}": 1},
		walkin.Linked:        {"walkin.changes{walkin.outcome=linked,walkin.provider=p}": 1},
		walkin.Unlinked:      {"walkin.changes{walkin.outcome=unlinked,walkin.provider=p}": 1},
		"of a later version": {},
	} {
		recorder, reader := newRecorder(t)
		spans := tracetest.NewInMemoryExporter()
		ctx, span := trace.NewTracerProvider(trace.WithSyncer(spans)).Tracer("test").Start(t.Context(), "test")
		recorder.OnEvent(ctx, walkin.Event{Outcome: outcome, Reason: "why", Token: map[walkin.Outcome]walkin.Reason{walkin.Skipped: "expired"}[outcome], UserID: id, AnonymousID: id, SessionID: id,
			Provider: "p", Count: 7, Err: errors.New(id.String())})
		span.End()
		if got := counts(t, reader); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", outcome, got, want)
		}
		if text := fmt.Sprint(spans.GetSpans()); strings.Contains(text, id.String()) {
			t.Errorf("%s: the span holds an ID: %s", outcome, text)
		}
	}
}

// TestSeries holds that the number of series stays bounded, whatever is sent.
func TestSeries(t *testing.T) {
	recorder, reader := newRecorder(t)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				recorder.OnEvent(t.Context(), walkin.Event{Outcome: walkin.Refused, Reason: walkin.Reason(fmt.Sprintf("%d/%d", worker, i))})
				recorder.OnEvent(t.Context(), walkin.Event{Outcome: walkin.Linked, Provider: fmt.Sprintf("%d/%d\xff", worker, i)})
			}
		})
	}
	wg.Wait()
	got := counts(t, reader)
	total := int64(0)
	for _, n := range got {
		total += n
	}
	if len(got) > 102 || total != 8000 {
		t.Errorf("got %d series and %d events, want 102 at most and all of them", len(got), total)
	}
}

// TestGlobal holds that nil is the global provider, which does nothing here.
func TestGlobal(t *testing.T) {
	recorder, err := otelwalkin.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	recorder.OnEvent(t.Context(), walkin.Event{Outcome: walkin.Minted})
}
