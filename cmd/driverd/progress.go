// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"driverd/api"
	"driverd/internal/printable"
)

// progress shows how far a job is: on a terminal in one line that is drawn
// again and again, elsewhere as a log with a line for each phase.
type progress struct {
	console
	last string // as it was shown
}

func (p *progress) show(j api.Job) error {
	text := p.line(j)
	if text == p.last {
		return nil
	}
	p.last = text
	if p.terminal {
		return p.print("\r\x1b[K" + text) // erase in line, ECMA-48
	}
	return p.print(time.Now().Format(time.TimeOnly) + "  " + text + "\n")
}

// clear leaves the terminal's line to what comes next.
func (p *progress) clear() error {
	if !p.terminal || p.last == "" {
		return nil
	}
	return p.print("\r\x1b[K")
}

// doing is what a job does in a phase.
var doing = map[string]string{
	"waiting": "waiting", "resolve": "resolving", "download": "downloading", "install": "installing", "load": "loading",
}

func (p *progress) line(j api.Job) string {
	what := cmp.Or(doing[j.Phase], printable.Text(j.Phase))
	if p.terminal {
		text := fmt.Sprintf("%-11s %s %3.0f %%", what, bar(j.Progress), 100*j.Progress)
		if j.Phase == "download" && j.BytesTotal > 0 {
			text += "  " + transferred(j)
		}
		return clip(text, max(columns(os.Stdout), 1)-1)
	}
	switch j.Phase {
	case "waiting":
		what += " for another installation to end"
	case "download", "install":
		what += " " + strings.Join(j.Packages, " ")
		if j.BytesTotal > 0 && j.Phase == "download" {
			what += " (" + size(j.BytesTotal) + ")"
		}
	case "load":
		what += " the driver for " + strings.Join(j.Devices, " ")
	}
	const indent = len(time.TimeOnly) + 2
	return p.wrapped(what, indent)
}

// transferred is how much of a download there is.
func transferred(j api.Job) string {
	done, _ := inUnit(j.BytesDone, j.BytesTotal)
	return done + " of " + size(j.BytesTotal)
}

// bar draws a part of 1.
func bar(part float64) string {
	const length = 30
	done := int(math.Round(length * min(max(part, 0), 1)))
	return "[" + strings.Repeat("#", done) + strings.Repeat(".", length-done) + "]"
}

// clip cuts a line to what a terminal shows of it: one that is wrapped cannot be drawn
// again.
func clip(line string, width int) string { return string([]rune(line)[:min(width, len([]rune(line)))]) }
