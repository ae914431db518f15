// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"driverd/daemon"
	"driverd/daemon/state"
	"driverd/hwdetect"
	"driverd/plan"
)

// FuzzCatalog sees that whatever lies in the place of a catalog is refused, or
// can be decided by and kept.
func FuzzCatalog(f *testing.F) {
	for _, content := range notCatalogs {
		f.Add([]byte(content))
	}
	const head = `{"version":1,"release":"` + release + `","learned":"2026-11-01T00:00:00Z","packages":`
	for _, packages := range []string{
		`null`, `[]`, `[{}]`, `{}`, `[[]]`, `[{"NEVRA":-1}]`, `[{"Provides":[""]},{"Provides":null}]`,
		`[{"NEVRA":"kernel-modules-sriov-1-1.x86_64","Name":"kernel-modules-sriov","RepoID":"r","DownloadSize":18446744073709551615,` +
			`"Provides":["modalias(pci:v00008086d*sv*sd*bc*sc*i*)","kmod(igb.ko)","kernel-modules-sriov-uname-r = ` + release + `"]}]`,
		`[{"NEVRA":"\u0000","Provides":["modalias(pci:v[[[d*","modalias(","kmod()"," -uname-r = "]}]`,
	} {
		f.Add([]byte(head + packages + "}"))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		catalogs := state.Catalogs{Dir: holding(t, "catalog-"+release+".json", content)}
		learned, err := catalogs.Load(release)
		if err != nil {
			if learned.Packages != nil {
				t.Errorf("refused (%v), and yet %v", err, learned)
			}
			return
		}
		if learned.At.After(time.Now()) {
			t.Errorf("learned at %s, which is not yet", learned.At)
		}
		plan.Decide(hwdetect.Device{Modalias: "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00"},
			plan.Facts{Release: release, Kernel: nothing{}, Catalog: daemon.NewCatalog(learned.Packages)})
		if err := catalogs.Save(release, learned); err != nil {
			t.Fatal(err)
		}
		again, err := catalogs.Load(release)
		if diff := cmp.Diff(learned, again, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("kept and read again: %v\n%s", err, diff)
		}
	})
}

// nothing is a kernel without modules.
type nothing struct{}

func (nothing) Installed(string) []string                                { return nil }
func (nothing) Problem() error                                           { return nil }
func (nothing) Claims(hwdetect.Source, string) (claims []hwdetect.Claim) { return nil }

// FuzzUnfinished sees that whatever lies in the place of what was unfinished is set
// aside, or can be kept.
func FuzzUnfinished(f *testing.F) {
	for _, content := range []string{
		``, `{}`, `[]`, `null`, `{"version":2,"boots":{}}`, `{"version":1}`, `{"version":1,"boots":[]}`, `{"version":1,"boots":{"":null}}`,
		`{"version":1,"boots":{"kernel-modules-sriov-1-1.x86_64":"6d1d8a4e-5c3c-4f5e-9c1e-1b7f7a0c9d11"}}`, `{"version":1,"boots":{"\u0000":"\ud800"}`,
	} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		unfinished := state.Unfinished{Dir: holding(t, "unfinished.json", content)}
		asideOrKept(t, unfinished.Dir, "unfinished.json", content, unfinished.Load, unfinished.Save)
	})
}

// asideOrKept sees that what lies in the place of a file is set aside, and the next
// Load begins anew, or that it can be kept.
func asideOrKept[T any](t *testing.T, dir, name string, content []byte, load func() (T, error), save func(T) error) {
	t.Helper()
	kept, err := load()
	if err != nil {
		if !reflect.ValueOf(kept).IsZero() {
			t.Errorf("refused (%v), and yet %v", err, kept)
		}
		aside(t, dir, name, content, err)
		if kept, err := load(); !reflect.ValueOf(kept).IsZero() || err != nil {
			t.Errorf("after that it is %v: %v", kept, err)
		}
		return
	}
	if err := save(kept); err != nil {
		t.Fatal(err)
	}
	again, err := load()
	if diff := cmp.Diff(kept, again, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("kept and read again: %v\n%s", err, diff)
	}
}
