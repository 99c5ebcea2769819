package echowalkin_test

import (
	"crypto/rand"
	"testing"

	"github.com/labstack/echo/v5"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/echowalkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestMatrix asks every route of the example for every kind of visitor.
func TestMatrix(t *testing.T) {
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte(rand.Text() + rand.Text())}}, Store: memstore.New(),
		Paths: walkin.Paths{Upgrade: "/sign-up", SignIn: "/sign-in"},
	})
	if err != nil {
		t.Fatal(err)
	}
	site := routes(wk)
	walkintest.Matrix{Middleware: wk, Handler: site, Routes: echowalkin.Routes(site.(*echo.Echo)), File: "testdata/matrix.txt"}.Test(t)
}
