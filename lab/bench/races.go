// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"driverd/lab"
)

const rootShell = "root shell: dnf5, modprobe"

// settleTime is for how long driverd waits on purpose, for more devices to come.
const settleTime = 0.04

// Races races for one card, as often as is asked for, in one guest.
func Races(ctx context.Context, o Options) (Report, error) {
	image, err := lab.BuildImage(ctx, o.RPM)
	if err != nil {
		return Report{}, err
	}
	bytes, err := fetched(image)
	if err != nil {
		return Report{}, err
	}
	one := contest{
		name: "a card's event to its driver bound", goal: 0.35, unpackedGoal: 1.05, usableGoal: 0.4,
		of: "one card", devices: 1, shareGoal: 5,
	}
	memory := atWork()
	err = with(ctx, lab.Options{Image: image}, boot(lab.Start{}), func(g *guest) error {
		if err := g.race(ctx, oneCard, o.Repetitions, &one.runs, driverdRuns, shellRuns, daemonRuns); err != nil {
			return err
		}
		for range o.Repetitions { // not while it is timed
			if err := g.watchMemory(ctx, oneCard, memory); err != nil {
				return err
			}
		}
		return nil
	})
	return Report{
		Figures:   slices.Concat(one.figures(), memory, []Figure{bytes}),
		Timelines: map[string]Timeline{"timeline": one.timeline()},
	}, err
}

// Eight races for eight devices of four groups that come at once, each in a guest of its own.
func Eight(ctx context.Context, o Options) (Report, error) {
	image, err := lab.BuildImage(ctx, o.RPM)
	if err != nil {
		return Report{}, err
	}
	eight := contest{
		name: "eight devices of four groups at once: first event to last driver bound", goal: 0.5,
		of: "eight devices, each", devices: len(eightDevices.devices), shareGoal: 5,
	}
	for range o.Repetitions {
		for _, run := range []runner{driverdRuns, shellRuns} {
			err := with(ctx, lab.Options{Image: image}, lab.Resume, func(g *guest) error { return run(ctx, g, eightDevices, &eight.runs) })
			if err != nil {
				return Report{}, err
			}
		}
	}
	return Report{Figures: eight.figures()}, nil
}

// contest is a race that is run several times, and what it is to come to.
type contest struct {
	runs
	name                           string
	goal, unpackedGoal, usableGoal float64 // of the peer's time; 0 is no goal
	of                             string  // whose CPU time is told
	devices                        int
	shareGoal                      float64 // in percent
}

// of are values of laps.
func of(laps []Lap, value func(Lap) float64) (all []float64) {
	for _, l := range laps {
		all = append(all, value(l))
	}
	return all
}

// against is a figure of driverd and the shell.
func (c *contest) against(name string, goal float64, value func(Lap) float64) Figure {
	return Figure{Name: name, Unit: "s", Driverd: of(c.driverd, value), Peer: of(c.shell, value), PeerName: rootShell, MaxRatio: goal}
}

// figures are what has come of it.
func (c *contest) figures() []Figure {
	all := []Figure{
		c.against(c.name, c.goal, func(l Lap) float64 { return l.Seconds }),
		c.against("of that, until the last module's file was on the disk", c.unpackedGoal, Lap.unpacked),
	}
	if len(c.daemon) > 0 {
		daemon := c.against("the same, beside who asks dnf5daemon for the package", 0, Lap.unpacked)
		daemon.Peer, daemon.PeerName = of(c.daemon, Lap.unpacked), "root shell: dnf5daemon-client"
		all = append(all, daemon)
	}
	if c.devices > 1 {
		all = append(all, c.against("of that, until the first driver was bound", 0, func(l Lap) float64 { return l.first }))
	} else {
		all = append(all, c.against("until the card had its address by DHCP", c.usableGoal, func(l Lap) float64 { return l.usable }))
	}
	share := func(l Lap) float64 { return 100 * (settleTime + l.own) / l.Seconds }
	return append(all,
		Figure{Name: "driverd's own share of it (" + c.of + "): what it waits on purpose, and CPU time in its own code", Unit: "%", Driverd: of(c.driverd, share), Max: c.shareGoal},
		Figure{Name: "driverd's CPU time, emulated, " + c.of, Unit: "ms", Driverd: of(c.driverd, func(l Lap) float64 { return 1e3 * l.cpu / float64(c.devices) })},
		Figure{Name: "CPU time of its steps, with kmod's commands and the kernel's work, emulated, " + c.of, Unit: "ms", Driverd: of(c.driverd, func(l Lap) float64 { return 1e3 * l.steps / float64(c.devices) })},
	)
}

// timeline shows the last run of both.
func (c *contest) timeline() Timeline {
	if len(c.driverd) == 0 || len(c.shell) == 0 {
		return nil
	}
	return Timeline{{"driverd", c.driverd[len(c.driverd)-1]}, {"root shell", c.shell[len(c.shell)-1]}}
}

// fetched compares what is downloaded for one SR-IOV card with what it is where
// the kernel's modules are one package.
func fetched(image *lab.Image) (Figure, error) {
	f := Figure{Name: "fetched for an SR-IOV card", Unit: "MB", PeerName: "all of kernel-modules", MaxRatio: 0.25}
	var all float64
	for _, name := range eightDevices.packages {
		info, err := os.Stat(filepath.Join(image.Repo, name+"-"+image.Release+".x86_64.rpm"))
		if err != nil {
			return f, err
		}
		mb := float64(info.Size()) / 1e6
		if name == oneCard.packages[0] {
			f.Driverd = []float64{mb}
		}
		all += mb
	}
	f.Peer = []float64{all}
	return f, nil
}
