package totp

import (
	"encoding/base32"
	"fmt"
	"image/color"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// encoding is that of keys, in URIs and for typing.
var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

const quiet = 4 // modules around a code, ISO/IEC 18004

// drawing returns a QR code as an SVG element. It is dark on light in every colour
// scheme, since cameras read no other, and needs no style, so that every
// Content-Security-Policy shows it.
func drawing(text string) (string, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return "", fmt.Errorf("walkin: totp: the QR code: %w", err)
	}
	size := code.Bounds().Dx()
	var path strings.Builder
	for y := range size {
		for x := range size {
			if code.At(x, y) == color.Black {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x+quiet, y+quiet)
			}
		}
	}
	side := size + 2*quiet
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" shape-rendering="crispEdges" aria-hidden="true"><path fill="#fff" d="M0 0h%dv%dh-%dz"/><path fill="#000" d="%s"/></svg>`,
		side, side, 5*side, 5*side, side, side, side, path.String()), nil
}
