// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"encoding/json"
	"fmt"

	"driverd/api"
	"driverd/lab"
)

// functions is how many come at once: QEMU's nvme has at most 127.
const functions = 120

// Storm has many functions of one card come at once, whose driver is there and does
// not take them, as where they are for guests of the guest: what driverd itself does
// about them, and nothing else, is what is measured.
func Storm(ctx context.Context, o Options) (report Report, err error) {
	image, err := lab.BuildImage(ctx, o.RPM)
	if err != nil {
		return report, err
	}
	err = with(ctx, lab.Options{Image: image}, boot(lab.Start{Devices: []lab.Device{lab.NVMeFunctions("disk", functions)}}), func(g *guest) error {
		if err := g.vm.WatchDriverd(ctx); err != nil {
			return err
		}
		storm := newStorm()
		for range o.Repetitions {
			if err := g.storm(ctx, storm); err != nil {
				return err
			}
		}
		ready := Figure{Name: fmt.Sprintf("start to READY with %d functions, emulated", functions), Unit: "ms"}
		for range o.Repetitions {
			ms, err := g.start(ctx, "driverd")
			if err != nil {
				return err
			}
			ready.Driverd = append(ready.Driverd, ms)
		}
		report.Figures = append(storm, ready)
		return nil
	})
	return report, err
}

// newStorm are the figures of storms.
func newStorm() []Figure {
	var all []Figure
	for _, f := range [][2]string{
		{"first event to last", "s"}, {"first event to last decision", "s"}, {"looks until all was settled", ""}, {"driverd's CPU time, emulated", "ms"},
	} {
		all = append(all, Figure{Name: fmt.Sprintf("%d functions at once: %s", functions, f[0]), Unit: f[1]})
	}
	return all
}

// storm has the functions come once more, and notes the figures.
func (g *guest) storm(ctx context.Context, figures []Figure) error {
	card, err := g.vm.Slot(ctx, "disk")
	if err != nil {
		return err
	}
	dir := "/sys/bus/pci/devices/" + card.String()
	if err := g.sh(ctx, "%s", await("test -e "+dir+"/driver")+"; cd "+dir+"; echo 0 >sriov_drivers_autoprobe; echo 0 >sriov_numvfs; "+quiet); err != nil {
		return err
	}
	before, _, err := g.cpu(ctx)
	if err != nil {
		return err
	}
	seen, _, err := g.vm.Watched(ctx)
	if err != nil {
		return err
	}
	events, err := g.number(ctx, 1, "wc -l <"+eventLog)
	if err != nil {
		return err
	}
	const ended = "$(journalctl -b -u driverd.service -o cat DRIVERD_STATE=failed DRIVERD_STATE=blocked | wc -l)"
	if err := g.sh(ctx, "ended="+ended+"; echo %d >%s/sriov_numvfs; %s", functions, dir,
		await(fmt.Sprintf("[ "+ended+" -ge $((ended + %d)) ]", functions))); err != nil {
		return err
	}
	after, _, err := g.cpu(ctx)
	if err != nil {
		return err
	}
	looked, _, err := g.vm.Watched(ctx)
	if err != nil {
		return err
	}
	var first, last float64
	times, err := g.out(ctx, `tail -n +%d `+eventLog+` | sed -n 's/^KERNEL\[\([0-9.]*\)\] add .*/\1/p' | sed -n '1p;$p'`, int(events)+1)
	if err != nil {
		return err
	}
	if _, err := fmt.Sscan(times, &first, &last); err != nil {
		return fmt.Errorf("cannot read when the functions came: %w: %q", err, times)
	}
	boot, err := g.clock(ctx)
	if err != nil {
		return err
	}
	text, err := g.out(ctx, "driverd status --json")
	if err != nil {
		return err
	}
	var status struct{ Devices []api.Device }
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		return fmt.Errorf("cannot read driverd's status: %w", err)
	}
	var decided float64
	for _, d := range status.Devices {
		for _, s := range d.Timeline {
			if s.Name == "decided" {
				decided = max(decided, float64(s.Time)/1e6-boot)
			}
		}
	}
	for n, value := range []float64{last - first, decided - first, float64(looked - seen), 1e3 * (after - before)} {
		figures[n].Driverd = append(figures[n].Driverd, value)
	}
	return nil
}
