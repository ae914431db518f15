// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"slices"
	"testing"

	"driverd/dnfbridge"
	"driverd/reason"
)

// Firmware is found by its package's name and by its file, and is installed with
// the driver in one transaction that brings nothing else.
func TestFirmware(t *testing.T) {
	g := newGuest(t)
	d := g.backend(0)
	find := func(what ...string) []dnfbridge.Package {
		t.Helper()
		packages, err := d.Find(t.Context(), what, false)
		if err != nil {
			t.Fatal(err)
		}
		return packages
	}
	names := func(packages []dnfbridge.Package) (all []string) {
		for _, p := range packages {
			all = append(all, p.NEVRA)
		}
		return all
	}
	paths := func(file string) []string {
		file = "/usr/lib/firmware/" + file
		return []string{file, file + ".xz", file + ".zst"}
	}
	for name, test := range map[string]struct{ what, want []string }{
		"by name":          {[]string{"qed-firmware", "no-firmware"}, []string{qed.NEVRA()}},
		"by file":          {paths("qed/init.bin"), []string{qed.NEVRA()}},
		"by file, plain":   {paths("qed/plain.bin"), []string{qed.NEVRA()}},
		"no such file":     {paths("qed/other.bin"), nil},
		"no such name":     {[]string{"no-firmware"}, nil},
		"not by a Provide": {[]string{"kmod(igb.ko)"}, nil},
		"by both":          {append(paths("qed/init.bin"), whence.Name), []string{whence.NEVRA(), qed.NEVRA()}},
	} {
		if got := names(find(test.what...)); !slices.Equal(got, test.want) {
			t.Errorf("%s: found %q, want %q", name, got, test.want)
		}
	}
	// Of a package whose name says nothing its files do.
	from, err := d.Firmware(t.Context(), release, nil, []string{qed.NEVRA(), whence.NEVRA(), nevra("kernel-modules-sriov")})
	if err != nil || len(from) != 1 || !slices.Equal(from[qed.NEVRA()], []string{"kernel"}) {
		t.Errorf("firmware is %v, %v", from, err)
	}
	for _, p := range find("qed-firmware") {
		if p.Installed || p.RepoID != "kernel" || p.DownloadSize == 0 {
			t.Errorf("found %+v", p)
		}
	}

	before := g.installed(t)
	both := dnfbridge.Transaction{Install: []string{nevra("kernel-modules-sriov"), qed.NEVRA()}}
	if err := d.Install(t.Context(), both, nil); reason.Of(err) != reason.TransactionRefused {
		t.Errorf("without what the firmware requires: %v (%s)", err, reason.Of(err))
	}
	both.Allowed = []string{whence.NEVRA()}
	if err := d.Install(t.Context(), both, nil); err != nil {
		t.Fatal(err)
	}
	want := append(before, nevra("kernel-modules-sriov"), qed.NEVRA(), whence.NEVRA())
	slices.Sort(want)
	if got := g.installed(t); !slices.Equal(got, want) {
		t.Errorf("installed are\n%q, want\n%q", got, want)
	}
	if got := find("qed-firmware"); len(got) != 1 || !got[0].Installed {
		t.Errorf("once installed: %+v", got)
	}
}
