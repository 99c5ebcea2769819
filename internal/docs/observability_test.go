package docs

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/promwalkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestObservabilityPage runs the code of docs/observability.md: a visit is counted.
func TestObservabilityPage(t *testing.T) {
	registry, keys, store := prometheus.NewRegistry(), defaults().Keys, memstore.New()

	metrics := promwalkin.New() // Prometheus
	registry.MustRegister(metrics)
	wk, err := walkin.New(walkin.Config{
		Keys: keys, Store: store,
		Logger:  slog.Default(),
		OnEvent: metrics.OnEvent,
	})

	ok(t, err)
	walkintest.NewClient(t, wk.Handler(http.HandlerFunc(whoami))).Visit("/")
	if got := counted(t, registry, "walkin_minted_total"); got != 1 {
		t.Errorf("got %v", got)
	}

	// Several listeners, one after the other.
	recorder := &listener{}
	several := walkin.Config{
		OnEvent: func(ctx context.Context, e walkin.Event) {
			metrics.OnEvent(ctx, e)
			recorder.OnEvent(ctx, e)
		},
	}
	several.OnEvent(t.Context(), walkin.Event{Outcome: walkin.Minted})
	if got := counted(t, registry, "walkin_minted_total"); got != 2 || len(recorder.events) != 1 {
		t.Errorf("got %v, and %d events", got, len(recorder.events))
	}
}

// TestReasonsPage runs the function of docs/observability.md that looks at reasons.
func TestReasonsPage(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(logger)
	one := walkin.Config{
		OnEvent: func(ctx context.Context, e walkin.Event) {
			switch e.Reason {
			case walkin.ReasonStoreDown, password.ReasonTooManyAttempts:
				slog.WarnContext(ctx, "walkin", "outcome", e.Outcome, "reason", e.Reason, "user", e.UserID)
			}
		},
	}
	one.OnEvent(t.Context(), walkin.Event{Outcome: walkin.Refused, Reason: walkin.ReasonBot})
	one.OnEvent(t.Context(), walkin.Event{Outcome: walkin.Refused, Reason: walkin.ReasonStoreDown})
	if got := log.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "reason=store_down") {
		t.Errorf("got %s", got)
	}
}

type listener struct{ events []walkin.Event }

func (l *listener) OnEvent(_ context.Context, e walkin.Event) { l.events = append(l.events, e) }

func counted(t *testing.T, registry *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	ok(t, err)
	for _, family := range families {
		if family.GetName() == name {
			for _, metric := range family.Metric {
				sum += metric.GetCounter().GetValue()
			}
		}
	}
	return sum
}
