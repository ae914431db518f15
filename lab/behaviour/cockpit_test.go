// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"path/filepath"
	"testing"

	"driverd/api"
	"driverd/hwdetect"
	"driverd/lab"
	"driverd/lab/rpmrepo"
)

// hostileName is what a list of names may call a device.
const hostileName = `<img src=x onerror="document.title='owned'"><b>RAID</b>`

// TestCockpit uses the page as somebody does who looks after a guest with a browser:
// Debian's Cockpit in the guest, Debian's Chromium here.
func TestCockpit(t *testing.T) {
	t.Parallel()
	if err := lab.Prepare(t.Context(), "chromium"); err != nil {
		t.Fatal(err)
	}
	page, err := filepath.Glob("../../dist/cockpit-driverd-*.rpm")
	if err != nil || len(page) != 1 {
		t.Fatalf("cannot find the page's package, run make rpm: %v %v", page, err)
	}
	image, err := lab.BuildCockpitImage(t.Context(), rpm(t), page[0])
	if err != nil {
		t.Fatal(err)
	}
	repo := rpmrepo.NewRepository(image.Repo)
	g := resume(t, lab.Options{Image: image, Repo: repo})
	address, err := g.vm.Forward(g.patient(), 9090)
	if err != nil {
		t.Fatal(err)
	}
	g.sh("systemctl start cockpit.service") // which makes its certificate first
	// Names are read when a device comes.
	g.sh(`sed -i "s|^\t0060  .*|\t0060  %s|" /usr/share/misc/pci.ids`, `<img src=x onerror=\"document.title='owned'\"><b>RAID</b>`)
	b := browse(t)
	// Each step goes on from where the one before has ended.
	then := func(name string, does func(*testing.T)) {
		t.Helper()
		if !t.Run(name, does) {
			t.FailNow()
		}
	}

	then("somebody without rights sees, and cannot act", func(t *testing.T) {
		b := b.in(t)
		b.logIn(address, lab.CockpitVisitor)
		b.seesIn("0000:00:09.0", "bound")
		b.sees("You have limited access")
		b.click("Rescan")
		b.sees("Cannot look for devices again")
		b.sees("Turn on administrative access at the top of the window, and try again.")
		b.click("Close Danger alert")
		b.plans("gpu", "kernel-modules-gpu-")
		b.installs()
		b.sees("Cannot install this")
		b.sees("org.fedoraproject.driverd1.install")
		if got := g.subpackages(); len(got) != 1 {
			t.Errorf("installed: %v", got)
		}
	})

	then("by Cockpit's own dialogue, an administrator may act", func(t *testing.T) {
		b := b.in(t)
		b.logIn(address, lab.CockpitAdmin)
		b.sees("You have limited access")
		b.do(step{Do: "click", Top: true, Role: "button", Name: "Limited access"})
		b.do(step{Do: "fill", Top: true, CSS: `.pf-v6-c-modal-box input[type="password"]`, Value: lab.CockpitPassword})
		b.do(step{Do: "click", Top: true, Role: "button", Name: "Authenticate"})
		b.do(step{Do: "see", Top: true, Role: "button", Name: "Administrative access"})
		b.do(step{Do: "see", Role: "heading", Name: "Devices"})
		b.do(step{Do: "gone", Text: "You have limited access"})
		b.do(step{Do: "run", Value: "window.loaded = 'once'"})
	})

	var nic hwdetect.Slot
	then("a card comes up without a reload", func(t *testing.T) {
		g, b := g.in(t), b.in(t)
		nic = g.plug("nic", "igb")
		b.seesIn(nic.String(), "igb")
		b.seesIn(nic.String(), "bound")
		b.seesIn(nic.String(), "net/"+g.sh("ls /sys/bus/pci/devices/%s/net", nic))
		g.bound(nic, "igb")
		if got := b.do(step{Do: "run", Value: "window.loaded"}); got != "once" {
			t.Error("the page was loaded again")
		}
		b.do(step{Do: "click", Row: nic.String(), Role: "button", Name: "Details"})
		b.sees("What happened when")
		g.idle()
	})

	then("a group is planned, installed with progress, and cancelled", func(t *testing.T) {
		g, b := g.in(t), b.in(t)
		repo.Fail(".rpm", rpmrepo.Slow)
		b.plans("gpu", "kernel-modules-gpu-")
		b.sees(" to download, ")
		b.accessible("plan")
		b.installs()
		b.do(step{Do: "see", Role: "progressbar", Name: "kernel-modules-gpu-"})
		b.sees("download · ")
		b.accessible("job")
		b.click("Cancel kernel-modules-gpu-")
		b.sees("cancelled")
		if got := g.subpackages(); got["kernel-modules-gpu"] != "" {
			t.Errorf("installed: %v", got)
		}

		repo.Fail("", rpmrepo.NoFault)
		b.plans("gpu", "kernel-modules-gpu-")
		b.installs()
		b.do(step{Do: "see", CSS: `.jobs li:first-child :text("done")`})
		if got := g.subpackages(); got["kernel-modules-gpu"] == "" {
			t.Errorf("installed: %v", got)
		}
	})

	then("a failure says the way out, and is put right", func(t *testing.T) {
		g, b := g.in(t), b.in(t)
		repo.Fail(".rpm", rpmrepo.NotFound)
		raid := g.plug("raid", "megasas")
		path := api.DevicePath(raid.String())
		g.until(`busctl get-property %[1]s %[2]s %[3]s Job | grep -qx 'o "/"' && busctl get-property %[1]s %[2]s %[3]s Reason | grep -v '""'`, api.BusName, path, api.DeviceInterface)
		s, err := g.vm.Shown(g.patient(), raid)
		if err != nil || s.Message == "" {
			t.Fatalf("shown: %+v, %v", s, err)
		}
		b.seesIn(raid.String(), s.Reason)
		b.seesIn(raid.String(), s.Message)
		b.accessible("failure")
		repo.Fail("", rpmrepo.NoFault)
		b.click("Rescan")
		b.seesIn(raid.String(), "bound")
		g.bound(raid, "megaraid_sas")

		// The name of the card is what is in the list, and no more than a text.
		b.seesIn(raid.String(), hostileName)
		if got := b.do(step{Do: "run", Value: "document.images.length + document.title"}); got != "0Drivers" {
			t.Errorf("the page has become %s", got)
		}
	})

	var edu hwdetect.Slot
	then("a driver from outside the kernel is enabled, and disabled", func(t *testing.T) {
		g, b := g.in(t), b.in(t)
		g.sh("cat >/etc/driverd/vendor.d/edu.toml <<'END'\n%sEND", eduDropIn)
		edu = g.plug("edu", "edu")
		b.seesIn(edu.String(), "vendor-driver")
		b.click("Show the drivers for " + edu.String())
		b.sees("The lab's driver")
		b.accessible("vendor")
		b.click("Enable edu")
		b.do(step{Do: "see", Role: "button", Name: "Disable edu"})
		g.sh("driverd vendor | grep '^edu  *enabled'")
		b.seesIn(edu.String(), "unavailable")
		b.click("Disable edu")
		b.do(step{Do: "see", Role: "button", Name: "Enable edu"})
		g.sh("driverd vendor | grep '^edu  *disabled'")
		b.seesIn(edu.String(), "vendor-driver")
	})

	then("the service ends, and starts anew", func(t *testing.T) {
		g, b := g.in(t), b.in(t)
		g.sh("systemctl stop driverd.service")
		b.sees("The driver service is not running now")
		b.seesIn(nic.String(), "bound")
		g.sh("systemctl start driverd.service")
		b.do(step{Do: "gone", Text: "The driver service is not running now"})
		g.unplug("raid")
		b.do(step{Do: "gone", Role: "row", Name: hostileName})
		if got := b.do(step{Do: "run", Value: "window.loaded"}); got != "once" {
			t.Error("the page was loaded again")
		}
	})

	then("the mode is changed, and the history tells", func(t *testing.T) {
		b := b.in(t)
		b.click("Mode: auto")
		b.do(step{Do: "click", Role: "menuitem", Name: "observe"})
		b.do(step{Do: "see", Role: "button", Name: "Mode: observe"})
		b.seesIn("set-mode", "observe")
		b.accessible("page")
		b.do(step{Do: "scroll", Role: "heading", Name: "History"})
		b.shot("history-light")
	})

	then("a session that loses its rights", func(t *testing.T) {
		b := b.in(t)
		b.do(step{Do: "click", Top: true, Role: "button", Name: "Administrative access"})
		b.do(step{Do: "click", Top: true, Role: "button", Name: "Limit access"})
		b.sees("You have limited access")
		b.click("Rescan")
		b.sees("Cannot look for devices again")
		b.click("Show the drivers for " + edu.String())
		b.click("Enable edu")
		b.sees("Cannot enable edu")
		g.sh("driverd vendor | grep '^edu  *disabled'")
	})
	g.healthy()
}
