package handover

import (
	"fmt"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// quiet is the margin of a QR code, in modules: readers need it.
const quiet = 4

// image returns the QR code of a link as an SVG, black on white in dark mode too. It
// has no style attribute and no script, so it needs nothing of a
// Content-Security-Policy.
func image(link string) (string, error) {
	code, err := qr.Encode(link, qr.M, qr.Unicode)
	if err != nil {
		return "", fmt.Errorf("walkin: handover: %w", err)
	}
	size := code.Bounds().Dx()
	var path strings.Builder
	for y := range size {
		for x := 0; x < size; x++ {
			from := x
			for x < size && black(code.At(x, y).RGBA()) {
				x++
			}
			if x > from {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
			}
		}
	}
	all := size + 2*quiet
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><rect width="%d" height="%d" fill="#fff"/><path fill="#000" d="%s"/></svg>`,
		all, all, all, all, path.String()), nil
}

func black(r, _, _, _ uint32) bool { return r == 0 }
