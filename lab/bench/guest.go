// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"driverd/lab"
)

// daemons are those that a guest has running anyway, or because of driverd.
var daemons = []string{"systemd-udevd", "polkit", "dnf5daemon-server"}

// InGuest races for one card, as many times as repetitions say, and for eight
// devices once, and returns the figures and the timeline of the last card.
func InGuest(ctx context.Context, image *lab.Image, repetitions int) (_ []Figure, _ *Timeline, err error) {
	g, err := boot(ctx, image)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, g.vm.Close()) }()

	const shell = "root shell: dnf5, modprobe"
	one := Figure{Name: "a card's event to its driver bound", Unit: "s", PeerName: shell, MaxRatio: 0.5}
	cpu := Figure{Name: "driverd's own CPU time for it", Unit: "ms", Max: 50}
	timeline := &Timeline{}
	for range repetitions {
		if err := g.lap(ctx, &one, &cpu, timeline); err != nil {
			return nil, nil, err
		}
	}
	eight := Figure{Name: "the same for eight devices of four groups", Unit: "s", PeerName: shell, MaxRatio: 0.5}
	seconds, _, err := g.byDriverd(ctx, eightDevices)
	if err != nil {
		return nil, nil, err
	}
	eight.Driverd = []float64{seconds}
	rest, err := g.atRest(ctx)
	if err != nil {
		return nil, nil, err
	}
	// Not every device goes as it comes: the shell gets a guest of its own.
	other, err := boot(ctx, image)
	if err != nil {
		return nil, nil, err
	}
	if seconds, err = other.byShell(ctx, eightDevices); err != nil {
		return nil, nil, errors.Join(err, other.vm.Close())
	}
	eight.Peer = []float64{seconds}
	bytes, err := fetched(image)
	if err = errors.Join(err, other.vm.Close()); err != nil {
		return nil, nil, err
	}
	return append([]Figure{one, eight, cpu, bytes}, rest...), timeline, nil
}

// atRest measures what driverd costs when it has nothing to do, and how long it
// takes to start.
func (g *guest) atRest(ctx context.Context) ([]Figure, error) {
	var figures []Figure
	for _, daemon := range daemons {
		ours, err := g.pss(ctx, "driverd")
		peer, peerErr := g.pss(ctx, daemon)
		if err := errors.Join(err, peerErr); err != nil {
			return nil, err
		}
		figures = append(figures, Figure{
			Name: "memory after the work (PSS)", Unit: "MB", Driverd: []float64{ours}, Max: 16,
			Peer: []float64{peer}, PeerName: daemon,
		})
	}
	ready := Figure{Name: "start to READY", Unit: "ms", Max: 150}
	for range 3 {
		ms, err := g.number(ctx, "systemctl restart driverd.service; echo $(( $(systemctl show -P ActiveEnterTimestampMonotonic driverd.service) - $(systemctl show -P ExecMainStartTimestampMonotonic driverd.service) ))", 1e3)
		if err != nil {
			return nil, err
		}
		ready.Driverd = append(ready.Driverd, ms)
	}
	return append(figures, ready), nil
}

// lap runs the race for one card once for each, and starts anew.
func (g *guest) lap(ctx context.Context, elapsed, cpu *Figure, timeline *Timeline) error {
	seconds, own, err := g.byDriverd(ctx, oneCard)
	if err != nil {
		return err
	}
	timeline.Driverd = seconds
	if timeline.Steps, err = g.steps(ctx); err != nil {
		return err
	}
	elapsed.Driverd = append(elapsed.Driverd, seconds)
	cpu.Driverd = append(cpu.Driverd, 1e3*own)
	if err := g.again(ctx, oneCard); err != nil {
		return err
	}
	if timeline.Peer, err = g.byShell(ctx, oneCard); err != nil {
		return err
	}
	elapsed.Peer = append(elapsed.Peer, timeline.Peer)
	fmt.Printf("bench: driverd %.1f s, root shell %.1f s\n", seconds, timeline.Peer)
	return g.again(ctx, oneCard)
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
