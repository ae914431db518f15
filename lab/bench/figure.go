// SPDX-License-Identifier: Apache-2.0

// Package bench measures driverd beside its peers, in the same run.
package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Figure is one thing that was measured, and what it should be.
type Figure struct {
	Name     string    `json:"name"`
	Unit     string    `json:"unit"`
	Driverd  []float64 `json:"driverd"` // one value for each repetition
	Peer     []float64 `json:"peer,omitempty"`
	PeerName string    `json:"peer_name,omitempty"`

	// MaxRatio is the most that driverd's median may be of the peer's, Max the
	// most that it may be by itself; 0 is no goal.
	MaxRatio float64 `json:"max_ratio,omitempty"`
	Max      float64 `json:"max,omitempty"`
}

// median is the middle of the values, NaN if there is none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Ratio is driverd's median by the peer's, NaN without a peer.
func (f Figure) Ratio() float64 { return median(f.Driverd) / median(f.Peer) }

// Met says whether the goal is reached, "" if there is none.
func (f Figure) Met() string {
	if f.MaxRatio == 0 && f.Max == 0 {
		return ""
	}
	if f.MaxRatio > 0 && !(f.Ratio() <= f.MaxRatio) || f.Max > 0 && !(median(f.Driverd) <= f.Max) {
		return "no"
	}
	return "yes"
}

func (f Figure) goal() string {
	var goals []string
	if f.MaxRatio > 0 {
		goals = append(goals, fmt.Sprintf("%.3g x", f.MaxRatio))
	}
	if f.Max > 0 {
		goals = append(goals, fmt.Sprintf("%.3g %s", f.Max, f.Unit))
	}
	return strings.Join(goals, ", ")
}

// title is the name with the unit.
func (f Figure) title() string {
	if f.Unit == "" {
		return f.Name
	}
	return f.Name + ", " + f.Unit
}

// spread writes a median with its least and greatest value.
func spread(values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }
	if v := median(values); v >= 1000 {
		number = func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
	}
	if len(values) == 1 {
		return number(values[0])
	}
	return fmt.Sprintf("%s (%s-%s)", number(median(values)), number(slices.Min(values)), number(slices.Max(values)))
}

// Table writes the figures as a table in Markdown, which reads well plainly too.
func Table(w io.Writer, figures []Figure) error {
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	row := func(cells ...any) { _, _ = fmt.Fprintf(t, "| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t|\n", cells...) }
	row("figure", "driverd", "peer", "ratio", "goal", "met")
	row("---", "---", "---", "---", "---", "---")
	for _, f := range figures {
		ratio, peer := "", ""
		if len(f.Peer) > 0 {
			ratio, peer = strconv.FormatFloat(f.Ratio(), 'f', 2, 64), f.PeerName+": "+spread(f.Peer)
		}
		row(f.title(), spread(f.Driverd), peer, ratio, f.goal(), f.Met())
	}
	return t.Flush()
}

// WriteJSON writes the figures to a file.
func WriteJSON(file string, figures []Figure) error {
	text, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
