package response

import (
	"net/http"
	"strings"
)

// NoStore keeps a response out of every cache. It sets Cache-Control to value, which
// forbids to store the response. It removes every field that tells a cache otherwise: a
// CDN that has a field of its own reads that field alone.
func NoStore(h http.Header, value string) {
	for name := range h {
		if targetsCache(name) {
			delete(h, name)
		}
	}
	h.Set("Cache-Control", value)
}

// targetsCache reports whether a field is meant for caches. The names of RFC 9213 end
// in -Cache-Control, no matter which cache they are for. So do those that proxies
// invented before it. The others are older still.
func targetsCache(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "cache-control", // also one that is spelt in another case
		"expires",           // RFC 9111
		"pragma",            // RFC 9111, Appendix
		"surrogate-control", // Edge Architecture Specification
		"edge-control",      // Akamai
		"x-accel-expires":   // nginx
		return true
	}
	return strings.HasSuffix(name, "-cache-control")
}
