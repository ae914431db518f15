// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"io"
	"os"
)

// Part is a part of the bench that can be run alone.
type Part struct {
	Name string
	Run  func(ctx context.Context, o Options) (Report, error)
}

// Parts are all of them, in the order in which they are run.
func Parts() []Part {
	return []Part{{"races", Races}, {"eight", Eight}, {"dracut", Dracut}, {"storm", Storm}, {"peers", Peers}, {"micro", Micro}}
}

// Options say what is measured, and how often.
type Options struct {
	RPM         string // driverd's package
	Repetitions int
}

// Report is what a part has measured.
type Report struct {
	Figures   []Figure
	Timelines map[string]Timeline // by the name of the file that shows it
}

// Progress is where the bench says what it has seen, one plain line each.
var Progress io.Writer = os.Stdout

func say(format string, args ...any) {
	_, _ = fmt.Fprintf(Progress, "bench: "+format+"\n", args...)
}
