package walkin

import (
	"net/http"
	"testing"
	"unsafe"
)

// TestVisitIsSmall holds that a request and what walkin knows about it fit the
// allocation class of 384 bytes: the next one is of 416, and each page pays for it.
func TestVisitIsSmall(t *testing.T) {
	if got := unsafe.Sizeof(http.Request{}) + unsafe.Sizeof(visit{}); got > 384 {
		t.Errorf("got %d bytes, %d of them the visit's", got, unsafe.Sizeof(visit{}))
	}
}
