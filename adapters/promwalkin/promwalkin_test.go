package promwalkin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/promwalkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// counts returns all series with their values.
func counts(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := family.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			if v := m.Counter.GetValue(); v != 0 {
				all[name] = v
			}
		}
	}
	return all
}

func newRegistry(t *testing.T, c *promwalkin.Collector) *prometheus.Registry {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	return registry
}

// TestOnEvent lets people at a site and counts.
func TestOnEvent(t *testing.T) {
	metrics := promwalkin.New()
	registry := newRegistry(t, metrics)
	store := memstore.New()
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: store,
		OnEvent: metrics.OnEvent, Hooks: walkin.Hooks{OnMerge: func(context.Context, walkin.Change) error { return nil }},
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
	mux.Handle("POST /out", wk.SignOutHandler())
	site := wk.Handler(mux)

	prove := func(c *walkintest.Client, name string) { c.Post("/prove", url.Values{"name": {name}}) }
	ann := walkintest.NewClient(t, site)
	ann.Visit("/")
	ann.Post("/", nil)
	ann.Fetch("/members")
	prove(ann, "ann")
	guest := walkintest.NewClient(t, site)
	guest.Visit("/")
	guest.Post("/", nil)
	prove(guest, "ann")
	prove(guest, "bea") // one more way in
	guest.Post("/out", nil)
	crawler := walkintest.NewClient(t, site)
	r := crawler.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("User-Agent", "Googlebot/2.1")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	crawler.Do(r)
	metrics.OnEvent(t.Context(), walkin.Event{Outcome: walkin.Swept, Count: 7})
	metrics.OnEvent(t.Context(), walkin.Event{Outcome: walkin.Renewed})
	metrics.OnEvent(t.Context(), walkin.Event{Outcome: walkin.Deleted})
	metrics.OnEvent(t.Context(), walkin.Event{Outcome: walkin.Revived})
	metrics.OnEvent(t.Context(), walkin.Event{Outcome: walkin.Failed, Reason: "store"})
	metrics.OnEvent(t.Context(), walkin.Event{Outcome: walkin.Minted, Token: "expired"})
	metrics.OnEvent(t.Context(), walkin.Event{Outcome: "of a later version"})

	want := map[string]float64{
		"walkin_minted_total": 3, "walkin_rejected_tokens_total{reason=expired}": 1, "walkin_persisted_total": 2, "walkin_renewed_total": 1, "walkin_signed_out_total": 1,
		"walkin_deleted_total": 1, "walkin_revived_total": 1, "walkin_sweeps_total": 1, "walkin_swept_total": 7,
		"walkin_skipped_total{reason=bot}": 1, "walkin_refused_total{reason=anonymous}": 1, "walkin_failed_total{reason=store}": 1,
		"walkin_changes_total{outcome=upgraded,provider=test}": 1, "walkin_changes_total{outcome=merged,provider=test}": 1,
		"walkin_changes_total{outcome=linked,provider=test}": 1,
	}
	if got := counts(t, registry); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestSeries holds that the number of series stays bounded, whatever is sent.
func TestSeries(t *testing.T) {
	metrics := promwalkin.New()
	registry := newRegistry(t, metrics)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				metrics.OnEvent(t.Context(), walkin.Event{Outcome: walkin.Refused, Reason: walkin.Reason(fmt.Sprintf("%d/%d", worker, i))})
				metrics.OnEvent(t.Context(), walkin.Event{Outcome: walkin.SignedIn, Provider: fmt.Sprintf("%d/%d\xff", worker, i)})
				metrics.OnEvent(t.Context(), walkin.Event{Outcome: walkin.Linked, Provider: fmt.Sprintf("%d/%d", worker, i)})
			}
		})
	}
	wg.Wait()
	got := counts(t, registry)
	total := 0.0
	for _, n := range got {
		total += n
	}
	if len(got) > 203 || total != 3*8000 {
		t.Errorf("got %d series and %v events, want 203 at most and all of them", len(got), total)
	}
}

// TestDashboard holds that the dashboard shows every metric, and asks for none
// that is not there.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
			GridPos struct{ X, Y, W, H int }
		}
		Templating struct{ List []struct{ Name, Type string } }
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	asked := make(map[string]bool)
	ids := make(map[int]bool)
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 || len(p.Targets) == 0 {
			t.Errorf("panel %d %q is a second one, or lacks something", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			for _, name := range regexp.MustCompile(`walkin_\w+`).FindAllString(target.Expr, -1) {
				asked[name] = true
			}
		}
	}
	described := make(chan *prometheus.Desc, 100)
	promwalkin.New().Describe(described)
	close(described)
	there := make(map[string]bool)
	for d := range described {
		there[regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]] = true
	}
	if !maps.Equal(asked, there) {
		t.Errorf("the dashboard asks for\n%v, and there are\n%v", slices.Sorted(maps.Keys(asked)), slices.Sorted(maps.Keys(there)))
	}
	if len(board.Templating.List) == 0 || board.Templating.List[0].Type != "datasource" {
		t.Error("the dashboard has no variable for its source of data")
	}
	// The table of the package comment, too.
	source, err := os.ReadFile("promwalkin.go")
	if err != nil {
		t.Fatal(err)
	}
	comment, _, _ := strings.Cut(string(source), "package promwalkin")
	for name := range there {
		if !strings.Contains(comment, name) {
			t.Errorf("the package comment lacks %s", name)
		}
	}
}

func BenchmarkOnEvent(b *testing.B) {
	metrics := promwalkin.New()
	e := walkin.Event{Outcome: walkin.Skipped, Reason: "not_a_page"}
	b.ReportAllocs()
	for b.Loop() {
		metrics.OnEvent(context.Background(), e)
	}
}
