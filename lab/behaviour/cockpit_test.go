// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"testing"

	"driverd/api"
	"driverd/hwdetect"
	"driverd/lab"
	"driverd/lab/rpmrepo"
)

// hostileName is what a list of names may call a device.
const hostileName = `<img src=x onerror="document.title='owned'"><b>RAID</b>`

// cockpit is a guest with Debian's Cockpit, and Debian's Chromium here that shows our page.
type cockpit struct {
	guest
	browser
	repo    *rpmrepo.Repository
	address string
}

func newCockpit(t *testing.T) cockpit {
	t.Helper()
	if err := lab.Prepare(t.Context(), "chromium"); err != nil {
		t.Fatal(err)
	}
	image, err := lab.BuildCockpitImage(t.Context(), rpm(t), built(t, "cockpit-driverd-*.rpm"))
	if err != nil {
		t.Fatal(err)
	}
	c := cockpit{repo: rpmrepo.NewRepository(image.Repo)}
	c.guest = resume(t, lab.Options{Image: image, Repo: c.repo})
	if c.address, err = c.vm.Forward(c.patient(), 9090); err != nil {
		t.Fatal(err)
	}
	c.sh("systemctl start cockpit.service") // which makes its certificate first
	c.browser = browse(t)
	return c
}

// then is a step that goes on from where the one before it has ended.
func (c cockpit) then(t *testing.T, name string, does func(*testing.T, guest, browser)) {
	t.Helper()
	if !t.Run(name, func(t *testing.T) { does(t, c.guest.in(t), c.browser.in(t)) }) {
		t.FailNow()
	}
}

// administers logs in an administrator, who gets the rights by Cockpit's own dialogue.
func (b browser) administers(address string) {
	b.Helper()
	b.logIn(address, lab.CockpitAdmin)
	b.sees("You have limited access")
	b.do(step{Do: "click", Top: true, Role: "button", Name: "Limited access"})
	b.do(step{Do: "fill", Top: true, CSS: `.pf-v6-c-modal-box input[type="password"]`, Value: lab.CockpitPassword})
	b.do(step{Do: "click", Top: true, Role: "button", Name: "Authenticate"})
	b.do(step{Do: "see", Top: true, Role: "button", Name: "Administrative access"})
	b.do(step{Do: "see", Role: "heading", Name: "Devices"})
	b.do(step{Do: "gone", Text: "You have limited access"})
	b.do(step{Do: "run", Value: "window.loaded = 'once'"})
}

// isTheSame sees that the page was not loaded again since the administrator came.
func (b browser) isTheSame() {
	b.Helper()
	if got := b.do(step{Do: "run", Value: "window.loaded"}); got != "once" {
		b.Error("the page was loaded again")
	}
}

// TestMainJobInCockpit has the page show the main job, and a failure with its way out.
func TestMainJobInCockpit(t *testing.T) {
	t.Parallel()
	c := newCockpit(t)
	// Names are read when a device comes.
	c.sh(`sed -i "s|^\t0060  .*|\t0060  %s|" /usr/share/misc/pci.ids`, `<img src=x onerror=\"document.title='owned'\"><b>RAID</b>`)

	c.then(t, "a card comes up without a reload", func(t *testing.T, g guest, b browser) {
		b.administers(c.address)
		nic := g.plug("nic", "igb")
		b.seesIn(nic.String(), "igb")
		b.seesIn(nic.String(), "bound")
		b.seesIn(nic.String(), "net/"+g.sh("ls /sys/bus/pci/devices/%s/net", nic))
		g.bound(nic, "igb")
		b.isTheSame()
		b.do(step{Do: "click", Row: nic.String(), Role: "button", Name: "Details"})
		b.sees("What happened when")
		g.idle()
	})

	c.then(t, "a failure says the way out, and is put right", func(t *testing.T, g guest, b browser) {
		c.repo.Fail(".rpm", rpmrepo.NotFound)
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
		c.repo.Fail("", rpmrepo.NoFault)
		b.click("Rescan")
		b.seesIn(raid.String(), "bound")
		g.bound(raid, "megaraid_sas")

		// The name of the card is what is in the list, and no more than a text.
		b.seesIn(raid.String(), hostileName)
		if got := b.do(step{Do: "run", Value: "document.images.length + document.title"}); got != "0Drivers" {
			t.Errorf("the page has become %s", got)
		}
	})
	c.healthy()
}

// TestCockpit does with the page all that it offers, with rights and without.
func TestCockpit(t *testing.T) {
	t.Parallel()
	c := newCockpit(t)

	c.then(t, "somebody without rights sees, and cannot act", func(t *testing.T, g guest, b browser) {
		b.logIn(c.address, lab.CockpitVisitor)
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

	c.then(t, "a group is planned, installed with progress, and cancelled", func(t *testing.T, g guest, b browser) {
		b.administers(c.address)
		c.repo.Fail(".rpm", rpmrepo.Slow)
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

		c.repo.Fail("", rpmrepo.NoFault)
		b.plans("gpu", "kernel-modules-gpu-")
		b.installs()
		b.do(step{Do: "see", CSS: `.jobs li:first-child :text("done")`})
		if got := g.subpackages(); got["kernel-modules-gpu"] == "" {
			t.Errorf("installed: %v", got)
		}
	})

	var edu hwdetect.Slot
	c.then(t, "a driver from outside the kernel is enabled, and disabled", func(t *testing.T, g guest, b browser) {
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

	c.then(t, "the service ends, and starts anew", func(t *testing.T, g guest, b browser) {
		// The page reads what a rescan changes; a reading that crosses the end cancels it if it starts the service.
		g.sh("for i in 1 2 3 4 5; do systemctl start driverd.service && driverd rescan && systemctl stop driverd.service || exit; done")
		b.sees("The driver service is not running now")
		b.seesIn("0000:00:09.0", "bound")
		g.sh("systemctl start driverd.service")
		b.do(step{Do: "gone", Text: "The driver service is not running now"})
		nic := g.plug("nic", "igb")
		b.seesIn(nic.String(), "bound")
		b.isTheSame()
		g.unplug("nic")
		b.do(step{Do: "gone", Role: "row", Name: nic.String()})
	})

	c.then(t, "the mode is changed, and the history tells", func(t *testing.T, g guest, b browser) {
		b.click("Mode: auto")
		b.do(step{Do: "click", Role: "menuitem", Name: "observe"})
		b.do(step{Do: "see", Role: "button", Name: "Mode: observe"})
		b.seesIn("set-mode", "observe")
		b.accessible("page")
		b.do(step{Do: "scroll", Role: "heading", Name: "History"})
		b.shot("history-light")
	})

	c.then(t, "a session that loses its rights", func(t *testing.T, g guest, b browser) {
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

	c.healthy()
	c.then(t, "the bus goes away, with the service, and both are there again", func(t *testing.T, g guest, b browser) {
		g.sh("systemctl kill --signal=KILL dbus.service")
		// Cockpit tells no page of it, and a session does not find the bus again.
		b.click("Rescan")
		b.sees("Transport endpoint is not connected")
		b.seesIn("0000:00:09.0", "bound")
		b.accessible("bus")
		g.until("busctl status %s", api.BusName)
		b.logIn(c.address, lab.CockpitAdmin)
		b.seesIn("0000:00:09.0", "bound")
	})
}
