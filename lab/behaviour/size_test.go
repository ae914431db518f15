// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// What an image pays for driverd, in bytes: a tenth or so above what it is now.
const (
	packageBudget = 3_200_000 // to download
	binaryBudget  = 9_000_000 // on the disk
)

func TestSizeBudget(t *testing.T) {
	file := rpm(t)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "rpm", "-qp", "--nosignature", "--qf", "[%{FILENAMES} %{FILESIZES}\n]", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(out), "/usr/bin/driverd ")
	size, _, _ := strings.Cut(rest, "\n")
	binary, err := strconv.ParseInt(size, 10, 64)
	if !found || err != nil {
		t.Fatalf("cannot find the binary in %s: %v: %s", file, err, out)
	}
	t.Logf("package %d bytes, binary %d bytes", info.Size(), binary)
	if info.Size() > packageBudget {
		t.Errorf("the package has %d bytes, more than %d", info.Size(), packageBudget)
	}
	if binary > binaryBudget {
		t.Errorf("the binary has %d bytes, more than %d", binary, binaryBudget)
	}
}
