// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
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
	devices:  []lab.Device{{ID: "nic", Driver: "igb"}},
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

// guest is a booted guest in which the races are run.
type guest struct {
	vm     *lab.Guest
	events int // lines of the event log that have been read
}

const eventLog = "/run/bench-events"

// boot boots a guest whose kernel's events are logged with the time of each,
// and waits until driverd has learned what the repository has.
func boot(ctx context.Context, image *lab.Image) (*guest, error) {
	vm, err := lab.Boot(ctx, lab.Options{Image: image})
	if err != nil {
		return nil, err
	}
	g := &guest{vm: vm}
	_, err = vm.Until(ctx, "test -s /var/lib/driverd/catalog-$(uname -r).json")
	if err == nil {
		err = g.sh(ctx, "systemd-run --quiet sh -c 'stdbuf -oL udevadm monitor --kernel --subsystem-match=pci >"+eventLog+"'; dnf5 -q makecache")
	}
	if err != nil {
		return nil, errors.Join(err, vm.Close())
	}
	return g, nil
}

func (g *guest) sh(ctx context.Context, script string) error {
	_, err := g.vm.Output(ctx, script)
	return err
}

// byDriverd returns the seconds from the first device's event to the last
// driver's, and driverd's own CPU time in that.
func (g *guest) byDriverd(ctx context.Context, r race) (elapsed, cpu float64, err error) {
	if err := g.sh(ctx, "systemctl start driverd.service"); err != nil {
		return 0, 0, err
	}
	before, err := g.cpu(ctx)
	if err != nil {
		return 0, 0, err
	}
	slots, err := g.plug(ctx, r)
	if err != nil {
		return 0, 0, err
	}
	elapsed, err = g.bound(ctx, slots)
	if err != nil {
		return 0, 0, err
	}
	after, err := g.cpu(ctx)
	// The transaction goes on for a while.
	return elapsed, after - before, errors.Join(err, g.idle(ctx, r))
}

// byShell is the same for a shell that waits for the devices, installs exactly
// the right packages with one command, and loads exactly the right modules.
func (g *guest) byShell(ctx context.Context, r race) (elapsed float64, err error) {
	var install []string
	for _, p := range r.packages {
		install = append(install, `"`+p+`-$(uname -r).x86_64"`)
	}
	script := fmt.Sprintf(`systemctl stop driverd.service
cat >/run/bench-shell <<'EOF'
stdbuf -oL udevadm monitor --udev --subsystem-match=pci | {
	n=0
	while [ $n -lt %d ] && read -r event; do
		case $event in *" add "*) n=$((n+1)) ;; esac
	done
	dnf5 -y install %s >/run/bench-dnf 2>&1
	modprobe -a %s
	systemctl --no-block stop bench-shell.service
}
EOF
systemd-run --quiet --unit=bench-shell sh /run/bench-shell
until pgrep -f 'udevadm monitor --udev' >/dev/null; do sleep 0.1; done`,
		len(r.devices), strings.Join(install, " "), strings.Join(r.modules, " "))
	if err := g.sh(ctx, script); err != nil {
		return 0, err
	}
	slots, err := g.plug(ctx, r)
	if err != nil {
		return 0, err
	}
	elapsed, err = g.bound(ctx, slots)
	return elapsed, errors.Join(err, g.idle(ctx, r))
}

func (g *guest) plug(ctx context.Context, r race) ([]hwdetect.Slot, error) {
	out, err := g.vm.Output(ctx, "wc -l <"+eventLog)
	if err != nil {
		return nil, err
	}
	if g.events, err = strconv.Atoi(strings.TrimSpace(out)); err != nil {
		return nil, err
	}
	var slots []hwdetect.Slot
	for _, d := range r.devices {
		slot, err := g.vm.Plug(ctx, d)
		if err != nil {
			return nil, err
		}
		slots = append(slots, slot)
	}
	return slots, nil
}

// event is a line of udevadm monitor: KERNEL[12.345678] add /devices/.../0000:01:00.0 (pci).
var event = regexp.MustCompile(`(?m)^KERNEL\[([0-9.]+)\] (add|bind) +\S*/(\S+) \(pci\)$`)

// bound waits until all slots have a driver, and returns the seconds from the
// first device's event to the last driver's.
func (g *guest) bound(ctx context.Context, slots []hwdetect.Slot) (float64, error) {
	var tests []string
	for _, s := range slots {
		tests = append(tests, fmt.Sprintf("test -e /sys/bus/pci/devices/%s/driver", s))
	}
	if _, err := g.vm.Until(ctx, strings.Join(tests, " && ")); err != nil {
		return 0, err
	}
	log, err := g.vm.Output(ctx, fmt.Sprintf("udevadm settle; tail -n +%d "+eventLog, g.events+1))
	if err != nil {
		return 0, err
	}
	added, bound := map[string]float64{}, map[string]float64{}
	for _, m := range event.FindAllStringSubmatch(log, -1) {
		at, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, err
		}
		into := added
		if m[2] == "bind" {
			into = bound
		}
		if _, seen := into[m[3]]; !seen {
			into[m[3]] = at
		}
	}
	first, last := 0.0, 0.0
	for _, s := range slots {
		a, b := added[s.String()], bound[s.String()]
		if a == 0 || b == 0 {
			return 0, fmt.Errorf("cannot find the events of %s in %s", s, log)
		}
		if first == 0 || a < first {
			first = a
		}
		last = max(last, b)
	}
	return last - first, nil
}

// idle waits until all packages are there and nothing works on more. What may
// be left of a transaction holds rpm's lock, for which again's rpm waits.
func (g *guest) idle(ctx context.Context, r race) error {
	_, err := g.vm.Until(ctx, "rpm -q "+strings.Join(r.packages, " ")+" >/dev/null && ! systemctl is-active -q bench-shell.service && ! pgrep -x depmod >/dev/null")
	return err
}

// again takes everything back that a race has changed.
func (g *guest) again(ctx context.Context, r race) error {
	for _, d := range r.devices {
		if err := g.vm.Unplug(ctx, d.ID); err != nil {
			return err
		}
	}
	return g.sh(ctx, fmt.Sprintf("systemctl stop driverd.service; modprobe -ra %s; rpm -e %s; dnf5 -q makecache; udevadm settle",
		strings.Join(r.modules, " "), strings.Join(r.packages, " ")))
}

// cpu is the CPU time that driverd's service has used, in seconds.
func (g *guest) cpu(ctx context.Context) (float64, error) {
	return g.number(ctx, "systemctl show -P CPUUsageNSec driverd.service", 1e9)
}

// pss is the memory of a service's main process that it shares with nobody, and
// its part of what it shares, in MB.
func (g *guest) pss(ctx context.Context, unit string) (float64, error) {
	return g.number(ctx, "awk '/^Pss:/ {print $2}' /proc/$(systemctl show -P MainPID "+unit+")/smaps_rollup", 1e6/1024)
}

func (g *guest) number(ctx context.Context, script string, by float64) (float64, error) {
	out, err := g.vm.Output(ctx, script)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(out), 64)
	if err != nil {
		return 0, fmt.Errorf("cannot read what %q prints: %w", script, err)
	}
	return n / by, nil
}
