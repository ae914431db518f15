// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRecordedGuests has the service see what guests of other hypervisors show: each
// file of testdata/guests says where it is from, and what of it is made up. A card
// comes, and udev says so; it ends with the driver bound, or with the reason why not.
func TestRecordedGuests(t *testing.T) {
	const sriov, gpu, passthrough = "kernel-modules-sriov-7.2.12-1.x86_64", "kernel-modules-gpu-7.2.12-1.x86_64", "kernel-modules-passthrough-7.2.12-1.x86_64"
	seen := make(map[string]bool)
	for _, c := range []struct {
		guest     string
		slot      string
		driver    string // that takes it in the end, empty if none does
		packages  []string
		reason    string
		functions []string
	}{
		{guest: "hyperv-connectx3", slot: "bc86:00:02.0", driver: "mlx4_core", packages: []string{sriov}, functions: []string{"net/eth1/eth2"}},
		{guest: "azure-mana", slot: "7870:00:00.0", driver: "mana", packages: []string{sriov}, functions: []string{"net/e2/vf_eth0", "net/e3/vf_eth1"}},
		{guest: "azure-gpu", slot: "0001:00:00.0", reason: "vendor-driver"},
		{guest: "kvm-amdgpu", slot: "0000:23:00.0", driver: "amdgpu", packages: []string{gpu, "amd-gpu-firmware-20260221-1.noarch"}, functions: []string{"drm/card1"}},
		{guest: "azure-nvme", slot: "826e:00:00.0", driver: "nvme", functions: []string{"block/nvme0n1", "nvme/nvme0"}},
		{guest: "esxi-directpath", slot: "0000:13:00.0", driver: "ixgbevf", packages: []string{sriov}, functions: []string{"net/ens224"}},
		{guest: "esxi-vgpu", slot: "0000:02:02.0", reason: "vendor-driver"},
		{guest: "vmd-domain", slot: "0000:d7:05.5", driver: "vmd", packages: []string{passthrough}},
		{guest: "aws-ena", slot: "0000:00:05.0", driver: "ena", functions: []string{"net/ens5"}},
		{guest: "aws-efa", slot: "0000:00:06.0", driver: "efa", packages: []string{sriov}, functions: []string{"infiniband/rdmap0s6"}},
		{guest: "aws-ebs", slot: "0000:00:1f.0", driver: "nvme", functions: []string{"block/nvme1n1", "nvme/nvme1"}},
		{guest: "gcp-gvnic", slot: "0000:00:04.0", driver: "gve", functions: []string{"net/ens4"}},
		{guest: "gcp-idpf", slot: "0000:00:05.0", driver: "idpf", packages: []string{sriov}, functions: []string{"net/ens5"}},
	} {
		seen[c.guest+".txtar"] = true
		t.Run(c.guest, func(t *testing.T) {
			w := replay(t, c.guest)
			w.copyConfig("usr/share/driverd/driverd.toml.d/50-nouveau.toml", "../../packaging/driverd.toml.d/50-nouveau.toml")
			w.copyConfig("usr/share/driverd/vendor.d/nvidia-open.toml", "../../packaging/vendor.d/nvidia-open.toml")
			w.start()
			before := w.settled()
			w.plug()
			d := w.giving(c.slot, c.functions)
			if c.driver == "" {
				if d.State != "blocked" || d.Reason != c.reason || d.Driver != "" {
					t.Errorf("%s is %s (%s): %s", c.slot, d.State, d.Reason, d.Message)
				}
			} else if d.State != "bound" || d.Driver != c.driver || !slices.Equal(d.Functions, append([]string{}, c.functions...)) {
				t.Errorf("%s is %s (%s) with %q, and gives %q: %s", c.slot, d.State, d.Reason, d.Driver, d.Functions, d.Message)
			}
			w.recorded(c.slot, c.functions)
			if got := w.installed(); !slices.Equal(got, c.packages) {
				t.Errorf("installed are %q, want %q", got, c.packages)
			}
			// The others are what they were.
			after := w.settled(c.slot)
			for slot, b := range before {
				if a := after[slot]; a.State != b.State || a.Driver != b.Driver {
					t.Errorf("%s was %s with %q, and is %s with %q", slot, b.State, b.Driver, a.State, a.Driver)
				}
			}
			if c.guest == "vmd-domain" {
				if disk := after["10001:01:00.0"]; disk.State != "bound" || disk.Driver != "nvme" {
					t.Errorf("the disk behind it is %s with %q: %s", disk.State, disk.Driver, disk.Message)
				}
			}
		})
	}
	files, err := os.ReadDir(filepath.Join("testdata", "guests"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !seen[file.Name()] {
			t.Errorf("nothing replays %s", file.Name())
		}
	}
}

// TestTwoDomains has cards at the same place of three domains, which are three devices.
func TestTwoDomains(t *testing.T) {
	w := replay(t, "aws-ena")
	w.start()
	const igb, raid, mana = "pci:v00008086d000010C9sv00000000sd00000000bc02sc00i00", "pci:v00001000d00000060sv00000000sd00000000bc01sc04i00", "pci:v00001414d000000BAsv00000000sd00000000bc02sc00i00"
	for slot, modalias := range map[string]string{"0000:01:00.0": igb, "7870:01:00.0": mana, "10001:01:00.0": raid} {
		w.add(slot, modalias)
	}
	devices := w.settled("0000:01:00.0", "7870:01:00.0", "10001:01:00.0")
	for slot, driver := range map[string]string{"0000:01:00.0": "igb", "7870:01:00.0": "mana", "10001:01:00.0": "megaraid_sas"} {
		if d := devices[slot]; d.State != "bound" || d.Driver != driver {
			t.Errorf("%s is %s (%s) with %q, want %s", slot, d.State, d.Reason, d.Driver, driver)
		}
	}
}

// TestHostileTree has a tree say what no kernel does: names that are no slots, links that
// lead out of it or in circles. The service goes by what it can read, and lives.
func TestHostileTree(t *testing.T) {
	const igb = "pci:v00008086d000010C9sv00000000sd00000000bc02sc00i00"
	w := replay(t, "hyperv-connectx3")
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.MkdirAll(filepath.Join(outside, "device"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"0000:01:00.8", "0000:1:00.0", "00000:01:00.0", "BC86:00:03.0", "0000:01:00.0.1", "card"} {
		w.add(name, igb)
	}
	w.add("0000:02:00.0", "pci:v00008086d000010C9sv00000000sd00000000bc02sc00i00\x1b[2J")
	driver := w.add("0000:03:00.0", igb)
	w.bed.Link(driver, "driver", "../\n\x1b]0;root\a")
	circle := w.add("0000:04:00.0", igb)
	w.bed.Link(circle, "physfn", "../0000:04:00.0")
	twin := w.add("0000:05:00.0", igb)
	w.bed.Link(twin, "driver", "../../../bus/pci/drivers/igb")
	w.bed.Link(w.bed.AddBelow(twin, "net", "eth7"), "master", outside)
	w.link("sys/class/net/secret", outside)
	w.link("sys/bus/pci/devices/0000:06:00.0", outside)
	w.start() // so many events at once would end umockdev: see Emit
	w.bed.Emit(twin, "change")

	devices := w.settled("0000:02:00.0", "0000:03:00.0", "0000:04:00.0", "0000:05:00.0", "0000:06:00.0")
	for slot, d := range devices {
		if strings.ContainsFunc(d.Message+d.Driver+d.Modalias+strings.Join(d.Functions, ""), func(r rune) bool { return r < ' ' }) {
			t.Errorf("%s shows %q", slot, fmt.Sprint(d))
		}
		if !slices.Contains([]string{"0000:00", "bc86:00", "0000:02", "0000:03", "0000:04", "0000:05", "0000:06"}, slot[:7]) {
			t.Errorf("%s is taken for a device", slot)
		}
	}
	for slot, want := range map[string]string{"0000:02:00.0": "unsupported", "0000:04:00.0": "bound", "0000:05:00.0": "bound"} {
		if d := devices[slot]; d.State != want {
			t.Errorf("%s is %s (%s), want %s: %s", slot, d.State, d.Reason, want, d.Message)
		}
	}
	if d := devices["0000:05:00.0"]; !slices.Equal(d.Functions, []string{"net/eth7"}) {
		t.Errorf("0000:05:00.0 gives %q", d.Functions)
	}
	if d := devices["0000:06:00.0"]; !strings.Contains(d.Message, "out of") {
		t.Errorf("a link out of the tree is %s: %s", d.State, d.Message)
	}
}
