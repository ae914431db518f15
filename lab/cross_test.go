// SPDX-License-Identifier: Apache-2.0

//go:build lab

package lab_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"driverd/lab"
)

// pure are the packages whose tests need nothing of a machine but its processor, and start no
// program: in the fork of one that has threads, qemu-user can wait for itself.
var pure = []string{
	"reason", "kernelbuild", "hwdetect", "hwdetect/modalias", "hwdetect/kmod", "hwdetect/kmsg", "hwdetect/pciids",
	"plan", "daemon/jobs", "daemon/ledger", "daemon/phase", "internal/redact",
}

// TestOtherArchitectures builds driverd, whole, for the architectures that are not the
// guest's, and runs it and its unit tests: those of 32 bits on this machine's processor,
// those of ARM, as far as they are pure, on an emulated one.
func TestOtherArchitectures(t *testing.T) {
	if err := lab.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		arch     lab.Architecture
		packages []string
	}{
		{lab.I386, slices.Concat(pure, []string{
			"hwdetect/firmware", "hwdetect/modprobe", "hwdetect/sysfs", "dnfbridge", "daemon/bus", "daemon/config", "daemon/gate", "daemon/journal",
			"daemon/load", "daemon/outside", "daemon/state", "internal/guest", "internal/image", "internal/tree",
		})},
		{lab.AArch64, pure},
	} {
		t.Run(test.arch.Go, func(t *testing.T) {
			env, err := test.arch.EnvironmentHere(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			of := func(argv ...string) string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
				cmd.Dir, cmd.Env = "..", env
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
				}
				return string(out)
			}
			program := filepath.Join(t.TempDir(), "driverd")
			of("go", "build", "-o", program, "./cmd/driverd")
			if said := of(slices.Concat(test.arch.Runner, []string{program, "--version"})...); !strings.Contains(said, "driverd version") {
				t.Errorf("driverd --version: %s", said)
			}
			tests := []string{"go", "test"}
			if test.arch.Runner != nil {
				tests = append(tests, "-exec", strings.Join(test.arch.Runner, " "))
			}
			for _, pkg := range test.packages {
				tests = append(tests, "./"+pkg)
			}
			t.Log(of(tests...))
		})
	}
}
