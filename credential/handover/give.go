package handover

// What the first browser does.

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/internal/numerals"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// Start begins a handover of the visitor, who is stored if they are not yet. It ends
// the one that this browser began before. It is for an unsafe request.
func (h *Handovers) Start(w http.ResponseWriter, r *http.Request) error {
	if err := h.mayGive(w, r); err != nil {
		return err
	}
	c, err := h.wk.Ensure(w, r)
	if err != nil {
		return err
	}
	buckets := append(h.networks(r), limits.Bucket{Name: "user", Key: "handover:" + c.UserID.String(), Limit: h.cfg.PerUser})
	if err := h.take(r.Context(), buckets); err != nil {
		return err
	}
	at := place{c.UserID, c.SessionID}
	s := state{UserID: c.UserID, SessionID: c.SessionID, Nonce: rand.Text(), Stage: Waiting, EndsAt: time.Now().Add(Lifetime)}
	s.Code = hash("code", secret(h.keys[0], at, s.Nonce))
	store := h.wk.Store()
	return store.InTx(r.Context(), func(ctx context.Context) error {
		if _, err := store.LockUser(ctx, c.UserID); err != nil {
			return err
		}
		if err := h.put(ctx, at.key(), s, s); err != nil {
			return err
		}
		return h.put(ctx, s.Code, at, s)
	})
}

// mayGive refuses whoever has nothing to hand over, and requests of other sites.
func (h *Handovers) mayGive(w http.ResponseWriter, r *http.Request) error {
	if c, ok := walkin.FromContext(r.Context()); ok && !c.Anonymous {
		return refusal(ReasonGivePermanent, "handover.give_permanent")
	}
	_, err := h.wk.StartFlow(w, r)
	return err
}

// Offered returns the handover that this browser has begun: its stage; the link and its
// QR code as an SVG, while it is [Waiting]; and what Scan was told about the other
// browser. The error is store.ErrNotFound if there is none, or the store's.
func (h *Handovers) Offered(r *http.Request) (stage, link, svg, device string, err error) {
	c, ok := walkin.FromContext(r.Context())
	if !ok || !c.Anonymous {
		return "", "", "", "", store.ErrNotFound
	}
	at := place{c.UserID, c.SessionID}
	ticket, err := h.wk.Store().Ticket(r.Context(), at.key(), time.Now())
	if err != nil {
		return "", "", "", "", err
	}
	var s state
	if err := json.Unmarshal(ticket.Data, &s); err != nil {
		return "", "", "", "", err
	}
	if s.Stage == Waiting {
		for _, key := range h.keys { // which may have rotated
			if typed := secret(key, at, s.Nonce); hash("code", typed) == s.Code {
				link = h.cfg.Link + "?" + Parameter + "=" + typed
			}
		}
		if svg, err = image(link); err != nil {
			return "", "", "", "", err
		}
	}
	return s.Stage, link, svg, s.Device, nil
}

// Confirm takes the number that the other browser shows, and lets it go on. A wrong one
// ends the handover: whoever reads it off their own device makes no mistake twice, and
// a thief gets one guess in ten thousand.
func (h *Handovers) Confirm(w http.ResponseWriter, r *http.Request, number string) error {
	if err := h.mayGive(w, r); err != nil {
		return err
	}
	c, ok := walkin.FromContext(r.Context())
	if !ok {
		return over()
	}
	number = numerals.ASCII(number)
	if len(number) != digits || strings.Trim(number, "0123456789") != "" {
		return &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: ReasonNumberMissing, Text: texts.Of("handover.missing")}
	}
	return h.change(r.Context(), place{c.UserID, c.SessionID}, func(s *state) error {
		switch {
		case s.Stage == Waiting:
			return refusal(ReasonNotOpened, "handover.not_yet")
		case s.Stage == Ended:
			return over()
		case subtle.ConstantTimeCompare([]byte(s.Number), []byte(number)) != 1 && s.Stage != Joined:
			s.Stage = Ended
			return refusal(ReasonWrongNumber, "handover.wrong")
		case s.Stage == Scanned:
			s.Stage = Confirmed
		}
		return nil // the second half of a double click
	})
}
