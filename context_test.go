package walkin_test

import (
	"net/http"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// TestContextFollows holds that FromContext tells what is true after a change, in the
// request that made it.
func TestContextFollows(t *testing.T) {
	wk := exampleMiddleware(walkin.Config{NewUsers: walkin.NewUsers{Mint: walkin.MintOnDemand}})
	ran := false
	c := walkintest.NewClient(t, wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ran = true
		if c, ok := walkin.FromContext(r.Context()); ok {
			t.Errorf("at first: got %+v", c)
		}
		ensured, err := wk.Ensure(w, r)
		if c, ok := walkin.FromContext(r.Context()); err != nil || !ok || c != ensured || !c.Anonymous || c.Provisional {
			t.Errorf("after Ensure: got %+v, %v; want %+v, %v", c, ok, ensured, err)
		}
		_, err = wk.Continue(w, r, walkin.Proof{Provider: "shop", Subject: "ann", Method: "pwd"})
		if c, ok := walkin.FromContext(r.Context()); err != nil || !ok || c.UserID != ensured.UserID || c.SessionID == ensured.SessionID || c.Anonymous {
			t.Errorf("after Continue: got %+v, %v, %v", c, ok, err)
		}
		err = wk.SignOut(w, r)
		if c, ok := walkin.FromContext(r.Context()); err != nil || ok {
			t.Errorf("after SignOut: got %+v, %v", c, err)
		}
	})))
	c.Post("/", nil)
	if !ran {
		t.Error("the handler did not run")
	}
}
