// SPDX-License-Identifier: Apache-2.0

package kernelsplit_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"driverd/internal/kerneltest"
	"driverd/kernelsplit"
)

func TestReport(t *testing.T) {
	dir := kerneltest.WriteTree(t, t.TempDir(), release, []*kernelsplit.Module{
		{Path: "kernel/drivers/net/veth.ko.xz"},
		{Path: "kernel/net/plain.ko", Firmware: []string{strings.Repeat("compresses well ", 4000)}},
		{Path: "kernel/drivers/leds/led.ko.xz"},
	})
	tree, err := kernelsplit.ReadTree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	split, err := kernelsplit.Divide(release, tree.Modules, kernelsplit.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	packed, err := tree.Compress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	base, all := split.Sum(packed, kernelsplit.Base), split.Sum(packed, kernelsplit.Groups()...)
	var onDisk int64
	for _, m := range tree.Modules {
		info, err := os.Stat(filepath.Join(dir, m.Path))
		if err != nil {
			t.Fatal(err)
		}
		onDisk += info.Size()
	}
	if base.Modules != 2 || all.Modules != 3 || all.Installed != onDisk {
		t.Errorf("base %+v, all %+v, %d bytes on disk", base, all, onDisk)
	}
	if base.Compressed > base.Installed/10 {
		t.Errorf("a plain module that compresses well: %+v", base)
	}
	var out strings.Builder
	if err := split.Report(&out, packed); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^ *base +2 +0 `).MatchString(out.String()) {
		t.Errorf("no line for the base in\n%s", out.String())
	}
}
