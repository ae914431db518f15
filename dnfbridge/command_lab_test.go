// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"driverd/dnfbridge"
)

// command is dnf5's command line in the guest, as the maker of an image has it there.
func (g *guest) command(t *testing.T) dnfbridge.Command {
	t.Helper()
	bin := t.TempDir()
	script := "#!/bin/bash\nexec"
	for _, arg := range g.Command(t.Context(), "/usr/bin/dnf5").Args {
		script += fmt.Sprintf(" %q", arg)
	}
	script += " \"${@//$GUEST//}\"\n"
	if err := os.WriteFile(filepath.Join(bin, "dnf5"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	g.run(t, "mkdir", "-p", "/usr/lib/modules")
	t.Setenv("GUEST", g.Path("/"))
	t.Setenv("TMPDIR", g.Path("/tmp"))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return dnfbridge.Command{Root: g.Path("/")}
}

// TestCommandChecksSignatures installs for an image what nobody has signed, and what is
// signed by a key that the image does not trust.
func TestCommandChecksSignatures(t *testing.T) {
	g := newGuest(t)
	c := g.command(t)
	before := g.installed(t)
	transaction := func(name string) dnfbridge.Transaction {
		t := install(name)
		t.Kernels = []string{release}
		return t
	}
	refused := func(name, says string) {
		t.Helper()
		if err := c.Install(t.Context(), transaction(name)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q in it", name, err, says)
		}
		if got := g.installed(t); !slices.Equal(got, before) {
			t.Errorf("%s: installed are %v, want %v", name, got, before)
		}
	}
	refused("kernel-modules-unsigned", "not signed")
	g.run(t, "sh", "-ec", "rpm -e --allmatches gpg-pubkey")
	refused("kernel-modules-sriov", "key")
	g.run(t, "rpm", "--import", "/etc/pki/rpm-gpg/test.asc")
	if err := c.Install(t.Context(), transaction("kernel-modules-sriov")); err != nil {
		t.Error(err)
	}
}
