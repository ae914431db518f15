// SPDX-License-Identifier: Apache-2.0

package kernelsplit_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/hwdetect"
	"driverd/hwdetect/kmod"
	"driverd/kernelsplit"
)

// The index that driverd ships is made of what claims PCI devices, and the same trees
// make the same.
func TestIndex(t *testing.T) {
	old := &kernelsplit.Tree{Release: "6.1", Modules: []*kernelsplit.Module{
		{Path: "kernel/qede.ko", Depends: []string{"qed", "ptp"}, Aliases: []string{"pci:v00001077d00001664sv*sd*bc*sc*i*", "of:N*"}},
		{Path: "kernel/qed.ko", Firmware: []string{"qed/old.bin"}}, {Path: "kernel/ptp.ko"},
	}}
	current := &kernelsplit.Tree{Release: "7.2", Modules: []*kernelsplit.Module{
		{Path: "kernel/net/qede.ko.xz", Depends: []string{"qed"}, Aliases: []string{"pci:v00001077d00001664sv*sd*bc*sc*i*", "pci:v00001077d00001629sv*sd*bc*sc*i*"}},
		{Path: "kernel/net/qed.ko.xz", Firmware: []string{"qed/new.bin"}}, {Path: "kernel/usb.ko", Aliases: []string{"usb:v*"}},
	}}
	const want = `# driverd modules 1 of Debian's Linux 6.1, 7.2

module qed
firmware qed/new.bin
firmware qed/old.bin

module qede
depends qed
alias pci:v00001077d00001629sv*sd*bc*sc*i*
alias pci:v00001077d00001664sv*sd*bc*sc*i*

# end
`
	for _, trees := range [][]*kernelsplit.Tree{{old, current}, {current, old}} {
		if diff := cmp.Diff(want, kernelsplit.Index(trees...)); diff != "" {
			t.Error(diff)
		}
	}
}

// The daemon reads what the split writes.
func TestCatalogIsRead(t *testing.T) {
	split, err := kernelsplit.Divide(release, []*kernelsplit.Module{
		{Path: "kernel/net/qede.ko.xz", Depends: []string{"qed"}, SoftDepends: []string{"crc"}, Firmware: []string{"qede.bin"},
			Aliases: []string{"pci:v00001077d00001664sv*sd*bc*sc*i*", "of:N*T*Cqlogic,qede"}},
		{Path: "kernel/net/qed.ko.xz", Firmware: []string{"qed/init values.bin", "qed/init.bin"}},
		{Path: "kernel/net/qede-storage.ko.xz", Depends: []string{"qed"}, Aliases: []string{"pci:v00001077d*sv*sd*bc01sc*i*"}},
		{Path: "kernel/lib/crc.ko.xz"},
	}, parse(t, "sriov path=kernel/net/\nhardware path=kernel/"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "split")
	if err := split.Write(dir); err != nil {
		t.Fatal(err)
	}
	index, err := kmod.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for device, want := range map[string][]hwdetect.Module{
		"pci:v00001077d00001664sv00001077sd00000001bc02sc00i00": {{Name: "qede", Group: "sriov", Firmware: []string{"qede.bin", "qed/init.bin"}}},
		"pci:v00001077d00001664sv00001077sd00000001bc01sc00i00": {
			{Name: "qede_storage", Group: "sriov", Firmware: []string{"qed/init.bin"}},
			{Name: "qede", Group: "sriov", Firmware: []string{"qede.bin", "qed/init.bin"}},
		},
	} {
		var got []hwdetect.Module
		for _, c := range index.Claims(hwdetect.Shipped, device) {
			got = append(got, c.Module)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", device, diff)
		}
	}
}
