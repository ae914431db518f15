// SPDX-License-Identifier: Apache-2.0

//go:build lab && long

package behaviour_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"driverd/api"
	"driverd/hwdetect"
	"driverd/lab"
	"driverd/lab/rpmrepo"
)

var (
	soakFor  = flag.Duration("soak.for", 30*time.Minute, "how long TestSoak goes on")
	soakSeed = flag.Uint64("soak.seed", uint64(time.Now().UnixNano()), "what TestSoak's choices follow from")
)

// models are types of device that QEMU emulates, each with the driver that it gets,
// or "" if the kernel has none.
var models = []struct{ name, driver string }{
	{"igb", "igb"}, {"e1000e", "e1000e"}, {"e1000", "e1000"}, {"pcnet", "pcnet32"}, {"vmxnet3", "vmxnet3"},
	{"nvme", "nvme"}, {"mptsas1068", "mptsas"}, {"am53c974", "am53c974"}, {"edu", ""}, {"pci-testdev", ""},
}

// soak is a guest to which things happen at random.
type soak struct {
	guest
	random  *rand.Rand
	repo    *rpmrepo.Repository
	plugged map[string]hwdetect.Slot // by model
}

// TestSoak plugs devices in and out for half an hour, while one thing after another
// is broken and mended, and sees each time that driverd comes to the right end by
// itself, and that it does not grow.
func TestSoak(t *testing.T) {
	image := buildImage(t)
	repo := rpmrepo.NewRepository(image.Repo)
	s := &soak{resume(t, lab.Options{Image: image, Repo: repo}), rand.New(rand.NewPCG(*soakSeed, 0)), repo, map[string]hwdetect.Slot{}}
	s.until("test -s /var/lib/driverd/catalog-$(uname -r).json")
	pristine := s.sh("rpm -Va || true")

	const line = "table: %6s %-30s %-70s %7s %6s %11s %7s\n"
	_, _ = fmt.Printf("table: soak with -soak.seed=%d\n"+line, *soakSeed, "minute", "trouble", "in and out", "devices", "RSS MB", "descriptors", "seconds")
	began := time.Now()
	// What is measured begins when the service has had everything happen to it,
	// and it is not ended any more.
	var first, second []vitals
	for time.Since(began) < *soakFor {
		lap, third := time.Now(), int(3*time.Since(began) / *soakFor)
		trouble := s.trouble(third == 0)
		s.sh("%s", trouble.begin)
		s.repo.Fail(trouble.path, trouble.fault)
		acts := s.acts()
		s.sh("%s", trouble.end)
		s.repo.Fail("", rpmrepo.NoFault)
		s.right()
		v := s.vitals()
		switch third {
		case 1:
			first = append(first, v)
		case 2:
			second = append(second, v)
		}
		_, _ = fmt.Printf(line, fmt.Sprintf("%.1f", time.Since(began).Minutes()), trouble.name, acts, fmt.Sprint(len(s.plugged)),
			megabytes(v.rss), fmt.Sprint(v.files), fmt.Sprintf("%.0f", time.Since(lap).Seconds()))
		if s.random.IntN(2) == 0 {
			s.forget()
		}
	}

	restarts := s.sh("systemctl show -P NRestarts driverd.service")
	_, _ = fmt.Printf("table: %d transactions, driverd started again %s times\n", s.begun(), restarts)
	if len(first) == 0 || len(second) == 0 {
		t.Fatalf("%s are too short to compare", *soakFor)
	}
	rss := func(v vitals) int { return v.rss }
	files := func(v vitals) int { return v.files }
	if was, is := mean(first, rss), mean(second, rss); is > was*1.1+1000 {
		t.Errorf("driverd has grown from %.0f kB to %.0f", was, is)
	}
	if was, is := mean(first, files), mean(second, files); is > was+1 {
		t.Errorf("driverd had %.1f files open, and has %.1f", was, is)
	}
	if got := s.sh("rpm -Va || true"); got != pristine {
		t.Errorf("rpm -Va: %s\nat the start: %s", got, pristine)
	}
	s.sh("dnf5 -q check; systemctl is-active driverd.service; ! journalctl -u driverd.service -o cat | grep -iE 'panic|goroutine [0-9]'")
	s.onlyRunningKernel()
}

