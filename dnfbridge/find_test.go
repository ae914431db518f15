// SPDX-License-Identifier: Apache-2.0

package dnfbridge_test

import (
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"driverd/dnfbridge"
)

// Lists of files are fetched only if a file is looked for.
func TestFindFetchesWhatItNeeds(t *testing.T) {
	f := &fakeServer{available: []map[string]dbus.Variant{
		listed("b-1-1.noarch", "b", "@System", true),
		listed("b-2-1.noarch", "b", "updates", false),
	}}
	d, _ := f.serve(t)
	want := []dnfbridge.Package{
		{NEVRA: "b-1-1.noarch", Name: "b", Installed: true, InstallSize: 2000, Provides: []string{}},
		{NEVRA: "b-2-1.noarch", Name: "b", RepoID: "updates", DownloadSize: 1000, InstallSize: 2000, Provides: []string{}},
	}
	for _, test := range []struct {
		what   []string
		config map[string]string
	}{
		{[]string{"b", "c"}, nil},
		{[]string{"b", "/usr/lib/firmware/b.bin"}, map[string]string{"optional_metadata_types": "filelists"}},
	} {
		got, err := d.Find(t.Context(), test.what, false)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		f.locked(func() {
			if diff := cmp.Diff(test.config, f.config); diff != "" {
				t.Errorf("looking for %q: %s", test.what, diff)
			}
			if diff := cmp.Diff(test.what, f.asked[len(f.asked)-1]["patterns"].Value()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Several may look for files at the same time.
func TestFindAtTheSameTime(t *testing.T) {
	f := &fakeServer{}
	d, _ := f.serve(t)
	var looking sync.WaitGroup
	for range 8 {
		looking.Go(func() {
			if _, err := d.Find(t.Context(), []string{"/usr/lib/firmware/b.bin"}, false); err != nil {
				t.Error(err)
			}
		})
	}
	looking.Wait()
}
