// SPDX-License-Identifier: Apache-2.0

package kernelsplit_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"driverd/kernelsplit"
)

func TestDefaultRules(t *testing.T) {
	const net, hw = "kernel/drivers/net/ethernet/", "kernel/drivers/infiniband/hw/"
	pci := []string{"pci:v00001234d00005678sv*sd*bc*sc*i*"}
	sriov := []string{"pci_enable_sriov"}
	modules := []*kernelsplit.Module{
		{Path: net + "intel/igb/igb.ko.xz", Imports: sriov, Aliases: pci},
		{Path: net + "intel/igbvf/igbvf.ko", Aliases: pci},
		{Path: net + "intel/i40e/i40e.ko", Imports: []string{"pci_sriov_configure_simple"}, Aliases: pci},
		{Path: net + "qlogic/qed/qed.ko", Imports: sriov, Aliases: pci},
		{Path: net + "qlogic/qede/qede.ko", Depends: []string{"qed"}, Aliases: pci},
		{Path: net + "intel/e1000e/e1000e.ko", Depends: []string{"ptp"}, Aliases: pci},
		{Path: net + "amazon/ena/ena.ko", Aliases: pci},
		{Path: net + "microsoft/mana/mana.ko", Aliases: pci},
		{Path: net + "chelsio/cxgb4/cxgb4.ko", Imports: sriov, Aliases: pci},
		{Path: "kernel/drivers/target/iscsi/cxgbit/cxgbit.ko", Depends: []string{"cxgb4"}},
		{Path: hw + "efa/efa.ko", Aliases: pci},
		{Path: hw + "mana/mana_ib.ko", Depends: []string{"mana"}, Aliases: []string{"auxiliary:mana.rdma"}},
		{Path: hw + "irdma/irdma.ko", Depends: []string{"i40e"}},
		{Path: "kernel/drivers/ptp/ptp.ko"},
		{Path: "kernel/drivers/net/vmxnet3/vmxnet3.ko", Aliases: pci},
		{Path: "kernel/drivers/net/virtio_net.ko"},
		{Path: "kernel/drivers/net/veth.ko"},
		{Path: "kernel/drivers/net/wireless/intel/iwlwifi/iwlwifi.ko", Aliases: pci},
		{Path: "kernel/drivers/net/phy/realtek/realtek.ko", Aliases: []string{"mdio:0000000000011100110010??????????"}},
		{Path: "kernel/drivers/nvme/host/nvme.ko", Imports: []string{"pci_sriov_configure_simple"}, Aliases: pci},
		{Path: "kernel/drivers/gpu/drm/drm.ko"},
		{Path: "kernel/drivers/gpu/drm/ttm/ttm.ko", Depends: []string{"drm"}},
		{Path: "kernel/drivers/gpu/drm/amd/amdgpu/amdgpu.ko", Depends: []string{"ttm", "drm"}, Aliases: pci},
		{Path: "kernel/drivers/gpu/drm/xe/xe.ko", Depends: []string{"drm"}, Imports: sriov, Aliases: pci},
		{Path: "kernel/drivers/gpu/drm/tiny/bochs.ko", Depends: []string{"drm"}, Aliases: pci},
		{Path: "kernel/drivers/gpu/drm/virtio/virtio-gpu.ko", Depends: []string{"drm"}},
		{Path: "kernel/drivers/accel/habanalabs/habanalabs.ko", Aliases: pci},
		{Path: "kernel/drivers/scsi/megaraid/megaraid_sas.ko", Aliases: pci},
		{Path: "kernel/drivers/scsi/lpfc/lpfc.ko", Imports: sriov, Aliases: pci},
		{Path: "kernel/drivers/scsi/sd_mod.ko"},
		{Path: "kernel/drivers/message/fusion/mptsas.ko", Aliases: pci},
		{Path: "kernel/drivers/crypto/intel/qat/qat_common/intel_qat.ko", Imports: sriov},
		{Path: "kernel/drivers/crypto/intel/qat/qat_4xxx/qat_4xxx.ko", Depends: []string{"intel_qat"}, Aliases: pci},
		{Path: "kernel/drivers/acpi/button.ko", Aliases: []string{"acpi*:PNP0C0C:*"}},
		{Path: "kernel/drivers/gpu/drm/nouveau/nouveau.ko", Aliases: pci, Depends: []string{"button"}},
		{Path: "kernel/drivers/virt/coco/sev-guest/sev-guest.ko", Aliases: []string{"platform:sev-guest"}},
		{Path: "kernel/drivers/virt/coco/tdx-guest/tdx-guest.ko", Aliases: []string{"cpu:type:x86,ven*fam*mod*:feature:*0116*"}},
		{Path: "kernel/drivers/virt/vboxguest/vboxguest.ko", Aliases: pci},
		{Path: "kernel/drivers/virt/nitro_enclaves/nitro_enclaves.ko", Aliases: pci},
		{Path: "kernel/drivers/acpi/nfit/nfit.ko", Aliases: []string{"acpi*:ACPI0012:*"}},
		{Path: "kernel/drivers/ptp/ptp_vmclock.ko", Aliases: []string{"acpi*:AMZNC10C:*"}},
		{Path: "kernel/drivers/net/ethernet/amd/pcnet32.ko", Aliases: pci},
		{Path: "kernel/drivers/hid/usbhid/usbhid.ko", Aliases: []string{"usb:v*p*d*dc*dsc*dp*ic03isc*ip*in*"}},
		{Path: "kernel/drivers/usb/host/xhci-pci.ko", Aliases: pci},
		{Path: "kernel/drivers/scsi/device_handler/scsi_dh_alua.ko"},
		{Path: "kernel/drivers/pci/controller/vmd.ko", Aliases: pci},
		{Path: "kernel/drivers/vfio/pci/vfio-pci-core.ko"},
		{Path: "kernel/drivers/vfio/pci/qat/qat_vfio_pci.ko", Depends: []string{"vfio_pci_core", "intel_qat", "qat_4xxx"}, Aliases: []string{"vfio_pci:v00008086d00004941sv*sd*bc*sc*i*"}},
		{Path: "kernel/drivers/pci/pci-pf-stub.ko", Imports: []string{"pci_sriov_configure_simple"}, Aliases: pci},
		{Path: "kernel/drivers/mmc/host/sdhci-pci.ko", Aliases: pci},
		{Path: "kernel/sound/pci/snd-es1370.ko", Aliases: pci},
		{Path: "kernel/net/netfilter/xt_comment.ko"},
		{Path: "kernel/net/mac80211/mac80211.ko"},
		{Path: "kernel/fs/overlayfs/overlay.ko"},
	}
	want := map[kernelsplit.Group]string{
		// virtio-gpu draws drm into the base, e1000e ptp; ttm is amdgpu's alone.
		kernelsplit.Base: "bochs button drm e1000e ena mana mana_ib mptsas nfit nitro_enclaves nvme overlay pcnet32 ptp ptp_vmclock " +
			"scsi_dh_alua sd_mod sev_guest tdx_guest usbhid vboxguest veth vfio_pci_core virtio_gpu virtio_net vmxnet3 xhci_pci xt_comment",
		// qede and irdma import nothing themselves.
		kernelsplit.SRIOV:       "cxgb4 cxgbit efa i40e igb igbvf irdma qed qede",
		kernelsplit.GPU:         "amdgpu habanalabs nouveau ttm xe",
		kernelsplit.Passthrough: "intel_qat lpfc megaraid_sas qat_4xxx qat_vfio_pci realtek vmd",
		kernelsplit.Hardware:    "iwlwifi mac80211 pci_pf_stub sdhci_pci snd_es1370",
	}

	split, err := kernelsplit.Divide(release, modules, kernelsplit.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range kernelsplit.Groups() {
		if diff := cmp.Diff(want[g], names(split.In(g))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", g, diff)
		}
	}
}

func names(modules []*kernelsplit.Module) string {
	set := map[string]bool{}
	for _, m := range modules {
		set[m.Name()] = true
	}
	return strings.Join(sortedKeys(set), " ")
}

func TestDivideSaysWhy(t *testing.T) {
	rules := parse(t, "sriov name=nic\npassthrough name=hba\nhardware path=kernel/")
	split, err := kernelsplit.Divide(release, []*kernelsplit.Module{
		{Path: "kernel/nic.ko", Depends: []string{"ptp"}},
		{Path: "kernel/hba.ko", Depends: []string{"ptp"}},
		{Path: "kernel/ptp.ko"},
		{Path: "kernel/radio.ko"},
	}, rules)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range split.Placements {
		got[p.Name()] = fmt.Sprintf("%s by %q", p.Group, p.Rule.Text)
		for _, m := range p.Moves {
			got[p.Name()] += fmt.Sprintf(", %s for %s", m.To, m.For.Name())
		}
	}
	want := map[string]string{
		"nic":   `sriov by "sriov name=nic"`,
		"hba":   `passthrough by "passthrough name=hba"`,
		"ptp":   `base by "hardware path=kernel/", passthrough for hba, base for nic`,
		"radio": `hardware by "hardware path=kernel/"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	why, err := split.Why("ptp")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`ptp is in base
  file: kernel/ptp.ko
  rule: hardware path=kernel/
  moved to passthrough: hba needs it (rule: passthrough name=hba)
  moved to base: nic needs it (rule: sriov name=nic)
`, why); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := split.Why("nope"); err == nil || !strings.Contains(err.Error(), "no such module") {
		t.Errorf("error %v", err)
	}
}

func TestDivideRefuses(t *testing.T) {
	rules := parse(t, "sriov name=nic\nbase name=nic path=kernel/odd/\nbase name=veth\nhardware name=radio\nbase path=kernel/")
	for _, test := range []struct {
		name    string
		modules []*kernelsplit.Module
		want    string
	}{
		{"no such dependency", []*kernelsplit.Module{{Path: "kernel/a.ko", Depends: []string{"b"}}}, "kernel/a.ko: it depends on b"},
		{"one name twice", []*kernelsplit.Module{{Path: "kernel/x/a-b.ko"}, {Path: "kernel/y/a_b.ko"}}, "kernel/x/a-b.ko has the same name"},
		{"a circle", []*kernelsplit.Module{
			{Path: "kernel/a.ko", Depends: []string{"b"}}, {Path: "kernel/b.ko", Depends: []string{"c"}}, {Path: "kernel/c.ko", Depends: []string{"a"}},
		}, "kernel/a.ko: it depends on kernel/c.ko, which depends on it"},
		{"two rules that name it", []*kernelsplit.Module{{Path: "kernel/odd/nic.ko"}}, `kernel/odd/nic.ko: rules "sriov name=nic" (line 1) and "base name=nic path=kernel/odd/" (line 2) both name it`},
		{"a rule that names it, and another's dependency", []*kernelsplit.Module{{Path: "kernel/veth.ko", Depends: []string{"radio"}}, {Path: "kernel/radio.ko"}},
			`kernel/radio.ko: rule "hardware name=radio" (line 4) names it, and rule "base name=veth" (line 3) for kernel/veth.ko, which depends on it, wants it in base`},
		{"a soft dependency that a rule forbids", []*kernelsplit.Module{{Path: "kernel/veth.ko", SoftDepends: []string{"radio"}}, {Path: "kernel/radio.ko"}},
			"kernel/radio.ko"},
	} {
		t.Run(test.name, func(t *testing.T) {
			split, err := kernelsplit.Divide(release, test.modules, rules)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, error %v, want %q", split, err, test.want)
			}
		})
	}
}

// anyModules draws modules that depend on each other, softly in any way, and on
// those before them, each with a wish of its own, and the rules that say so.
func anyModules(t *rapid.T) ([]*kernelsplit.Module, kernelsplit.Rules) {
	n := rapid.IntRange(0, 25).Draw(t, "modules")
	var modules []*kernelsplit.Module
	var text strings.Builder
	for i := range n {
		m := &kernelsplit.Module{Path: fmt.Sprintf("kernel/m-%d.ko.xz", i)}
		depends := func(n int, label string) (names []string) {
			for _, d := range rapid.SliceOfNDistinct(rapid.IntRange(0, max(0, n-1)), 0, min(n, 3), rapid.ID[int]).Draw(t, label) {
				names = append(names, fmt.Sprintf("m_%d", d))
			}
			return names
		}
		m.Depends, m.SoftDepends = depends(i, "depends"), depends(n, "softdep")
		modules = append(modules, m)
		fmt.Fprintf(&text, "%s path=kernel/m-%d.ko\n", rapid.SampledFrom(kernelsplit.Groups()).Draw(t, "group"), i)
	}
	rules, err := kernelsplit.ParseRules(text.String())
	if err != nil {
		t.Fatal(err)
	}
	return modules, rules
}

func TestDivideProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		modules, rules := anyModules(t)
		split, err := kernelsplit.Divide(release, modules, rules)
		if err != nil {
			t.Fatal(err)
		}
		group := map[string]kernelsplit.Group{}
		for _, g := range kernelsplit.Groups() { // partition
			for _, m := range split.In(g) {
				if before, twice := group[m.Name()]; twice {
					t.Errorf("%s is in %s and in %s", m.Path, before, g)
				}
				group[m.Name()] = g
			}
		}
		if len(group) != len(modules) {
			t.Errorf("%d modules became %d", len(modules), len(group))
		}
		for _, m := range modules { // closure
			for _, d := range slices.Concat(m.Depends, m.SoftDepends) {
				if !group[m.Name()].Reaches(group[d]) {
					t.Errorf("%s in %s depends on %s in %s", m.Path, group[m.Name()], d, group[d])
				}
			}
		}
		for _, p := range split.Placements { // nobody moves without a reason, and only down
			if len(p.Moves) == 0 && p.Group != p.Rule.Group || !p.Rule.Group.Reaches(p.Group) {
				t.Errorf("%s wanted %s and is in %s for %v", p.Path, p.Rule.Group, p.Group, p.Moves)
			}
		}
	})
}

func TestWriteIsDeterministic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		modules, rules := anyModules(rt)
		write := func() map[string]string {
			split, err := kernelsplit.Divide(release, modules, rules)
			if err != nil {
				rt.Fatal(err)
			}
			dir, err := os.MkdirTemp(t.TempDir(), "")
			if err != nil {
				rt.Fatal(err)
			}
			dir = filepath.Join(dir, "split")
			if err := split.Write(dir); err != nil {
				rt.Fatal(err)
			}
			return contents(rt, dir)
		}
		first := write()
		rand.Shuffle(len(modules), func(i, j int) { modules[i], modules[j] = modules[j], modules[i] })
		if diff := cmp.Diff(first, write()); diff != "" {
			rt.Errorf("another order, another split (-first +second):\n%s", diff)
		}
	})
}

func contents(t rapid.TB, dir string) map[string]string {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(f)] = string(data)
	}
	return all
}

func TestGroupsAreALattice(t *testing.T) {
	for _, a := range kernelsplit.Groups() {
		for _, b := range kernelsplit.Groups() {
			meet := a.Meet(b)
			if meet != b.Meet(a) || !a.Reaches(meet) || !b.Reaches(meet) {
				t.Errorf("%s and %s meet in %s", a, b, meet)
			}
			for _, c := range kernelsplit.Groups() {
				if a.Reaches(c) && b.Reaches(c) && !meet.Reaches(c) {
					t.Errorf("%s and %s meet in %s, but both reach %s", a, b, meet, c)
				}
				if a.Reaches(b) && b.Reaches(c) && !a.Reaches(c) {
					t.Errorf("%s reaches %s, that reaches %s, but %s does not", a, b, c, a)
				}
			}
		}
	}
}
