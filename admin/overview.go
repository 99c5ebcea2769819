package admin

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// Counters count events since they were made; the zero value is ready. They count this
// process alone.
type Counters struct {
	mu     sync.Mutex
	since  time.Time
	counts map[string]int64
}

// maxCounters bounds what is counted: reasons of an app's own refusals may be many.
const maxCounters = 200

// OnEvent is for walkin.Config.OnEvent, or is called by the app's own.
func (c *Counters) OnEvent(_ context.Context, e walkin.Event) {
	key := string(e.Outcome)
	switch e.Outcome {
	case walkin.Refused, walkin.Failed, walkin.Skipped:
		key += " " + string(e.Reason)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts, c.since = make(map[string]int64), time.Now()
	}
	if _, there := c.counts[key]; there || len(c.counts) < maxCounters {
		c.counts[key]++
	}
}

func (c *Counters) read() (since time.Time, counts map[string]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since, maps.Clone(c.counts)
}

// An overview is the first page.
type overview struct {
	Anonymous, Permanent, Inactive store.Count
	InactiveDays                   int
	Days                           []bar
	Providers                      []named
	Funnel                         []named // nil without counters
	Problems                       []named
	Since                          time.Time
}

// A bar is one day of the chart. Heights are of 100.
type bar struct {
	Day           time.Time
	New, Upgraded store.Count
	X             int
	NewHeight     int
	UpHeight      int
	NewY, UpY     int
}

type named struct {
	Name string
	N    int64
	Part int // of the first, in percent
}

const shownDays = 14

func (s *Screen) overview(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	o := &overview{InactiveDays: 30}
	var err error
	if o.Anonymous, err = s.store.CountUsers(ctx, store.AnonymousUsers, false); err == nil {
		o.Permanent, err = s.store.CountUsers(ctx, store.PermanentUsers, false)
	}
	if err == nil {
		o.Inactive, err = s.store.CountInactive(ctx, time.Now().AddDate(0, 0, -o.InactiveDays), 10_000)
	}
	if err == nil {
		err = o.addDays(ctx, s.store)
	}
	if err != nil {
		s.wk.Refuse(w, r, err)
		return
	}
	if s.cfg.Counters != nil {
		o.addCounts(s.cfg.Counters)
	}
	s.show(w, r, "Overview", view{Overview: o})
}

func (o *overview) addDays(ctx context.Context, st store.Directory) error {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	days, err := st.DailyUsers(ctx, today.AddDate(0, 0, 1-shownDays), shownDays)
	if err != nil {
		return err
	}
	most, providers := int64(1), make(map[string]int64)
	for i, day := range days {
		up := store.Count{Accuracy: store.Exact}
		for provider, n := range day.First {
			providers[provider] += n.N
			up.N += n.N
			if n.Accuracy != store.Exact {
				up.Accuracy = n.Accuracy
			}
		}
		o.Days = append(o.Days, bar{Day: day.Day, New: day.New, Upgraded: up, X: 44 * i})
		most = max(most, day.New.N, up.N)
	}
	for i := range o.Days {
		b := &o.Days[i]
		b.NewHeight, b.UpHeight = int(b.New.N*100/most), int(b.Upgraded.N*100/most)
		b.NewY, b.UpY = 104-b.NewHeight, 104-b.UpHeight
	}
	o.Providers = ranked(providers)
	return nil
}

// ranked returns names by their numbers.
func ranked(counts map[string]int64) []named {
	var all []named
	for name, n := range counts {
		all = append(all, named{Name: name, N: n})
	}
	slices.SortFunc(all, func(a, b named) int {
		if a.N != b.N {
			return int(min(max(b.N-a.N, -1), 1))
		}
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	for i := range all {
		all[i].Part = int(all[i].N * 100 / max(all[0].N, 1))
	}
	return all[:min(len(all), 20)]
}

func (o *overview) addCounts(c *Counters) {
	since, counts := c.read()
	o.Since = since
	o.Funnel = []named{
		{Name: "got an anonymous user", N: counts[string(walkin.Minted)]},
		{Name: "wrote something, and were stored", N: counts[string(walkin.Persisted)]},
		{Name: "got an account", N: counts[string(walkin.Upgraded)]},
	}
	for i := range o.Funnel {
		o.Funnel[i].Part = int(min(o.Funnel[i].N*100/max(o.Funnel[0].N, 1), 100))
	}
	problems := make(map[string]int64)
	for key, n := range counts {
		for _, outcome := range []walkin.Outcome{walkin.Refused, walkin.Failed} {
			if len(key) > len(outcome) && key[:len(outcome)+1] == string(outcome)+" " {
				problems[key] = n
			}
		}
	}
	o.Problems = ranked(problems)
}
