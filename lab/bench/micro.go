// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// Micro runs the benchmarks that need no guest, and returns their figures.
func Micro(ctx context.Context, o Options) (Report, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-tags", "lab", "-run", "^$", "-bench", ".",
		"-benchtime", "0.3s", "-count", strconv.Itoa(o.Repetitions), "driverd/lab/bench", "driverd/dnfbridge")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return Report{}, fmt.Errorf("cannot run the benchmarks: %w: %s", err, out)
	}
	figures, err := microFigures(out)
	return Report{Figures: figures}, err
}

var line = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s+\d+\s.*?([0-9.]+) cpu-ns/op`)

// microFigures reads the CPU times in what go test -bench prints.
func microFigures(out []byte) ([]Figure, error) {
	values := make(map[string][]float64)
	for _, m := range line.FindAllSubmatch(out, -1) {
		ns, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return nil, err
		}
		values[string(m[1])] = append(values[string(m[1])], ns)
	}
	scaled := func(name string, by float64) []float64 {
		var all []float64
		for _, v := range values[name] {
			all = append(all, v/by)
		}
		return all
	}
	figures := []Figure{{
		Name: "CPU time of one alias lookup in a whole kernel's index", Unit: "us", MaxRatio: 0.2,
		Driverd: scaled("Lookup/driverd", 1e3), Peer: scaled("Lookup/libkmod", 1e3), PeerName: "libkmod",
	}, {
		Name: "CPU time of explain of a modalias, whole process", Unit: "ms", MaxRatio: 3,
		Driverd: scaled("Explain/driverd", 1e6), Peer: scaled("Explain/modprobe", 1e6), PeerName: "modprobe -R",
	}, {
		Name: "CPU time of the client of one installation by a real dnf5daemon", Unit: "ms", Max: 50, Driverd: scaled("Install", 1e6),
	}, {
		Name: "CPU time of the service when 120 functions come, all but the process", Unit: "ms", Max: 100, Driverd: scaled("Storm", 1e6),
	}, {
		Name: "CPU time of its start to READY with 200 devices, all but the process", Unit: "ms", Max: 25, Driverd: scaled("Start", 1e6),
	}}
	for _, n := range []string{"16", "256", "4096"} {
		f := Figure{
			Name: "CPU time of snapshot and decide, " + n + " devices", Unit: "ms",
			Driverd: scaled("Look/driverd/"+n, 1e6), Peer: scaled("Look/lspci/"+n, 1e6), PeerName: "lspci -n",
		}
		if n == "4096" {
			f.MaxRatio = 0.4
		}
		figures = append(figures, f)
	}
	for _, f := range figures {
		if len(f.Driverd) == 0 || f.PeerName != "" && len(f.Peer) == 0 {
			return nil, fmt.Errorf("cannot find the benchmark of %q in %s", f.Name, bytes.TrimSpace(out))
		}
	}
	return figures, nil
}
