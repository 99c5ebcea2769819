package settings

import (
	"context"
	"testing"

	"github.com/walkin-go/walkin"
)

func TestConfig(t *testing.T) {
	_ = walkin.Config{Cookies: walkin.Cookies{Insecure: true}, Keys: []walkin.Key{{Secret: []byte("0123456789abcdef0123456789abcdef")}}}
	_ = walkin.NewContext(context.Background(), walkin.Claims{})
}
