// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/go-cmp/cmp"

	"driverd/api"
)

// readsRecord has the guest recorded, and sees that what this machine's driverd
// reads out of the record is what the guest's own says.
func (g guest) readsRecord() {
	g.Helper()
	if got := g.sh("driverd record /root/record"); strings.Contains(got, "lacks") {
		g.Errorf("driverd record: %s", got)
	}
	for _, address := range strings.Fields(g.sh("cat /sys/class/net/*/address")) {
		g.sh("! grep -rF %s /root/record", address)
	}
	g.sh("grep -q 'is bound to igb' /root/record/journal")
	dir := g.TempDir()
	archive, err := base64.StdEncoding.DecodeString(g.sh("tar -C /root/record -cz . | base64 -w0"))
	if err != nil {
		g.Fatal(err)
	}
	unpack := exec.CommandContext(g.Context(), "tar", "-xzC", dir)
	unpack.Stdin = strings.NewReader(string(archive))
	driverd := filepath.Join(g.TempDir(), "driverd")
	for _, command := range []*exec.Cmd{unpack, exec.CommandContext(g.Context(), "go", "build", "-o", driverd, "driverd/cmd/driverd")} {
		if out, err := command.CombinedOutput(); err != nil {
			g.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "explain"))
	if err != nil || len(entries) < 3 {
		g.Fatalf("%d explanations: %v", len(entries), err)
	}
	for _, entry := range entries {
		slot := strings.TrimSuffix(entry.Name(), ".json")
		asked, err := g.vm.Run(g.patient(), "driverd explain --json "+slot)
		if err != nil {
			g.Fatal(err)
		}
		read, err := exec.CommandContext(g.Context(), driverd, "explain", "--json", "--root", dir, slot).Output()
		code := 0
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			g.Fatal(err)
		}
		if diff := cmp.Diff(explained(g, asked.Stdout), explained(g, string(read))); diff != "" || code != asked.Code {
			g.Errorf("%s: exit codes %d and %d; the guest's explanation and the record's (-guest +record):\n%s", slot, asked.Code, code, diff)
		}
	}
}

var cardAddress = regexp.MustCompile(`([0-9a-f]{2}:){5}[0-9a-f]{2}`)

// explained reads an explanation, without what a record cannot hold: names from
// another machine's list, and what the service remembers of its own doings.
func explained(g guest, text string) api.Explanation {
	g.Helper()
	var x api.Explanation
	if err := json.Unmarshal([]byte(text), &x); err != nil {
		g.Fatalf("%v: %s", err, text)
	}
	x.Vendor, x.Product, x.Attempts = "", "", nil
	for i, line := range x.KernelLog {
		x.KernelLog[i] = cardAddress.ReplaceAllString(line, "ADDRESS")
	}
	if d := x.Device; d != nil {
		d.Vendor, d.Product, d.Timeline = "", "", nil
	}
	return x
}
