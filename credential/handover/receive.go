package handover

// What the second browser does.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net/http"

	"github.com/walkin-go/walkin"
)

// digits is the length of the number to compare.
const digits = 4

// Scan opens the code in the visitor's browser: the first one that does gets a number,
// see Scanned. A second one ends the handover, since one of the two may be a thief's.
// The device is what the first browser is told about this one, such as "phone". It is
// for an unsafe request: opening the link itself changes nothing.
func (h *Handovers) Scan(w http.ResponseWriter, r *http.Request, code, device string) error {
	c, ok := walkin.FromContext(r.Context())
	if ok && !c.Anonymous {
		return refusal(walkin.ReasonHandoverPermanent, "handover.permanent")
	}
	if _, err := h.wk.StartFlow(w, r); err != nil { // who may begin a sign-in may scan
		return err
	}
	if err := h.take(r.Context(), h.networks(r)); err != nil {
		return err
	}
	var at place
	if err := h.get(r.Context(), hash("code", code), &at); err != nil {
		return err
	}
	if c.UserID == at.UserID {
		return refusal(walkin.ReasonHandoverSame, "handover.same")
	}
	value, ok := h.browser(r)
	if !ok {
		value = rand.Text()
	}
	number, err := rand.Int(rand.Reader, big.NewInt(10_000))
	if err != nil {
		return err
	}
	err = h.change(r.Context(), at, func(s *state) error {
		switch {
		case s.Code != hash("code", code), s.Stage == Ended:
			return over()
		case s.Stage == Waiting:
			s.Stage, s.Browser, s.Device = Scanned, hash("browser", value), device
			s.Number = fmt.Sprintf("%0*d", digits, number)
		case s.Browser == hash("browser", value): // the second half of a double click
		case s.Stage == Joined:
			return over()
		default:
			s.Stage = Ended
			return refusal(ReasonOpenedTwice, "handover.over")
		}
		return nil
	})
	if err != nil {
		return err
	}
	cookie := h.cookie
	cookie.Value, cookie.MaxAge = value, int(Lifetime.Seconds())
	http.SetCookie(w, &cookie)
	return nil
}

// browser returns the value of the second browser's cookie, if we may have set it.
func (h *Handovers) browser(r *http.Request) (string, bool) {
	values := r.CookiesNamed(h.cookie.Name)
	if len(values) != 1 || len(values[0].Value) != len(rand.Text()) {
		return "", false
	}
	return values[0].Value, true
}

// Scanned returns the handover that this browser has opened: its stage, and the number
// to type in the first one. The error is a *[walkin.Refusal] if it is over.
func (h *Handovers) Scanned(r *http.Request) (stage, number string, err error) {
	s, err := h.scanned(r)
	return s.Stage, s.Number, err
}

func (h *Handovers) scanned(r *http.Request) (s state, err error) {
	value, ok := h.browser(r)
	if !ok {
		return s, over()
	}
	var at place
	if err = h.get(r.Context(), hash("browser", value), &at); err == nil {
		err = h.get(r.Context(), at.key(), &s)
	}
	if err != nil {
		return state{}, err
	}
	if s.Browser != hash("browser", value) || s.Stage == Ended {
		return state{}, over()
	}
	return s, nil
}

// Join lets this browser go on as the user of the first one, which has confirmed it. If
// leave is set, an anonymous user of this browser's own is left behind; otherwise the
// error says that there is one. It is for an unsafe request. Call it before the response
// begins.
func (h *Handovers) Join(w http.ResponseWriter, r *http.Request, leave bool) error {
	s, err := h.scanned(r)
	if err != nil {
		return err
	}
	err = h.wk.Join(w, r, walkin.Handover{UserID: s.UserID, SessionID: s.SessionID, Leave: leave, Redeem: func(ctx context.Context) error {
		at, browser := place{s.UserID, s.SessionID}, s.Browser
		var now state
		if err := h.get(ctx, at.key(), &now); err != nil {
			return err
		}
		switch {
		case now.Browser != browser, now.Stage == Ended:
			return over()
		case now.Stage == Scanned:
			return refusal(ReasonWaiting, "handover.waiting")
		case now.Stage == Joined:
			again := over()
			again.Err = walkin.ErrRedeemed
			return again
		}
		now.Stage = Joined
		return h.put(ctx, at.key(), now, now)
	}})
	if errors.Is(err, walkin.ErrRedeemed) {
		return nil // the second half of a double click: the first has the session
	}
	return err
}
