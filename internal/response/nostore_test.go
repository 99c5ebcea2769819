package response_test

import (
	"net/http"
	"reflect"
	"testing"

	"github.com/walkin-go/walkin/internal/response"
)

// TestSet holds that no field is left that lets some cache store the response,
// and that all others are.
func TestSet(t *testing.T) {
	kept := http.Header{
		"Content-Type": {"text/html"}, "Vary": {"Accept-Encoding"}, "Age": {"1"},
		"X-Cache-Control-Policy": {"none"}, "Cache-Status": {"hit"}, "Cache-Tag": {"a"},
	}
	h := kept.Clone()
	for _, name := range []string{
		"Cache-Control", "cache-control", "CDN-Cache-Control", "Cdn-Cache-Control", "Cloudflare-CDN-Cache-Control",
		"Vercel-CDN-Cache-Control", "Netlify-CDN-Cache-Control", "Fastly-Cache-Control", "X-LiteSpeed-Cache-Control",
		"somebody-cache-control", "Surrogate-Control", "Edge-Control", "X-Accel-Expires", "Expires", "Pragma",
	} {
		h[name] = []string{"public", "max-age=600"}
	}
	response.NoStore(h, "private, no-store")
	kept.Set("Cache-Control", "private, no-store")
	if !reflect.DeepEqual(h, kept) {
		t.Errorf("got %v, want %v", h, kept)
	}
}
