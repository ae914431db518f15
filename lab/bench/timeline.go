// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"os"
	"strings"

	"driverd/hwdetect"
)

// Timeline is how one card got its driver, once by driverd and once by a shell.
// Times are seconds from the card's event.
type Timeline struct {
	Driverd, Peer float64
	Steps         []Step
}

// Step is where one of driverd's steps ended.
type Step struct {
	Name string
	At   float64
}

// steps asks driverd for the timeline of the card in the first slot.
func (g *guest) steps(ctx context.Context) ([]Step, error) {
	shown, err := g.vm.AwaitState(ctx, hwdetect.Slot{Bus: 1}, nil, "bound")
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, s := range shown.Timeline {
		if s.Name != "settled" {
			steps = append(steps, Step{s.Name, s.Time.Sub(shown.Timeline[0].Time).Seconds()})
		}
	}
	return steps, nil
}

// colours tell one step from the next.
var colours = []string{"#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2"}

// WriteSVG draws the timeline to a file.
func (t Timeline) WriteSVG(file string) error {
	const width, left, row = 860.0, 80.0, 34.0
	scale := (width - left - 60) / max(t.Driverd, t.Peer)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(`<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" font-family="sans-serif" font-size="13">`, width, 3.4*row)
	line(`<rect width="100%%" height="100%%" fill="white"/>`)
	line(`<text x="10" y="%.0f">driverd</text><text x="10" y="%.0f">root shell</text>`, 0.75*row, 1.75*row)
	from, legend := 0.0, left
	for i, s := range t.Steps {
		if i == 0 {
			continue // seen: the beginning
		}
		colour := colours[(i-1)%len(colours)]
		line(`<rect x="%.1f" y="%.0f" width="%.1f" height="%.0f" fill="%s"/>`,
			left+from*scale, 0.3*row, max((s.At-from)*scale, 1), 0.6*row, colour)
		line(`<rect x="%.1f" y="%.0f" width="12" height="12" fill="%s"/><text x="%.1f" y="%.0f">%s %.1f s</text>`,
			legend, 2.6*row, colour, legend+16, 2.6*row+11, s.Name, s.At)
		legend += 128
		from = s.At
	}
	line(`<text x="%.1f" y="%.0f">%.1f s</text>`, left+from*scale+6, 0.75*row, from)
	line(`<rect x="%.1f" y="%.0f" width="%.1f" height="%.0f" fill="#9498a0"/><text x="%.1f" y="%.0f">%.1f s</text>`,
		left, 1.3*row, t.Peer*scale, 0.6*row, left+t.Peer*scale+6, 1.75*row, t.Peer)
	line(`</svg>`)
	return os.WriteFile(file, []byte(b.String()), 0o644)
}
