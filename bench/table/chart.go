package main

import (
	"errors"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// A palette is what a chart is drawn with, on a page of GitHub's.
type palette struct{ name, ground, text, faint, ours, others string }

var palettes = []palette{
	{"light", "#ffffff", "#1f2328", "#d1d9e0", "#1a7f37", "#818b98"},
	{"dark", "#0d1117", "#f0f6fc", "#3d444d", "#3fb950", "#9198a1"},
}

// charts draws the rhythm of many visitors into a folder, once for each palette.
func (rs *results) charts(folder string) error {
	var errs []error
	for _, p := range palettes {
		file := filepath.Join(folder, "performance-"+p.name+".svg")
		errs = append(errs, os.WriteFile(file, []byte(rs.chart(p)), 0o644))
	}
	return errors.Join(errs...)
}

const (
	left, width, bar, gap, top = 300, 420, 20, 10, 70
	decades                    = 4 // of the axis: what costs 10,000 times as much is at its end
)

// chart is one bar for each contender, on a scale on which each line is ten times the
// one before.
func (rs *results) chart(p palette) string {
	names := rs.names("Rhythm")
	height := top + len(names)*(bar+gap) + 40
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\" aria-label=\"%s\">\n",
		left+width+70, height, "What a page view costs a minute after the last, as a multiple of r.WithContext")
	fmt.Fprintf(&b, "<rect width=\"100%%\" height=\"100%%\" fill=\"%s\"/>\n", p.ground)
	fmt.Fprintf(&b, "<text x=\"16\" y=\"28\" font-size=\"16\" font-weight=\"600\" fill=\"%s\">A page view, a minute after the last one</text>\n", p.text)
	fmt.Fprintf(&b, "<text x=\"16\" y=\"48\" fill=\"%s\">1,000 visitors in turn, time as a multiple of r.WithContext; each line is ten times the one before</text>\n", p.text)
	for i := range decades + 1 {
		x := left + i*width/decades
		fmt.Fprintf(&b, "<path d=\"M%d %dV%d\" stroke=\"%s\"/><text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"%s\">%s</text>\n",
			x, top-8, height-30, p.faint, x, height-12, p.text, []string{"1", "10", "100", "1,000", "10,000"}[i])
	}
	for i, name := range names {
		value := median(rs.find("Rhythm", "1,000 visitors", name, 0))
		if math.IsNaN(value) {
			continue
		}
		y := top + i*(bar+gap)
		long := min(max(math.Log10(value)/decades, 0.004), 1) * width
		fill := p.others
		if strings.HasPrefix(name, "walkin") {
			fill = p.ours
		}
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\" fill=\"%s\">%s</text><rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\" fill=\"%s\"/><text x=\"%.1f\" y=\"%d\" fill=\"%s\">%s</text>\n",
			left-10, y+15, p.text, html.EscapeString(name), left, y, long, bar, fill, left+long+6, y+15, p.text, format(value))
	}
	b.WriteString("</svg>\n")
	return b.String()
}
