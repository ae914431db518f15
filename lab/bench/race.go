// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"driverd/hwdetect"
	"driverd/lab"
)

// race is one task for driverd and for a root shell that knows the answer.
type race struct {
	devices  []lab.Device
	packages []string // kernel-modules-*, without version
	modules  []string // what the shell loads, and a new start removes
}

var oneCard = race{
	devices:  []lab.Device{{ID: "nic", Driver: "igb", Network: true}},
	packages: []string{"kernel-modules-sriov"},
	modules:  []string{"igb"},
}

var eightDevices = race{
	devices: []lab.Device{
		{ID: "nic0", Driver: "igb"},
		{ID: "nic1", Driver: "igb"},
		{ID: "net", Driver: "e1000e"},
		{ID: "raid0", Driver: "megasas"},
		{ID: "raid1", Driver: "mptsas1068"},
		{ID: "sdhci", Driver: "sdhci-pci"},
		{ID: "tulip", Driver: "tulip"},
		lab.BochsDisplay("display"),
	},
	packages: []string{"kernel-modules-sriov", "kernel-modules-passthrough", "kernel-modules-gpu", "kernel-modules"},
	modules:  []string{"igb", "e1000e", "megaraid_sas", "mptsas", "sdhci_pci", "tulip", "bochs"},
}

// Lap is how one of the two ran: seconds from the first device's event to the
// last one's driver, and when each step ended that it tells of.
type Lap struct {
	Seconds float64
	Steps   []Step
	first   float64 // to the first one's driver
	usable  float64 // to the address of the one card
	cpu     float64 // that driverd's service has used
	own     float64 // of that, what was not the kernel's
	steps   float64 // that the two steps which root runs have used: kmod's commands, and the kernel
}

func (l Lap) String() string {
	text := fmt.Sprintf("bound after %.2f s, usable after %.2f", l.Seconds, l.usable)
	for _, s := range l.Steps {
		text += fmt.Sprintf(", %s %.2f", s.Name, s.At)
	}
	if l.cpu > 0 {
		text += fmt.Sprintf("; CPU %.2f s, %.2f s in its own code; its steps %.2f s", l.cpu, l.own, l.steps)
	}
	return text
}

// ready has both begin alike: the metadata is there and in the page cache, no
// package is, and nothing is running that one of them started the last time.
const ready = "systemctl stop driverd.service dnf5daemon-server.service; rm -rf /var/cache/libdnf5/*/packages; dnf5 -q makecache; udevadm settle; "

// driverdReady is ready, with driverd started and settled.
const driverdReady = ready + "systemctl start driverd.service; " + quiet

// byDriverd runs the race by driverd.
func (g *guest) byDriverd(ctx context.Context, r race) (l Lap, err error) {
	if err := g.sh(ctx, "%s", driverdReady); err != nil {
		return l, err
	}
	jobs, err := g.jobs(ctx)
	if err != nil {
		return l, err
	}
	cpu, own, err := g.cpu(ctx)
	if err != nil {
		return l, err
	}
	steps, err := g.stepsCPU(ctx)
	if err != nil {
		return l, err
	}
	slots, err := g.plug(ctx, r.devices)
	if err != nil {
		return l, err
	}
	came, err := g.reached(ctx, &l, slots)
	if err != nil {
		return l, err
	}
	if err := g.done(ctx, jobs+1); err != nil { // all that is done for them counts
		return l, err
	}
	if l.cpu, l.own, err = g.cpu(ctx); err != nil {
		return l, err
	}
	l.cpu, l.own = l.cpu-cpu, l.own-own
	if l.steps, err = g.stepsCPU(ctx); err != nil {
		return l, err
	}
	l.steps -= steps
	if l.Steps, err = g.steps(ctx, slots, came); err != nil {
		return l, err
	}
	say("driverd: %s", l)
	return l, nil
}

// reached waits until all slots have their drivers, and a card its address, notes when, and
// returns when the first device came.
func (g *guest) reached(ctx context.Context, l *Lap, slots []hwdetect.Slot) (came float64, err error) {
	came, first, last, err := g.bound(ctx, slots)
	if err != nil {
		return came, err
	}
	l.first, l.Seconds = first-came, last-came
	if len(slots) > 1 {
		return came, nil
	}
	usable, err := g.usable(ctx, came)
	l.usable = usable - came
	return came, err
}

// stepsCPU is the CPU time that all steps have used since the boot, in seconds: that of their
// slice.
func (g *guest) stepsCPU(ctx context.Context) (float64, error) {
	return g.number(ctx, 1e9, "systemctl show -P CPUUsageNSec system-driverd.slice | grep -x '[0-9]*' || echo 0")
}

// steps asks driverd for the timelines of the devices in slots, the first of which
// came at that uptime, and returns that of the last to have its driver.
func (g *guest) steps(ctx context.Context, slots []hwdetect.Slot, came float64) (last []Step, err error) {
	boot, err := g.clock(ctx)
	if err != nil {
		return nil, err
	}
	for _, slot := range slots {
		shown, err := g.vm.Shown(ctx, slot)
		if err != nil {
			return nil, err
		}
		var steps []Step
		for _, s := range shown.Timeline {
			if s.Name != "settled" {
				steps = append(steps, Step{s.Name, float64(s.Time.UnixMicro())/1e6 - boot - came})
			}
		}
		if len(steps) > 0 && (last == nil || steps[len(steps)-1].At > last[len(last)-1].At) {
			last = steps
		}
	}
	return last, nil
}