func mean(all []vitals, of func(vitals) int) float64 {
	sum := 0
	for _, v := range all {
		sum += of(v)
	}
	return float64(sum) / float64(len(all))
}

// trouble is something that is broken for a while.
type trouble struct {
	name       string
	begin, end string // scripts
	path       string // of what the repository answers with a fault
	fault      rpmrepo.Fault
}

// trouble chooses one; deadly ones end the service.
func (s *soak) trouble(deadly bool) trouble {
	const dnf = "dnf5daemon-server.service"
	all := []trouble{
		{name: "none"},
		{name: "dnf5daemon is killed", end: "systemctl kill --signal=KILL " + dnf + " || true"},
		{name: "dnf5daemon hangs", begin: "systemctl kill --signal=STOP " + dnf + " || true", end: "systemctl kill --signal=CONT " + dnf + " || true"},
		{name: "dnf5daemon is missing", begin: "systemctl mask --now " + dnf, end: "systemctl unmask " + dnf},
		{name: "polkit denies", begin: polkitDenies, end: polkitAllows},
		{name: "the network is away", begin: "ip link set lab0 down", end: "ip link set lab0 up"},
		{name: "repository: nothing answers", fault: rpmrepo.Refuse},
		{name: "repository: stalls", path: ".rpm", fault: rpmrepo.Stall},
		{name: "repository: slow", path: ".rpm", fault: rpmrepo.Slow},
		{name: "repository: truncated", path: ".rpm", fault: rpmrepo.Truncated},
		{name: "repository: wrong checksum", path: ".rpm", fault: rpmrepo.Garbled},
	}
	if deadly {
		all = append(all,
			trouble{name: "driverd is killed", end: "systemctl kill --signal=KILL driverd.service"},
			trouble{name: "the bus is restarted", end: "systemctl restart dbus.service"})
	}
	return all[s.random.IntN(len(all))]
}

// acts takes some devices out or puts them in, with up to three seconds after each,
// and returns which.
func (s *soak) acts() string {
	s.Helper()
	acts := ""
	for range 1 + s.random.IntN(4) {
		model := models[s.random.IntN(len(models))].name
		if slot, in := s.plugged[model]; in {
			acts += " -" + model
			// What ACPI has not told the guest of yet, it tells of twice when it goes.
			s.until("test -e /sys/bus/pci/devices/%s", slot)
			s.unplug(model)
			delete(s.plugged, model)
		} else {
			acts += " +" + model
			d := lab.Device{ID: model, Driver: model}
			if model == "nvme" {
				d = lab.NVMe(model)
			}
			s.plugged[model] = s.plugDevice(d)
		}
		time.Sleep(time.Duration(s.random.IntN(3000)) * time.Millisecond) // so that what happens next happens at any moment
	}
	return acts
}

// right waits until every device is in its right state, and driverd at rest.
func (s *soak) right() {
	s.Helper()
	s.until("driverd status >/dev/null") // it may have been ended
	s.awaitDevices(func(shown []api.Device) string {
		for _, model := range models {
			slot, in := s.plugged[model.name]
			if !in {
				continue
			}
			i := slices.IndexFunc(shown, func(d api.Device) bool { return d.Slot == slot.String() })
			if i < 0 {
				return fmt.Sprintf("driverd does not show the %s at %s", model.name, slot)
			}
			d := shown[i]
			if model.driver == "" && d.State == "unsupported" && d.Reason == "no-driver" || model.driver != "" && d.State == "bound" && d.Driver == model.driver {
				continue
			}
			return fmt.Sprintf("%s at %s: %s %s %s", model.name, slot, d.State, d.Reason, d.Message)
		}
		return ""
	})
	s.agrees()
	s.idle()
	s.rest()
}

// forget removes by hand all packages of drivers, and the modules of those that
// have no device, so that they are missing when the next one comes.
func (s *soak) forget() {
	s.Helper()
	s.sh("! systemctl is-active --quiet dnf5daemon-server.service || systemctl stop dnf5daemon-server.service")
	for _, model := range models {
		if _, in := s.plugged[model.name]; !in && model.driver != "" {
			s.sh("test ! -e /sys/module/%[1]s || rmmod %[1]s", model.driver)
		}
	}
	s.sh("rpm -qa kernel-modules-sriov kernel-modules-passthrough | xargs -r rpm -e")
}
