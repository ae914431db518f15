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
	err = with(ctx, lab.Options{Image: image}, lab.Start{Devices: []lab.Device{lab.NVMeFunctions("disk", functions)}}, func(g *guest) error {
		storm, err := g.storm(ctx)
		if err != nil {
			return err
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

func (g *guest) storm(ctx context.Context) ([]Figure, error) {
	card, err := g.vm.Slot(ctx, "disk")
	if err != nil {
		return nil, err
	}
	dir := "/sys/bus/pci/devices/" + card.String()
	if err := g.vm.WatchDriverd(ctx); err != nil {
		return nil, err
	}
	if err := g.sh(ctx, "%s", await("test -e "+dir+"/driver")+"; echo 0 >"+dir+"/sriov_drivers_autoprobe"); err != nil {
		return nil, err
	}
	before, _, err := g.cpu(ctx)
	if err != nil {
		return nil, err
	}
	seen, _, err := g.vm.Watched(ctx)
	if err != nil {
		return nil, err
	}
	events, err := g.number(ctx, 1, "wc -l <"+eventLog)
	if err != nil {
		return nil, err
	}
	if err := g.sh(ctx, "echo %d >%s/sriov_numvfs", functions, dir); err != nil {
		return nil, err
	}
	if err := g.sh(ctx, "%s", await(fmt.Sprintf("[ $(journalctl -b -u driverd.service -o cat DRIVERD_STATE=failed DRIVERD_STATE=blocked | wc -l) -ge %d ]", functions))); err != nil {
		return nil, err
	}
	after, _, err := g.cpu(ctx)
	if err != nil {
		return nil, err
	}
	looked, _, err := g.vm.Watched(ctx)
	if err != nil {
		return nil, err
	}
	var first, last float64
	times, err := g.out(ctx, `tail -n +%d `+eventLog+` | sed -n 's/^KERNEL\[\([0-9.]*\)\] add .*/\1/p' | sed -n '1p;$p'`, int(events)+1)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Sscan(times, &first, &last); err != nil {
		return nil, fmt.Errorf("cannot read when the functions came: %w: %q", err, times)
	}
	boot, err := g.clock(ctx)
	if err != nil {
		return nil, err
	}
	text, err := g.out(ctx, "driverd status --json")
	if err != nil {
		return nil, err
	}
	var status struct{ Devices []api.Device }
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		return nil, fmt.Errorf("cannot read driverd's status: %w", err)
	}
	var decided float64
	for _, d := range status.Devices {
		for _, s := range d.Timeline {
			if s.Name == "decided" {
				decided = max(decided, float64(s.Time)/1e6-boot)
			}
		}
	}
	name := func(what string) string { return fmt.Sprintf("%d functions at once: %s", functions, what) }
	return []Figure{
		{Name: name("first event to last"), Unit: "s", Driverd: []float64{last - first}},
		{Name: name("first event to last decision"), Unit: "s", Driverd: []float64{decided - first}},
		{Name: name("looks until all was settled"), Unit: "", Driverd: []float64{float64(looked - seen)}},
		{Name: name("driverd's CPU time, emulated"), Unit: "ms", Driverd: []float64{1e3 * (after - before)}},
	}, nil
}
