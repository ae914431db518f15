// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"driverd/hwdetect"
	"driverd/lab"
)

// guest is a booted guest in which something is measured.
type guest struct {
	vm     *lab.Guest
	events int // lines of the event log that are of what was before
}

// eventLog has the kernel's events about PCI devices, with the time of each on
// the monotonic clock, which is the one that /proc/uptime shows.
const eventLog = "/run/bench-events"

// starter starts a guest: what boot returns, or lab.Resume.
type starter func(context.Context, lab.Options) (*lab.Guest, error)

// boot boots a guest.
func boot(s lab.Start) starter {
	return func(ctx context.Context, o lab.Options) (*lab.Guest, error) { return lab.Boot(ctx, o, s) }
}

// begin starts a guest, and waits until driverd in it has learned what the repository has.
func begin(ctx context.Context, o lab.Options, start starter) (*guest, error) {
	o.Parallel = true
	vm, err := start(ctx, o)
	if err != nil {
		return nil, err
	}
	g := &guest{vm: vm}
	_, err = vm.Until(ctx, "test -s /var/lib/driverd/catalog-$(uname -r).json")
	if err == nil {
		err = g.sh(ctx, "systemd-run --quiet sh -c 'stdbuf -oL udevadm monitor --kernel --subsystem-match=pci >"+eventLog+"'; %s", await("test -s "+eventLog))
	}
	if err != nil {
		return nil, errors.Join(err, vm.Close())
	}
	say("a guest is up, and driverd in it knows the repository")
	return g, nil
}

// evidence is where the logs of a guest are kept in which something failed.
const evidence = "dist/bench-evidence"

// with starts a guest, does something with it, and ends it.
func with(ctx context.Context, o lab.Options, start starter, do func(*guest) error) error {
	g, err := begin(ctx, o, start)
	if err != nil {
		return err
	}
	if err = do(g); err != nil {
		err = errors.Join(err, g.vm.Collect(evidence))
	}
	return errors.Join(err, g.vm.Close())
}

func (g *guest) sh(ctx context.Context, format string, args ...any) error {
	_, err := g.out(ctx, format, args...)
	return err
}

// patience is for one thing that takes a while in an emulated guest.
const patience = 5 * time.Minute

func (g *guest) out(ctx context.Context, format string, args ...any) (string, error) {
	script := fmt.Sprintf(format, args...)
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("more than %s have passed", patience))
	defer cancel()
	out, err := g.vm.Output(ctx, script)
	if ctx.Err() != nil {
		err = fmt.Errorf("cannot run %q: %w", script, err)
	}
	return strings.TrimSpace(out), err
}

// await is a script that waits until another one succeeds. The guest asks itself:
// to be asked by the host costs it more, and it is being timed.
func await(script string) string {
	return "until " + script + "; do sleep 0.2; done"
}

// number runs a script that prints a number, and scales it down.
func (g *guest) number(ctx context.Context, by float64, format string, args ...any) (float64, error) {
	out, err := g.out(ctx, format, args...)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseFloat(out, 64)
	if err != nil {
		return 0, fmt.Errorf("cannot read what %q prints: %w", format, err)
	}
	return n / by, nil
}

// cpu is the CPU time that driverd's service has used, in seconds; own is what of it
// was not the kernel's.
func (g *guest) cpu(ctx context.Context) (all, own float64, err error) {
	out, err := g.out(ctx, "awk '/^(usage|user)_usec/ { print $2 / 1e6 }' /sys/fs/cgroup/system.slice/driverd.service/cpu.stat")
	if err != nil {
		return 0, 0, err
	}
	if _, err := fmt.Sscan(out, &all, &own); err != nil {
		return 0, 0, fmt.Errorf("cannot read driverd's CPU time: %w: %q", err, out)
	}
	return all, own, nil
}

// busy is a script that fails when DNF is not at work. A device has its driver long
// before: a transaction goes on for a while, and forbids the guest to end.
const busy = "systemd-inhibit --list --no-legend | grep -qw block"

// jobsDone is a script that succeeds when all jobs of driverd's have ended, and as many
// as $1 have. It is the journal that is asked: to answer would be work for driverd.
const jobsDone = `jobs() { journalctl -b --no-pager -u driverd.service -o cat DRIVERD_EVENT=$1 | wc -l; }
ended() { echo $(($(jobs job-done) + $(jobs job-failed))); }
done_with() { [ $(ended) -ge $1 ] && [ $(ended) -ge $(jobs job-started) ]; }
`