const shellUnit = "bench-shell.service"

// shell is a script that waits for devices, installs packages with one command,
// and loads modules. It notes the uptime at the end of each step.
const shell = `cat >/run/bench-shell <<'EOF'
now() { read -r up idle </proc/uptime; echo "$up $1" >>/run/bench-steps; }
stdbuf -oL udevadm monitor --udev --subsystem-match=pci | {
	n=0
	while [ $n -lt %d ] && read -r event; do
		case $event in
		"monitor will"*) : >/run/bench-listens ;;
		*" add "*) n=$((n+1)) ;;
		esac
	done
	now "udev event"
	%s install %s >/run/bench-dnf 2>&1
	now dnf5
	modprobe -a %s
	now modprobe
	systemctl --no-block stop ` + shellUnit + `
}
EOF
rm -f /run/bench-steps /run/bench-listens
systemd-run --quiet --unit=` + shellUnit + ` sh /run/bench-shell
`

// newest is a script that prints when the last module came onto the disk: rpm gives
// the files of a package their names when it has written all of them.
const newest = `find /lib/modules/$(uname -r)/kernel -name '*.ko*' -printf '%%C@\n' | sort -n | tail -n 1`

// unpackedStep is the step at whose end the module's file is on the disk, by the name
// that it has on a device's timeline.
const unpackedStep = "unpacked"

// unpacked is when the last file was on the disk.
func (l Lap) unpacked() float64 {
	for _, s := range l.Steps {
		if s.Name == unpackedStep {
			return s.At
		}
	}
	return l.Seconds
}

// What a shell installs by: DNF, or dnf5daemon as driverd does.
const (
	dnf       = "dnf5 -y"
	dnfDaemon = "dnf5daemon-client --assumeyes"
)

// byShell runs the race by a shell that knows which packages and which modules
// are right.
func (g *guest) byShell(ctx context.Context, r race, installer string) (l Lap, err error) {
	var install []string
	for _, p := range r.packages {
		install = append(install, `"`+p+`-$(uname -r).x86_64"`)
	}
	script := fmt.Sprintf(shell, len(r.devices), installer, strings.Join(install, " "), strings.Join(r.modules, " "))
	if err := g.sh(ctx, "%s", ready+script+await("test -e /run/bench-listens")); err != nil {
		return l, err
	}
	slots, err := g.plug(ctx, r.devices)
	if err != nil {
		return l, err
	}
	came, err := g.reached(ctx, &l, slots)
	if err != nil {
		said, _ := g.out(context.WithoutCancel(ctx), "cat /run/bench-dnf")
		return l, fmt.Errorf("%w: dnf5 says %q", err, said)
	}
	if err := g.sh(ctx, "%s", await("! systemctl is-active -q "+shellUnit)); err != nil {
		return l, err
	}
	out, err := g.out(ctx, "cat /run/bench-steps")
	if err != nil {
		return l, err
	}
	boot, err := g.clock(ctx)
	if err != nil {
		return l, err
	}
	unpacked, err := g.number(ctx, 1, newest)
	if err != nil {
		return l, err
	}
	for line := range strings.Lines(out) {
		at, step, _ := strings.Cut(strings.TrimSpace(line), " ")
		var up float64
		if _, err := fmt.Sscan(at, &up); err != nil {
			return l, fmt.Errorf("cannot read when the shell was where: %w: %q", err, line)
		}
		if step == "dnf5" {
			l.Steps = append(l.Steps, Step{unpackedStep, unpacked - boot - came})
		}
		l.Steps = append(l.Steps, Step{step, up - came})
	}
	say("root shell, %s: %s", installer, l)
	return l, nil
}

// again takes everything back that a race has changed.
func (g *guest) again(ctx context.Context, r race) error {
	for _, d := range r.devices {
		if err := g.vm.Unplug(ctx, d.ID); err != nil {
			return err
		}
	}
	return g.sh(ctx, "systemctl stop driverd.service dnf5daemon-server.service; modprobe -ra %s; rpm -e %s",
		strings.Join(r.modules, " "), strings.Join(r.packages, " "))
}

// runs are the laps of each.
type runs struct{ driverd, shell, daemon []Lap }

// runner runs a race once, by one of those that race.
type runner func(ctx context.Context, g *guest, r race, all *runs) error

func driverdRuns(ctx context.Context, g *guest, r race, all *runs) error {
	l, err := g.byDriverd(ctx, r)
	all.driverd = append(all.driverd, l)
	return err
}

func shellRuns(ctx context.Context, g *guest, r race, all *runs) error {
	l, err := g.byShell(ctx, r, dnf)
	all.shell = append(all.shell, l)
	return err
}

func daemonRuns(ctx context.Context, g *guest, r race, all *runs) error {
	l, err := g.byShell(ctx, r, dnfDaemon)
	all.daemon = append(all.daemon, l)
	return err
}

// race has each run the race, as often as is asked for, in one guest; every other time in the
// opposite order.
func (g *guest) race(ctx context.Context, r race, times int, all *runs, each ...runner) error {
	if err := g.sh(ctx, "%s", asksForAddresses); err != nil {
		return err
	}
	for range times {
		for _, run := range each {
			if err := run(ctx, g, r, all); err != nil {
				return err
			}
			if err := g.again(ctx, r); err != nil {
				return err
			}
		}
		slices.Reverse(each)
	}
	return nil
}
