// Package promwalkin counts walkin's events in Prometheus.
//
//	metrics := promwalkin.New()
//	registry.MustRegister(metrics)
//	wk, err := walkin.New(walkin.Config{…, OnEvent: metrics.OnEvent})
//
// An app with an OnEvent of its own calls metrics.OnEvent in it.
//
// # Metrics
//
//	walkin_minted_total                      visitors who got an anonymous user ID
//	walkin_skipped_total{reason}             visitors who got none, or were not stored
//	walkin_rejected_tokens_total{reason}     tokens that were not accepted, of visitors who got a new user or none
//	walkin_persisted_total                   anonymous users who were stored
//	walkin_revived_total                     users whom the store had lost and who came back
//	walkin_renewed_total                     tokens that were re-issued
//	walkin_changes_total{outcome, provider}  upgraded, signed_up, signed_in, merged, linked, unlinked
//	walkin_signed_out_total                  sessions that were ended by their owner
//	walkin_deleted_total                     users who were deleted
//	walkin_refused_total{reason}             requests that were refused
//	walkin_failed_total{reason}              failures
//	walkin_sweeps_total                      sweeps that deleted users, or failed
//	walkin_swept_total                       anonymous users who were swept
//
// The funnel is minted, persisted, and changes with the outcome upgraded.
// dashboard.json is a Grafana dashboard of all of them.
//
// No label holds a user, a session or an address. None has more than a hundred values:
// further values are recorded as "other".
package promwalkin

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/internal/labels"
)

// A Collector counts events. It is a prometheus.Collector; register it once. Its
// methods may be called concurrently.
type Collector struct {
	counters map[walkin.Outcome]prometheus.Counter
	sweeps   prometheus.Counter

	skipped, rejected, refused, failed, changes *prometheus.CounterVec
	reasons, tokens, providers                  labels.Set
}

var _ prometheus.Collector = (*Collector)(nil)

// New returns a Collector whose counts are all zero.
func New() *Collector {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "walkin", Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "walkin", Name: name, Help: help}, labels)
	}
	return &Collector{
		counters: map[walkin.Outcome]prometheus.Counter{
			walkin.Minted:    counter("minted_total", "Visitors who got an anonymous user ID."),
			walkin.Persisted: counter("persisted_total", "Anonymous users who were stored."),
			walkin.Revived:   counter("revived_total", "Users whom the store had lost and who came back."),
			walkin.Renewed:   counter("renewed_total", "Tokens that were re-issued."),
			walkin.SignedOut: counter("signed_out_total", "Sessions that were ended by their owner."),
			walkin.Deleted:   counter("deleted_total", "Users who were deleted."),
			walkin.Swept:     counter("swept_total", "Anonymous users who stayed away and were swept."),
		},
		sweeps:   counter("sweeps_total", "Sweeps that deleted users, or failed."),
		skipped:  vec("skipped_total", "Visitors who got no user ID, or were not stored.", "reason"),
		rejected: vec("rejected_tokens_total", "Tokens that were not accepted.", "reason"),
		refused:  vec("refused_total", "Requests that were refused.", "reason"),
		failed:   vec("failed_total", "Failures.", "reason"),
		changes:  vec("changes_total", "Changes of who a visitor is.", "outcome", "provider"),
	}
}

// OnEvent counts an event. It is for walkin.Config.OnEvent.
func (c *Collector) OnEvent(_ context.Context, e walkin.Event) {
	if e.Token != "" { // a counter of its own: as a second label it would multiply the series
		c.rejected.WithLabelValues(c.tokens.Of(string(e.Token))).Inc()
	}
	switch e.Outcome {
	case walkin.Skipped:
		c.skipped.WithLabelValues(c.reasons.Of(string(e.Reason))).Inc()
	case walkin.Refused:
		c.refused.WithLabelValues(c.reasons.Of(string(e.Reason))).Inc()
	case walkin.Failed:
		c.failed.WithLabelValues(c.reasons.Of(string(e.Reason))).Inc()
	case walkin.Upgraded, walkin.SignedUp, walkin.SignedIn, walkin.Merged, walkin.Linked, walkin.Unlinked:
		c.changes.WithLabelValues(string(e.Outcome), c.providers.Of(e.Provider)).Inc()
	case walkin.Swept:
		c.sweeps.Inc()
		c.counters[walkin.Swept].Add(float64(e.Count))
	default:
		if counter := c.counters[e.Outcome]; counter != nil {
			counter.Inc()
		}
	}
}

func (c *Collector) all() []prometheus.Collector {
	all := []prometheus.Collector{c.sweeps, c.skipped, c.rejected, c.refused, c.failed, c.changes}
	for _, counter := range c.counters {
		all = append(all, counter)
	}
	return all
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, one := range c.all() {
		one.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for _, one := range c.all() {
		one.Collect(ch)
	}
}
