// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"os"
	"path/filepath"

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
	one := newContest("a card's event to its driver bound", 0.5)
	var timeline Timeline
	err = with(ctx, lab.Options{Image: image}, lab.Start{}, func(g *guest) error {
		for n := range o.Repetitions {
			driverd, root, err := g.both(ctx, oneCard, n%2 == 1)
			if err != nil {
				return err
			}
			one.note(driverd, root, 1)
			timeline = Timeline{{"driverd", driverd}, {"root shell", root}}
		}
		return nil
	})
	return Report{
		Figures:   append(one.figures("one card"), bytes),
		Timelines: map[string]Timeline{"timeline": timeline},
	}, err
}

// Eight races for eight devices of four groups that come at once. It takes new guests
// each time, and minutes: it is repeated half as often.
func Eight(ctx context.Context, o Options) (Report, error) {
	image, err := lab.BuildImage(ctx, o.RPM)
	if err != nil {
		return Report{}, err
	}
	eight := newContest("eight devices of four groups at once: first event to last driver bound", 0.5)
	for range (o.Repetitions + 1) / 2 {
		var driverd, root Lap
		err := with(ctx, lab.Options{Image: image}, lab.Start{}, func(g *guest) (err error) {
			driverd, err = g.byDriverd(ctx, eightDevices)
			return err
		})
		if err == nil {
			err = with(ctx, lab.Options{Image: image}, lab.Start{}, func(g *guest) (err error) { root, err = g.byShell(ctx, eightDevices); return err })
		}
		if err != nil {
			return Report{}, err
		}
		eight.note(driverd, root, len(eightDevices.devices))
	}
	return Report{Figures: eight.figures("eight devices, each")}, nil
}

// contest is a race that is run several times.
type contest struct {
	elapsed, unpacked Figure
	own, cpus, kmod   []float64
}

func newContest(name string, goal float64) *contest {
	return &contest{
		elapsed:  Figure{Name: name, Unit: "s", PeerName: rootShell, MaxRatio: goal},
		unpacked: Figure{Name: "of that, until the last module's file was on the disk", Unit: "s", PeerName: rootShell},
	}
}

// note takes in how both ran for so many devices.
func (c *contest) note(driverd, root Lap, devices int) {
	c.elapsed.Driverd = append(c.elapsed.Driverd, driverd.Seconds)
	c.elapsed.Peer = append(c.elapsed.Peer, root.Seconds)
	c.unpacked.Driverd = append(c.unpacked.Driverd, driverd.unpacked())
	c.unpacked.Peer = append(c.unpacked.Peer, root.unpacked())
	c.own = append(c.own, 100*(settleTime+driverd.own)/driverd.Seconds)
	c.cpus = append(c.cpus, 1e3*driverd.cpu/float64(devices))
	c.kmod = append(c.kmod, 1e3*driverd.load/float64(devices))
}

// figures are what has come of it.
func (c *contest) figures(of string) []Figure {
	return []Figure{
		c.elapsed,
		c.unpacked,
		{Name: "driverd's own share of it (" + of + "): what it waits on purpose, and CPU time in its own code", Unit: "%", Driverd: c.own, Max: 3},
		{Name: "driverd's CPU time, emulated, " + of, Unit: "ms", Driverd: c.cpus},
		{Name: "CPU time of the load step, with kmod's commands and the kernel's work, emulated, " + of, Unit: "ms", Driverd: c.kmod},
	}
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
