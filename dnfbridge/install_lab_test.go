// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"driverd/dnfbridge"
	"driverd/reason"
)

// install returns the transaction that installs subpackages of the running
// build, of which any other may come along.
func install(names ...string) dnfbridge.Transaction {
	t := dnfbridge.Transaction{Kernels: []string{release}}
	for _, name := range names {
		t.Install = append(t.Install, nevra(name))
	}
	for _, p := range world() {
		if p.NEVRA() == nevra(p.Name) {
			t.Allowed = append(t.Allowed, p.NEVRA())
		}
	}
	return t
}

// BenchmarkInstall is what an installation by a real dnf5daemon takes of its client.
func BenchmarkInstall(b *testing.B) {
	g := newGuest(b)
	used := func() int64 {
		var usage unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
			b.Fatal(err)
		}
		return usage.Utime.Nano() + usage.Stime.Nano()
	}
	var total int64
	for b.Loop() {
		before, progress := used(), func(dnfbridge.Progress) {}
		if err := g.backend(0).Install(b.Context(), install("kernel-modules-sriov"), progress); err != nil {
			b.Fatal(err)
		}
		total += used() - before
		g.run(b, "rpm", "-e", "kernel-modules-sriov")
	}
	b.ReportMetric(float64(total)/float64(b.N), "cpu-ns/op")
}

