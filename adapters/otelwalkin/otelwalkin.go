// Package otelwalkin counts walkin's events with OpenTelemetry, and notes them in the
// span of the request.
//
//	recorder, err := otelwalkin.New(nil)
//	…
//	wk, err := walkin.New(walkin.Config{…, OnEvent: recorder.OnEvent})
//
// An app with an OnEvent of its own calls recorder.OnEvent in it.
//
// # Metrics
//
//	walkin.minted           {user}     visitors who got an anonymous user ID
//	walkin.skipped          {request}  visitors who got none, or were not stored; walkin.reason
//	walkin.rejected_tokens  {token}    tokens that were not accepted, of visitors who got a new user or none; walkin.token
//	walkin.persisted        {user}     anonymous users who were stored
//	walkin.revived          {user}     users whom the store had lost and who came back
//	walkin.renewed          {token}    tokens that were re-issued
//	walkin.changes          {change}   walkin.outcome (upgraded, signed_up, signed_in, merged, linked, unlinked), walkin.provider
//	walkin.signed_out       {session}  sessions that were ended by their owner
//	walkin.deleted          {user}     users who were deleted
//	walkin.refused          {request}  requests that were refused; walkin.reason
//	walkin.failed           {failure}  failures; walkin.reason
//	walkin.sweeps           {sweep}    sweeps that deleted users, or failed
//	walkin.swept            {user}     anonymous users who were swept
//
// All are counters. The funnel is minted, persisted, and changes with the outcome
// upgraded.
//
// # Spans
//
// A span that is recorded gets an event named "walkin." and the outcome, with the
// attributes above, and walkin.token where the request had a token that was not accepted. It holds no user, session or address: an anonymous user's ID is
// personal data as soon as they sign up.
//
// No attribute has more than a hundred values. Further values are recorded as "other".
package otelwalkin

import (
	"context"
	"errors"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/internal/labels"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/walkin-go/walkin/adapters/otelwalkin"

// A Recorder counts events. Make one with [New]. Its methods may be called
// concurrently.
type Recorder struct {
	counters                   map[walkin.Outcome]metric.Int64Counter
	changes, sweeps, rejected  metric.Int64Counter
	reasons, tokens, providers labels.Set
}

// New returns a Recorder on a provider of meters. If nil, it uses the global provider,
// as it is now. The error is the provider's.
func New(provider metric.MeterProvider) (*Recorder, error) {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	meter := provider.Meter(scope)
	var errs []error
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := meter.Int64Counter("walkin."+name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return c
	}
	r := &Recorder{
		counters: map[walkin.Outcome]metric.Int64Counter{
			walkin.Minted:    counter("minted", "{user}", "Visitors who got an anonymous user ID."),
			walkin.Skipped:   counter("skipped", "{request}", "Visitors who got no user ID, or were not stored."),
			walkin.Persisted: counter("persisted", "{user}", "Anonymous users who were stored."),
			walkin.Revived:   counter("revived", "{user}", "Users whom the store had lost and who came back."),
			walkin.Renewed:   counter("renewed", "{token}", "Tokens that were re-issued."),
			walkin.SignedOut: counter("signed_out", "{session}", "Sessions that were ended by their owner."),
			walkin.Deleted:   counter("deleted", "{user}", "Users who were deleted."),
			walkin.Refused:   counter("refused", "{request}", "Requests that were refused."),
			walkin.Failed:    counter("failed", "{failure}", "Failures."),
			walkin.Swept:     counter("swept", "{user}", "Anonymous users who stayed away and were swept."),
		},
		changes:  counter("changes", "{change}", "Changes of who a visitor is."),
		rejected: counter("rejected_tokens", "{token}", "Tokens that were not accepted."),
		sweeps:   counter("sweeps", "{sweep}", "Sweeps that deleted users, or failed."),
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}

// OnEvent counts an event and notes it in the span of ctx. It is for
// walkin.Config.OnEvent.
func (r *Recorder) OnEvent(ctx context.Context, e walkin.Event) {
	var attributes []attribute.KeyValue
	count, counter := int64(1), r.counters[e.Outcome]
	switch e.Outcome {
	case walkin.Skipped, walkin.Refused, walkin.Failed:
		attributes = []attribute.KeyValue{attribute.String("walkin.reason", r.reasons.Of(string(e.Reason)))}
	case walkin.Upgraded, walkin.SignedUp, walkin.SignedIn, walkin.Merged, walkin.Linked, walkin.Unlinked:
		counter = r.changes
		attributes = []attribute.KeyValue{
			attribute.String("walkin.outcome", string(e.Outcome)),
			attribute.String("walkin.provider", r.providers.Of(e.Provider)),
		}
	case walkin.Swept:
		count = int64(e.Count)
		r.sweeps.Add(ctx, 1)
	}
	if counter == nil {
		return // an outcome of a later version
	}
	counter.Add(ctx, count, metric.WithAttributes(attributes...))
	if e.Token != "" { // a counter of its own: as a second attribute it would multiply the series
		token := attribute.String("walkin.token", r.tokens.Of(string(e.Token)))
		r.rejected.Add(ctx, 1, metric.WithAttributes(token))
		attributes = append(attributes, token)
	}
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.AddEvent("walkin."+string(e.Outcome), trace.WithAttributes(attributes...))
	}
}