// jobs is how many of driverd's have ended since the guest's start.
func (g *guest) jobs(ctx context.Context) (int, error) {
	n, err := g.number(ctx, 1, "%sended", jobsDone)
	return int(n), err
}

// done waits until so many jobs of driverd's have ended.
func (g *guest) done(ctx context.Context, jobs int) error {
	return g.sh(ctx, "%s%s; %s", jobsDone, await(fmt.Sprintf("done_with %d", jobs)), await("! "+busy))
}

// quiet is a script that waits until driverd has used next to no CPU time for three
// seconds: what it does when it starts is over.
const quiet = `used() { awk '/^usage_usec/ { print $2 }' /sys/fs/cgroup/system.slice/driverd.service/cpu.stat; }
last=0; until now=$(used) && [ $((now - last)) -lt 100000 ]; do last=$now; sleep 3; done`

// plug plugs devices in, one right after the other.
func (g *guest) plug(ctx context.Context, devices []lab.Device) ([]hwdetect.Slot, error) {
	events, err := g.number(ctx, 1, "wc -l <"+eventLog)
	if err != nil {
		return nil, err
	}
	g.events = int(events)
	var slots []hwdetect.Slot
	for _, d := range devices {
		slot, err := g.vm.Plug(ctx, d)
		if err != nil {
			return nil, err
		}
		slots = append(slots, slot)
	}
	return slots, nil
}

// bindings is an awk program that finds in the event log when the first of some
// slots came, and when the first and the last of them got its driver; it fails if one has none.
// KERNEL[12.345678] bind     /devices/pci0000:00/0000:00:02.0/0000:01:00.0 (pci).
const bindings = `BEGIN { n = split(slots, all, " ") }
NR > events { at = $1; gsub(/KERNEL\[|\]/, "", at); at += 0; slot = $3; sub(/.*\//, "", slot) }
NR > events && $2 == "add" && !(slot in add) { add[slot] = at }
NR > events && $2 == "bind" && !(slot in bind) { bind[slot] = at }
END {
	for (i = 1; i <= n; i++) {
		if (!(all[i] in add) || !(all[i] in bind)) exit 1
		if (!first || add[all[i]] < first) first = add[all[i]]
		if (!driven || bind[all[i]] < driven) driven = bind[all[i]]
		if (bind[all[i]] > last) last = bind[all[i]]
	}
	printf "%.6f %.6f %.6f\n", first, driven, last
}`

// bound waits until the kernel has told that all slots have a driver, and returns
// when the first device came and when the first and the last got its driver, by the guest's
// uptime in seconds.
func (g *guest) bound(ctx context.Context, slots []hwdetect.Slot) (came, first, last float64, err error) {
	var names []string
	for _, s := range slots {
		names = append(names, s.String())
	}
	out, err := g.out(ctx, "cat >/run/bench-bindings <<'EOF'\n%s\nEOF\n%s", bindings,
		await(fmt.Sprintf("awk -v slots='%s' -v events=%d -f /run/bench-bindings "+eventLog, strings.Join(names, " "), g.events)))
	if err != nil {
		return 0, 0, 0, err
	}
	if _, err := fmt.Sscan(out, &came, &first, &last); err != nil {
		return 0, 0, 0, fmt.Errorf("cannot read when devices came and were bound: %w: %q", err, out)
	}
	return came, first, last, nil
}

// network is where systemd-networkd, which bench starts, is told to ask for the card's address.
const network = "/run/systemd/network/bench.network"

// asksForAddresses is a script that has the guest ask for the address of a card that it gets.
const asksForAddresses = "mkdir -p $(dirname " + network + ")\n" + `printf '[Match]\nDriver=igb\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n' >` + network + `
systemctl -q unmask systemd-networkd.service systemd-networkd.socket
systemctl start systemd-networkd.service`

// usable waits until a card has got its address by DHCP since an uptime, and returns when it had.
func (g *guest) usable(ctx context.Context, since float64) (float64, error) {
	return g.number(ctx, 1, `until at=$(journalctl -b --no-pager -u systemd-networkd.service -o short-monotonic | sed -n 's/^\[ *\([0-9.]*\)\].*DHCPv4 address.*/\1/p' | tail -n 1); awk "BEGIN { exit !(${at:-0} > %f) }"; do sleep 0.2; done; echo $at`, since)
}

// clock is what the realtime clock has been at uptime 0, in seconds.
func (g *guest) clock(ctx context.Context) (float64, error) {
	return g.number(ctx, 1, `read -r up idle </proc/uptime; date +"%%s.%%N $up" | awk '{ printf "%%.3f\n", $1 - $2 }'`)
}