func TestInstall(t *testing.T) {
	g := newGuest(t)
	before := g.installed(t)
	var steps []dnfbridge.Progress
	err := g.backend(0).Install(t.Context(), install("kernel-modules-sriov", "kernel-modules-gpu"), func(p dnfbridge.Progress) {
		steps = append(steps, p)
	})
	if err != nil {
		t.Fatal(err)
	}
	// The repository also has a newer build: it must not be touched.
	want := append(before, nevra("kernel-modules-sriov"), nevra("kernel-modules-gpu"))
	slices.Sort(want)
	if got := g.installed(t); !slices.Equal(got, want) {
		t.Errorf("installed are %v, want %v", got, want)
	}

	var phases []dnfbridge.Phase
	var fraction float64
	unpacked := make(map[string]bool)
	for _, p := range steps {
		if p.Fraction < fraction {
			t.Errorf("progress fell from %v to %v", fraction, p.Fraction)
		}
		fraction = p.Fraction
		if p.Phase == dnfbridge.PhaseUnpacked {
			unpacked[p.Package] = true
		}
		if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
			phases = append(phases, p.Phase)
		}
	}
	if !unpacked[nevra("kernel-modules-sriov")] || !unpacked[nevra("kernel-modules-gpu")] {
		t.Errorf("unpacked are %v", unpacked)
	}
	wantPhases := []dnfbridge.Phase{
		dnfbridge.PhaseResolve, dnfbridge.PhaseDownload,
		dnfbridge.PhaseInstall, dnfbridge.PhaseUnpacked, dnfbridge.PhaseInstall, dnfbridge.PhaseUnpacked,
		dnfbridge.PhaseVerify,
	}
	if !slices.Equal(phases, wantPhases) {
		t.Errorf("phases are %v, want %v", phases, wantPhases)
	}
	last := steps[len(steps)-1]
	if last.Fraction != 1 || last.BytesTotal == 0 || last.BytesDone != last.BytesTotal {
		t.Errorf("the last step is %+v", last)
	}

	t.Run("installed already", func(t *testing.T) {
		if err := g.backend(0).Install(t.Context(), install("kernel-modules-sriov"), nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("installed already as a dependency", func(t *testing.T) {
		if err := g.backend(0).Install(t.Context(), install("kernel-modules-core"), nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		if err := g.backend(0).Install(t.Context(), dnfbridge.Transaction{}, nil); err != nil {
			t.Error(err)
		}
	})
}

// What is installed and spoilt is installed once more; what is not stays so.
func TestInstallAgain(t *testing.T) {
	g := newGuest(t)
	if err := g.backend(0).Install(t.Context(), install("kernel-modules-sriov", "kernel-modules-badpost"), nil); err != nil {
		t.Fatal(err)
	}
	before := g.installed(t)
	files := strings.Fields(g.run(t, "rpm", "-ql", nevra("kernel-modules-sriov"), nevra("kernel-modules-badpost")))
	g.run(t, "truncate", append([]string{"-s0"}, files...)...)
	again := install("kernel-modules-sriov", "kernel-modules-badpost", "kernel-modules-gpu")
	again.Reinstall = true
	var coming []string
	again.Commit = func(nevras []string) error {
		coming = slices.Sorted(slices.Values(nevras))
		return nil
	}
	if err := g.backend(0).Install(t.Context(), again, nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{nevra("kernel-modules-badpost"), nevra("kernel-modules-sriov")}; !slices.Equal(coming, want) {
		t.Errorf("what came is %v, want %v", coming, want)
	}
	if got := g.installed(t); !slices.Equal(got, before) {
		t.Errorf("installed are %v, want %v", got, before)
	}
	g.run(t, "rpm", "-V", nevra("kernel-modules-sriov"), nevra("kernel-modules-badpost"))
	again.Install = []string{nevra("kernel-modules-gpu")}
	if err := g.backend(0).Install(t.Context(), again, nil); err != nil {
		t.Errorf("nothing that is installed: %v", err)
	}
}

func TestInstallBringsAllowedAlong(t *testing.T) {
	g := newGuest(t)
	if err := g.backend(0).Install(t.Context(), install("kernel-modules-needs-gpu"), nil); err != nil {
		t.Fatal(err)
	}
	if got := g.installed(t); !slices.Contains(got, nevra("kernel-modules-gpu")) {
		t.Errorf("installed are %v", got)
	}
}

// What is installed may serve a requirement without being part of the plan, as
// the shell of a scriptlet does.
func TestInstalledPackageServesRequirement(t *testing.T) {
	g := newGuest(t)
	if err := g.backend(0).Install(t.Context(), install("kernel-modules-needs-tool"), nil); reason.Of(err) != reason.TransactionRefused {
		t.Errorf("without the tool: %v, want it refused", err)
	}
	g.run(t, "dnf5", "-y", "install", "tool")
	if err := g.backend(0).Install(t.Context(), install("kernel-modules-needs-tool"), nil); err != nil {
		t.Error(err)
	}
}

// TestBesideANewerBuild installs for a kernel that runs although a newer one is
// there, with the same subpackages.
func TestBesideANewerBuild(t *testing.T) {
	g := newGuest(t)
	g.run(t, "dnf5", "-y", "install", "kernel-core-uname-r = "+newer, "kernel-modules-sriov-uname-r = "+newer, "kernel-modules-gpu-uname-r = "+newer)
	before := g.installed(t)
	if err := g.backend(0).Install(t.Context(), install("kernel-modules-needs-gpu", "kernel-modules-sriov"), nil); err != nil {
		t.Fatal(err)
	}
	want := append(before, nevra("kernel-modules-needs-gpu"), nevra("kernel-modules-sriov"), nevra("kernel-modules-gpu"))
	slices.Sort(want)
	if got := g.installed(t); !slices.Equal(got, want) {
		t.Errorf("installed are %v, want %v", got, want)
	}
}

// TestOldBuildsStay has as many builds installed as dnf's installonly_limit
// lets live: one more would push the oldest out, and the guard would refuse.
func TestOldBuildsStay(t *testing.T) {
	g := newGuest(t)
	for _, old := range olderReleases {
		g.run(t, "dnf5", "-y", "install", subpackage("kernel-modules-sriov", old).NEVRA())
	}
	before := g.installed(t)
	if err := g.backend(0).Install(t.Context(), install("kernel-modules-sriov"), nil); err != nil {
		t.Fatal(err)
	}
	want := append(before, nevra("kernel-modules-sriov"))
	slices.Sort(want)
	if got := g.installed(t); !slices.Equal(got, want) {
		t.Errorf("installed are %v, want %v", got, want)
	}
}

func TestInstallIsRefused(t *testing.T) {
	g := newGuest(t)
	g.run(t, "dnf5", "-y", "--setopt=obsoletes=0", "install", "victim-1-1")
	before := g.installed(t)
	for _, test := range []struct {
		name    string
		install dnfbridge.Transaction
		reason  reason.Reason
		says    string
	}{
		{"a foreign dependency", install("kernel-modules-foreign"), reason.TransactionRefused, "foreign-1-1.x86_64"},
		{"an obsoleted package", install("kernel-modules-replacer"), reason.TransactionRefused, "victim-1-1.x86_64"},
		{"a conflict with an installed one", install("kernel-modules-hater"), reason.TransactionFailed, "victim"},
		{"a subpackage that is not allowed", dnfbridge.Transaction{Install: []string{nevra("kernel-modules-needs-gpu")}}, reason.TransactionRefused, nevra("kernel-modules-gpu")},
		{"a missing dependency", install("kernel-modules-broken"), reason.TransactionFailed, "nobody-has-this"},
		{"a package that nobody has", install("kernel-modules-none"), reason.NoPackage, "kernel-modules-none"},
		{"an unsigned package", install("kernel-modules-unsigned"), reason.UntrustedPackage, "not signed"},
		{"a failing %pre", install("kernel-modules-badpre"), reason.TransactionFailed, "%pre scriptlet of " + nevra("kernel-modules-badpre")},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := g.backend(0).Install(t.Context(), test.install, nil)
			if reason.Of(err) != test.reason {
				t.Errorf("the reason of %v is %q, want %q", err, reason.Of(err), test.reason)
			}
			if err == nil || !strings.HasPrefix(err.Error(), "cannot install "+test.install.Install[0]) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error is %v, want it to name %q", err, test.says)
			}
			if got := g.installed(t); !slices.Equal(got, before) {
				t.Errorf("installed are %v, want %v", got, before)
			}
			t.Log(err)
		})
	}
}

func TestFailedPostIsInstalled(t *testing.T) {
	g := newGuest(t)
	if err := g.backend(0).Install(t.Context(), install("kernel-modules-badpost"), nil); err != nil {
		t.Fatal(err)
	}
	if got := g.installed(t); !slices.Contains(got, nevra("kernel-modules-badpost")) {
		t.Errorf("installed are %v", got)
	}
}
