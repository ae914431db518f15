// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon"
	"driverd/daemon/state"
	"driverd/dnfbridge"
)

const release = "7.2.12+deb14-amd64"

func TestCatalogComesBackAsItWas(t *testing.T) {
	t.Parallel()
	catalogs := state.Catalogs{Dir: t.TempDir()}
	want := daemon.Learned{At: time.Now(), Repositories: "lab.repo", Fresh: true, Listing: dnfbridge.Listing{
		Packages: []dnfbridge.Package{{NEVRA: "a-1-1.x86_64", Name: "a", RepoID: "lab", DownloadSize: 7, Provides: []string{"kmod(a.ko)"}}},
		Disabled: []string{"archive"},
	}}
	if err := catalogs.Save(release, want); err != nil {
		t.Fatal(err)
	}
	got, err := catalogs.Load(release)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := catalogs.Load("7.2.13"); err == nil {
		t.Error("the catalog of a kernel serves for another")
	}
}

// notCatalogs are files that do not hold the catalog of release.
var notCatalogs = map[string]string{
	"empty":                "",
	"truncated":            `{"version":1,"release":"` + release + `","pack`,
	"of a later form":      `{"version":2,"release":"` + release + `"}`,
	"of another kernel":    `{"version":1,"release":"7.2.13"}`,
	"of a clock far ahead": `{"version":1,"release":"` + release + `","learned":"9999-01-01T00:00:00Z","packages":[]}`,
}

func TestFilesThatAreNotTheCatalog(t *testing.T) {
	t.Parallel()
	for name, content := range notCatalogs {
		catalogs := state.Catalogs{Dir: holding(t, "catalog-"+release+".json", []byte(content))}
		if got, err := catalogs.Load(release); err == nil {
			t.Errorf("a file that is %s gives %v", name, got)
		}
	}
}

// A release is the kernel's word, and no path.
func TestReleaseIsNoPath(t *testing.T) {
	t.Parallel()
	catalogs := state.Catalogs{Dir: t.TempDir()}
	if err := catalogs.Save("../../escape", daemon.Learned{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(catalogs.Dir, "catalog-escape.json")); err != nil {
		t.Error(err)
	}
}

func TestFolderThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	catalogs := state.Catalogs{Dir: filepath.Join(t.TempDir(), "missing")}
	if err := catalogs.Save(release, daemon.Learned{}); err == nil {
		t.Error("saved into nowhere")
	}
}
