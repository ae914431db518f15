// SPDX-License-Identifier: Apache-2.0

package bench_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/lab/bench"
)

var figures = []bench.Figure{
	{Name: "bound", Unit: "s", Driverd: []float64{4, 1, 2.5}, Peer: []float64{10, 20}, PeerName: "shell", MaxRatio: 0.5},
	{Name: "slow", Unit: "s", Driverd: []float64{9}, Peer: []float64{10}, PeerName: "shell", MaxRatio: 0.5},
	{Name: "memory", Unit: "MB", Driverd: []float64{8}, Max: 10},
	{Name: "too much", Unit: "MB", Driverd: []float64{1200, 1300}, Max: 10},
	{Name: "lost", Unit: "MB", Max: 10},
	{Name: "no goal", Unit: "ms", Driverd: []float64{1}},
	{Name: "times", Driverd: []float64{2}},
	{Name: "both goals", Unit: "MB", Driverd: []float64{11}, Peer: []float64{30}, PeerName: "fwupd", Max: 10, MaxRatio: 1},
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := bench.Table(&b, figures); err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for line := range strings.Lines(b.String()) {
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(strings.TrimSpace(line), "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		got = append(got, cells)
	}
	want := [][]string{
		{"figure", "driverd", "peer", "ratio", "goal", "met"},
		{"---", "---", "---", "---", "---", "---"},
		{"bound, s", "2.5 (1-4)", "shell: 15 (10-20)", "0.17", "0.5 x", "yes"},
		{"slow, s", "9", "shell: 10", "0.90", "0.5 x", "no"},
		{"memory, MB", "8", "", "", "10 MB", "yes"},
		{"too much, MB", "1250 (1200-1300)", "", "", "10 MB", "no"},
		{"lost, MB", "-", "", "", "10 MB", "no"},
		{"no goal, ms", "1", "", "", "", ""},
		{"times", "2", "", "", "", ""},
		{"both goals, MB", "11", "fwupd: 30", "0.37", "1 x, 10 MB", "no"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bench.json")
	if err := bench.WriteJSON(file, figures); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []bench.Figure
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(figures, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTimelineIsSVG(t *testing.T) {
	file := filepath.Join(t.TempDir(), "timeline.svg")
	timeline := bench.Timeline{
		{Name: "driverd", Lap: bench.Lap{Seconds: 4, Steps: []bench.Step{{Name: "seen", At: 0.3}, {Name: "decided", At: 0.5}, {Name: "bound", At: 4}}}},
		{Name: "a <root> shell", Lap: bench.Lap{Seconds: 9, Steps: []bench.Step{{Name: "dnf5", At: 8.5}, {Name: "modprobe", At: 9}}}},
	}
	if err := timeline.WriteSVG(file); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var text strings.Builder
	for decoder := xml.NewDecoder(f); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := token.(xml.CharData); ok {
			text.Write(data)
		}
	}
	for _, want := range []string{"decided 0.5", "bound 4.0", "4.0 s", "a <root> shell", "dnf5 8.5", "9.0 s"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in %q", want, text.String())
		}
	}
}
