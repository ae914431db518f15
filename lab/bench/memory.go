// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
)

// memoryUnit notes again and again what memory the service has, and the service with the steps
// that it has started and their commands, in kB: what they share with nobody, and their part of
// what they share.
const (
	memoryUnit = "bench-memory.service"
	memoryFile = "/run/bench-memory"
	memoryLoop = `cat >/run/bench-memory-loop <<'EOF'
groups=/sys/fs/cgroup/system.slice
pss() { for p in $(cat "$@" 2>/dev/null); do sed -n 's/^Pss: *//p' /proc/$p/smaps_rollup 2>/dev/null; done | awk '{ all += $1 } END { printf "%d ", all }'; }
while :; do
	echo $(pss $groups/driverd.service/cgroup.procs; pss $groups/driverd.service/cgroup.procs $groups/system-driverd.slice/*/cgroup.procs) >>/run/bench-memory
done
EOF
rm -f /run/bench-memory
systemd-run --quiet --unit=` + memoryUnit + ` sh /run/bench-memory-loop
`
)

// atWork are the figures of the memory in one installation.
func atWork() []Figure {
	return []Figure{
		{Name: "most memory (PSS) of the service in one installation", Unit: "MB", Max: 20},
		{Name: "the same, with its steps and their commands", Unit: "MB"},
	}
}

// watchMemory has driverd run a race once more, and notes the most memory.
func (g *guest) watchMemory(ctx context.Context, r race, figures []Figure) error {
	if err := g.sh(ctx, "%s\n%s", driverdReady, memoryLoop); err != nil {
		return err
	}
	jobs, err := g.jobs(ctx)
	if err != nil {
		return err
	}
	slots, err := g.plug(ctx, r.devices)
	if err != nil {
		return err
	}
	if _, _, _, err := g.bound(ctx, slots); err != nil {
		return err
	}
	if err := g.done(ctx, jobs+1); err != nil {
		return err
	}
	out, err := g.out(ctx, "systemctl stop "+memoryUnit+`; awk '$1 > own { own = $1 } $2 > all { all = $2 } END { print own, all }' `+memoryFile)
	if err != nil {
		return err
	}
	var own, all float64
	if _, err := fmt.Sscan(out, &own, &all); err != nil {
		return fmt.Errorf("cannot read what memory driverd had: %w: %q", err, out)
	}
	for n, kB := range []float64{own, all} {
		figures[n].Driverd = append(figures[n].Driverd, kB*1024/1e6)
	}
	return g.again(ctx, r)
}
