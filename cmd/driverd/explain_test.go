// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/api"
)

// lines reads text as people do: without the names from pci.ids, which are
// another list on another machine, and without times.
func lines(out string) string {
	var kept strings.Builder
	timeline := false
	for line := range strings.Lines(out) {
		timeline = timeline || strings.HasPrefix(line, "timeline")
		if !strings.HasPrefix(line, "device") && !timeline && !strings.Contains(line, "next one:") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func TestExplainARecordedTree(t *testing.T) {
	t.Parallel()
	root := tree(t)
	for what, test := range map[string]struct {
		code int
		want string
	}{
		"8086:10C9": {0, `modalias    pci:v00008086d000010C9sv*sd*bc*sc*i*
kernel      7.2.12-test
claimed by  a module in kernel-modules-sriov-7.2.12-1.x86_64
            by pci:v00008086d000010C9sv*sd*bc*sc*i*
package     kernel-modules-sriov-7.2.12-1.x86_64
            group sriov, in repository updates
            1.2 MB to download, 3.4 MB on disk
decision    install the package, then load the module
state       pending
`},
		"1000:0060": {0, `modalias    pci:v00001000d00000060sv*sd*bc*sc*i*
kernel      7.2.12-test
claimed by  megaraid_sas, installed
            by pci:v00001000d00000060sv*sd*bc*sc*i*
            megaraid_other, installed
            by pci:v00001000d00000060sv00001000sd*bc*sc*i*
package     kernel-modules-passthrough-7.2.12-1.x86_64
            group passthrough, installed
            2.0 MB on disk
decision    load the module, which is installed
state       pending
`},
		"0000:00:1f.0": {exitBlocked, `slot        0000:00:1f.0
modalias    pci:v00008086d00002918sv00001AF4sd00001100bc06sc01i00
kernel      7.2.12-test
claimed by  a module in kernel-modules-7.2.12-1.x86_64
            by pci:v00008086d00002918sv*sd*bc*sc*i*
package     kernel-modules-7.2.12-1.x86_64
            group hardware, in repository updates
            90.0 MB to download, 300.0 MB on disk
decision    leave it alone
state       blocked (policy)
            this is a part of the virtual machine itself, which works without a
            driver: kernel-modules-7.2.12-1.x86_64 is not installed for it
`},
		"0000:02:00.0": {0, `slot        0000:02:00.0
modalias    pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00
kernel      7.2.12-test
claimed by  virtio_pci, built-in
            by pci:v00001AF4d*sv*sd*bc*sc*i*
decision    nothing to do: it has a driver
state       bound to virtio-pci
`},
		"pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00": {exitUnknown, `modalias    pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00
kernel      7.2.12-test
claimed by  no module that is known here
decision    nothing can be done now
state       unsupported (no-driver)
            no package of kernel 7.2.12-test has a driver for this device
`},
	} {
		// Nobody is asked: there is no bus.
		code, out, complaints := driverd(t, nowhere(t), "explain", what, "--root", root)
		if diff := cmp.Diff(test.want, lines(out)); diff != "" || code != test.code || complaints != "" {
			t.Errorf("driverd explain %s: %d %s\n%s", what, code, complaints, diff)
		}
	}
}

func TestExplainTheCatalogIsMissing(t *testing.T) {
	t.Parallel()
	root := tree(t)
	catalog := filepath.Join(root, "var/lib/driverd", "catalog-"+release+".json")
	write(t, catalog, "{")
	code, out, _ := driverd(t, "", "explain", "8086:10c9", "--root", root)
	if code != exitFailed || !strings.Contains(out, "cannot read the catalog") {
		t.Errorf("damaged: %d %s", code, out)
	}
	if err := os.Remove(catalog); err != nil {
		t.Fatal(err)
	}
	code, out, _ = driverd(t, "", "explain", "8086:10c9", "--root", root)
	if code != exitUnknown || !strings.Contains(out, "first learn which packages") {
		t.Errorf("missing: %d %s", code, out)
	}
}

func TestExplainAsksTheService(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.await(t, settledAll)
	want := `slot        0000:01:00.0
            very very very very very very long name
modalias    pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00
kernel      7.2.12-test
claimed by  a module in kernel-modules-sriov-7.2.12-1.x86_64
            by pci:v00008086d000010C9sv*sd*bc*sc*i*
package     kernel-modules-sriov-7.2.12-1.x86_64
            group sriov, in repository updates
            1.2 MB to download, 3.4 MB on disk
decision    install the package, then load the module
state       unavailable (repo-unreachable)
            cannot download from updates: connection refused
attempts    install: failed
`
	code, out, complaints := driverd(t, s.bus.Address, "explain", "0000:01:00.0")
	_, tries, _ := strings.Cut(out, "attempts    ")
	tries, timeline, _ := strings.Cut(tries, "timeline    seen        ")
	if !strings.Contains(tries, "            tries so far: 1; next one: 20") || !strings.Contains(timeline, "            settled     + ") {
		t.Errorf("%s", out)
	}
	head, _, _ := strings.Cut(lines(out), " (20")
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(head)); diff != "" || code != exitBlocked || complaints != "" {
		t.Errorf("%d %s\n%s", code, complaints, diff)
	}
}

// What the service says and what is worked out without it are one.
func TestExplainJSON(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.await(t, settledAll)
	for _, what := range []string{"8086:10c9", igbModalias, "ffff:ffff", "0000:02:00.0"} {
		var asked, read api.Explanation
		codeAsked, out, _ := driverd(t, s.bus.Address, "explain", "--json", what)
		if err := json.Unmarshal([]byte(out), &asked); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		codeRead, out, _ := driverd(t, "", "explain", "--json", what, "--root", s.root)
		if err := json.Unmarshal([]byte(out), &read); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if strings.Contains(out, "null") {
			t.Errorf("a list is null: %s", out)
		}
		for _, x := range []*api.Explanation{&asked, &read} {
			x.Vendor, x.Product = "", "" // names from another list
			if x.Device != nil {
				x.Device.Vendor, x.Device.Product, x.Device.Timeline = "", "", nil
			}
		}
		if diff := cmp.Diff(asked, read); diff != "" || codeAsked != codeRead {
			t.Errorf("%s: %d and %d\n%s", what, codeAsked, codeRead, diff)
		}
	}
}

func TestExplainWrongQuestions(t *testing.T) {
	t.Parallel()
	s := serve(t)
	empty := t.TempDir()
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"0000:77:00.0"}, exitUnknown, "there is no device in slot 0000:77:00.0"},
		{[]string{"0000:77:00.0", "--root", s.root}, exitUnknown, "there is no device in slot 0000:77:00.0"},
		{[]string{"01:00.0"}, exitUsage, "want a slot (0000:01:00.0)"},
		{[]string{""}, exitUsage, "want a slot"},
		{[]string{"\x1b[2J\xff"}, exitUsage, `cannot understand "\x1b[2J\xff"`},
		{[]string{strings.Repeat("x", 100_000)}, exitUsage, "want a slot"},
		{[]string{"/sys/bus/pci/devices/0000:01:00.0"}, exitUsage, "want a slot"},
		{[]string{"8086:10c9", "--root", empty}, exitFailed, "cannot tell the kernel's release"},
		{[]string{}, exitUsage, "accepts 1 arg"},
		{[]string{"--nonsense"}, exitUsage, "unknown flag"},
	} {
		code, out, complaints := driverd(t, s.bus.Address, append([]string{"explain"}, test.args...)...)
		if code != test.code || out != "" || !strings.Contains(complaints, test.want) || len(complaints) > 400 {
			t.Errorf("driverd explain %.200q: %d %q %q", test.args, code, out, complaints)
		}
	}
	code, _, complaints := driverd(t, nowhere(t), "explain", "ffff:ffff")
	if code != exitUnknown || !strings.Contains(complaints, "this is what it would decide") {
		t.Errorf("without the service: %d %q", code, complaints)
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	s := serve(t)
	_, out, _ := driverd(t, s.bus.Address, "__complete", "explain", "")
	if !strings.HasPrefix(out, "0000:00:00.0\t") || !strings.Contains(out, "\n0000:04:00.0\t") {
		t.Errorf("%q", out)
	}
	if _, out, _ := driverd(t, s.bus.Address, "__complete", "explain", "0000:04:00.0", ""); strings.Contains(out, "0000") {
		t.Errorf("a second slot: %q", out)
	}
	if code, out, _ := driverd(t, nowhere(t), "__complete", "explain", ""); code != 0 || strings.Contains(out, "0000") {
		t.Errorf("without a service: %d %q", code, out)
	}
}
