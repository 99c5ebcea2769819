package password

import (
	"context"
	"net/http"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/texts"
)

// A gate lets a bounded number through at once, and a bounded number wait. A
// hash is memory: 64 of 64 MiB at once took 2.4 GiB and 13 seconds, each.
type gate struct {
	places    chan struct{} // one for each that is through or waits
	slots     chan struct{} // one for each that is through
	unlimited chan struct{} // one for each of those that nothing limits
}

func newGate(through, waiting int) *gate {
	places := through + waiting
	return &gate{
		places: make(chan struct{}, places), slots: make(chan struct{}, through), unlimited: make(chan struct{}, max(1, places/2)),
	}
}

// turnUnlimited is turn for requests that no limit counts, such as sign-ups. It fills
// half of the places at most, so that a flood of them cannot keep users from signing
// in.
func (g *gate) turnUnlimited(ctx context.Context, f func() error) error {
	select {
	case g.unlimited <- struct{}{}:
		defer func() { <-g.unlimited }()
	default:
		return busy(nil)
	}
	return g.turn(ctx, f)
}

// turn runs f when it is its turn, and returns its error. It refuses with 503 at once
// when too many wait already, and when the context ends before its turn.
func (g *gate) turn(ctx context.Context, f func() error) error {
	select {
	case g.places <- struct{}{}:
		defer func() { <-g.places }()
	default:
		return busy(nil)
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return busy(err)
	}
	return f()
}

func busy(err error) *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusServiceUnavailable, Reason: ReasonBusy, RetryAfter: 2 * time.Second, Err: err,
		Text: texts.Of("password.busy")}
}
