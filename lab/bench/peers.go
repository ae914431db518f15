// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"strings"

	"driverd/api"
	"driverd/lab"
)

// peer is a service that a guest may have.
type peer struct {
	unit string
	ours bool // driverd is to be the smaller one
}

var peers = []peer{{"systemd-udevd", false}, {"polkit", false}, {"packagekit", true}, {"fwupd", true}}

// The most memory that driverd may have, in MB.
const (
	maxIdle = 10
	maxUsed = 16
)

// jobs is after how many of them the memory is measured again.
const jobs = 100

// Peers compares driverd with other services of a guest: what memory they have when
// they do nothing, and how long they take to start.
func Peers(ctx context.Context, o Options) (report Report, err error) {
	image, err := lab.BuildPeersImage(ctx, o.RPM)
	if err != nil {
		return report, err
	}
	stays := lab.Start{Files: map[string]string{"etc/driverd/driverd.toml": "idle_exit = \"never\"\n"}}
	err = with(ctx, lab.Options{Image: image}, boot(stays), func(g *guest) error {
		chain, err := g.chain(ctx)
		if err != nil {
			return err
		}
		idle, err := g.memory(ctx, "idle, where it does not end (idle_exit)", maxIdle)
		if err != nil {
			return err
		}
		report.Figures = idle
		starts, err := g.starts(ctx, o.Repetitions)
		if err != nil {
			return err
		}
		report.Figures = append(append(report.Figures, starts...), chain)
		say("memory and starts are measured; now %d jobs", jobs)
		if err := g.work(ctx); err != nil {
			return err
		}
		used, err := g.memory(ctx, fmt.Sprintf("after %d jobs", jobs), maxUsed)
		report.Figures = append(report.Figures, used...)
		if err != nil {
			return err
		}
		if err := g.rests(ctx); err != nil {
			return err
		}
		rest, err := g.memory(ctx, "at rest", 0)
		report.Figures = append(report.Figures, rest...)
		return err
	})
	return report, err
}

// memory compares what services have that they share with nobody, and their part
// of what they share. PackageKit and fwupd end when nobody needs them for a while.
func (g *guest) memory(ctx context.Context, when string, most float64) (figures []Figure, err error) {
	if err := g.sh(ctx, "systemctl start packagekit.service fwupd.service"); err != nil {
		return nil, err
	}
	ours, err := g.pss(ctx, "driverd")
	if err != nil {
		return nil, err
	}
	for _, p := range peers {
		f := Figure{Name: "memory (PSS), " + when, Unit: "MB", Driverd: []float64{ours}, Max: most, PeerName: p.unit}
		theirs, err := g.pss(ctx, p.unit)
		if err != nil {
			return nil, err
		}
		f.Peer = []float64{theirs}
		if p.ours {
			f.MaxRatio = 1
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// pss is 0 of a service that has ended.
func (g *guest) pss(ctx context.Context, unit string) (float64, error) {
	return g.number(ctx, 1e6/1024, `pid=$(systemctl show -P MainPID %s.service); if [ $pid = 0 ]; then echo 0; else awk '/^Pss:/ {print $2}' /proc/$pid/smaps_rollup; fi`, unit)
}

// rests has driverd end as it has nothing to do, and waits until it has. It is started anew, as it
// shows a job for ten minutes.
func (g *guest) rests(ctx context.Context) error {
	return g.sh(ctx, "rm /etc/driverd/driverd.toml; systemctl restart driverd.service; %s",
		await("systemctl show -P ActiveState driverd.service | grep -qx inactive && test -e "+api.RestFile))
}

// starts compares how long services take to start.
func (g *guest) starts(ctx context.Context, repetitions int) (figures []Figure, err error) {
	for _, p := range []string{"packagekit", "fwupd"} {
		f := Figure{Name: "start to READY, emulated", Unit: "ms", PeerName: p}
		for range repetitions {
			ours, err := g.start(ctx, "driverd")
			if err != nil {
				return nil, err
			}
			theirs, err := g.start(ctx, p)
			if err != nil {
				return nil, err
			}
			f.Driverd, f.Peer = append(f.Driverd, ours), append(f.Peer, theirs)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// start starts a service anew and returns how many milliseconds it took from its
// process on until it said that it serves.
func (g *guest) start(ctx context.Context, unit string) (float64, error) {
	return g.number(ctx, 1e3, "systemctl restart %[1]s.service; echo $(( $(systemctl show -P ActiveEnterTimestampMonotonic %[1]s.service) - $(systemctl show -P ExecMainStartTimestampMonotonic %[1]s.service) ))", unit)
}

// chain counts how often driverd is on the boot's critical chain.
func (g *guest) chain(ctx context.Context) (Figure, error) {
	f := Figure{Name: "driverd on the boot's critical chain (systemd-analyze), times"}
	out, err := g.out(ctx, "%s; systemd-analyze critical-chain --no-pager", await("systemd-analyze time >/dev/null 2>&1"))
	if err != nil {
		return f, err
	}
	say("the boot's critical chain: %s", out)
	f.Driverd = []float64{float64(strings.Count(out, "driverd"))}
	return f, nil
}

// work has driverd do jobs in which DNF solves and downloads, one after the other.
func (g *guest) work(ctx context.Context) error {
	for range 10 {
		if err := g.sh(ctx, "for n in $(seq %d); do driverd install --download-only passthrough >/dev/null || exit 1; done", jobs/10); err != nil {
			return err
		}
	}
	return g.done(ctx, 0)
}
