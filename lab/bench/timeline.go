// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/xml"
	"fmt"
	"os"
	"strings"
)

// Timeline shows, one below the other, how devices got their drivers.
type Timeline []Row

// Row is one way to a driver.
type Row struct {
	Name string
	Lap  Lap
}

// Step is where one step of a row ended, in seconds from the device's event.
type Step struct {
	Name string
	At   float64
}

// colours tell one step from the next.
var colours = []string{"#9498a0", "#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2", "#97bbf5"}

// The picture's measures, in pixels.
const (
	pictureWidth = 860.0
	barLeft      = 96.0
	barHeight    = 22.0
	barRight     = 64.0 // room for the last time
	legendLine   = 18.0
	rowGap       = 20.0
)

// WriteSVG draws the timeline to a file.
func (t Timeline) WriteSVG(file string) error {
	var longest float64
	for _, r := range t {
		longest = max(longest, r.Lap.Seconds)
	}
	scale := (pictureWidth - barLeft - barRight) / longest
	var b strings.Builder
	y := 12.0
	for _, r := range t {
		fmt.Fprintf(&b, "<text x=\"8\" y=\"%.0f\" font-weight=\"bold\">%s</text>\n", y+16, escape(r.Name))
		from, legend := 0.0, barLeft
		labels := y + barHeight + 14
		for i, s := range r.Lap.Steps {
			at := min(s.At, r.Lap.Seconds) // whoever tells of the driver sees it a moment later
			colour := colours[i%len(colours)]
			fmt.Fprintf(&b, "<rect x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"%.0f\" fill=\"%s\"/>\n",
				barLeft+from*scale, y, max((at-from)*scale, 1), barHeight, colour)
			label := fmt.Sprintf("%s %.1f", s.Name, at)
			width := 22 + 6.6*float64(len(label))
			if legend+width > pictureWidth {
				legend, labels = barLeft, labels+legendLine
			}
			fmt.Fprintf(&b, "<rect x=\"%.0f\" y=\"%.0f\" width=\"10\" height=\"10\" fill=\"%s\"/><text x=\"%.0f\" y=\"%.0f\" font-size=\"12\">%s</text>\n",
				legend, labels-9, colour, legend+14, labels, escape(label))
			legend += width
			from = at
		}
		fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%.0f\" font-weight=\"bold\">%.1f s</text>\n", barLeft+r.Lap.Seconds*scale+6, y+16, r.Lap.Seconds)
		y = labels + rowGap
	}
	picture := fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" font-family=\"sans-serif\" font-size=\"13\">\n"+
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n%s</svg>\n", pictureWidth, y, b.String())
	return os.WriteFile(file, []byte(picture), 0o644)
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}
