// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/api"
	"driverd/internal/guest"
)

func TestKernelLog(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	about := func() []string {
		x := api.Explanation{Device: &api.Device{Slot: "0000:01:00.0"}}
		guest.AddKernelLog(&x, root)
		return x.KernelLog
	}
	if got := about(); len(got) != 0 {
		t.Errorf("no log, and yet %q", got)
	}
	var log strings.Builder
	for n := range 7 {
		fmt.Fprintf(&log, "6,%d,5140900,-;igb 0000:01:00.0: step %d; and on\n SUBSYSTEM=pci\n DEVICE=+pci:0000:01:00.0\n", n, n)
		fmt.Fprintf(&log, "6,%d,5140901,-;igb 0000:02:00.0: another card\nno record: 0000:01:00.0\n", n)
	}
	if err := os.MkdirAll(filepath.Join(root, "dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "dev/kmsg"), []byte(log.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var want []string
	for n := 2; n < 7; n++ {
		want = append(want, fmt.Sprintf("igb 0000:01:00.0: step %d; and on", n))
	}
	if diff := cmp.Diff(want, about()); diff != "" {
		t.Error(diff)
	}
}
