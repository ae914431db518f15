// SPDX-License-Identifier: Apache-2.0

package dnfbridge_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"driverd/dnfbridge"
	"driverd/reason"
)

// What gives access to a repository is in no error and in no package, wherever the server
// says it.
func TestCredentials(t *testing.T) {
	const (
		secret     = "Tr0ub4dor"
		url        = "https://svc:" + secret + "@mirror.example/" + secret + "/repodata/repomd.xml"
		release    = "7.2.0-200.fc44.x86_64"
		capability = "kernel-modules-uname-r = " + release
	)
	f := &fakeServer{
		available: []map[string]dbus.Variant{listed("a-1-1.x86_64", "a", secret+"_40mirror.example_el9", false, capability)},
		items:     []fakeItem{newItem("Install", "a", "1-1")},
		result:    1,
	}
	f.items[0].Object["repo_id"] = dbus.MakeVariant("mirror.example_" + secret)
	f.download = func(client string) *dbus.Error {
		send(f.conn, client, "Base.download_add_new", "package:1", "a-1-1.x86_64", int64(1))
		send(f.conn, client, "Base.download_mirror_failure", "package:1", "Status code: 401 for "+url, url, "")
		send(f.conn, client, "Base.download_end", "package:1", uint32(2), "No more mirrors to try: "+url)
		return dbus.MakeFailedError(fmt.Errorf("Failed to download packages from %s", url))
	}
	d, _ := f.serve(t)
	listing, err := d.KernelPackages(t.Context(), release, false)
	if packages := listing.Packages; err != nil || len(packages) != 1 || packages[0].RepoID != "REMOVED_40mirror.example_REMOVED" {
		t.Errorf("the packages are %v: %v", packages, err)
	}
	transaction := dnfbridge.Transaction{Install: []string{"a-1-1.x86_64"}}
	planned, err := d.Resolve(t.Context(), transaction)
	if err != nil || len(planned) != 1 || planned[0].RepoID != "mirror.example_REMOVED" {
		t.Errorf("planned is %v: %v", planned, err)
	}
	err = d.Install(t.Context(), transaction, nil)
	if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "401 for https://REMOVED@mirror.example/REMOVED/repomd.xml") {
		t.Errorf("the error is %v", err)
	}
}

// Nor is it in what is hidden, disabled, or of a vendor. Only the guard knows the ids as they are.
func TestCredentialsInRepositoryIDs(t *testing.T) {
	const secret, id, clean = "Tr0ub4dor", "Tr0ub4dor_40mirror.example_el9", "REMOVED_40mirror.example_REMOVED"
	hidden, kmod := built("kernel-modules-sriov", id, "1", "Lab"), built("kmod-card", id, "1", "Maker")
	kmod["provides"], kmod["requires"] = dbus.MakeVariant([]string{}), dbus.MakeVariant([]string{"kernel-uname-r = 1-1"})
	f := &fakeServer{
		available: []map[string]dbus.Variant{built("kernel-core", "@System", "1", "Lab"), built("other", "lab", "1", "Lab")},
		hidden:    []map[string]dbus.Variant{hidden},
		repos:     []map[string]dbus.Variant{{"id": dbus.MakeVariant(id), "gpgcheck": dbus.MakeVariant(true)}},
	}
	d, _ := f.serve(t)
	listing, err := d.KernelPackages(t.Context(), "1-1", true)
	excluded := slices.IndexFunc(listing.Packages, func(p dnfbridge.Package) bool { return p.Excluded })
	if err != nil || excluded < 0 || listing.Packages[excluded].RepoID != clean || !slices.Equal(listing.Disabled, []string{clean}) {
		t.Errorf("listed is %+v, %v", listing, err)
	}
	f.locked(func() { f.available = []map[string]dbus.Variant{kmod} })
	vendor, err := d.VendorPackages(t.Context(), "1-1", dnfbridge.Vendor{Kmods: []string{"kmod-card"}}, false)
	if err != nil || len(vendor.Packages) != 1 || vendor.Packages[0].RepoID != clean || !slices.Equal(vendor.Allowed["kmod-card-1-1.x86_64"], []string{id}) {
		t.Errorf("of the vendor is %+v, %v", vendor, err)
	}
	for _, repository := range []string{id, "dl.example.io_" + secret + "_acme"} {
		file := filepath.Join(t.TempDir(), repository+"-0123456789abcdef", "packages", "a-1-1.x86_64.rpm")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("no package"), 0o644); err != nil {
			t.Fatal(err)
		}
		err := dnfbridge.VerifyWithRPM(t.Context(), []string{file, file + ".none"})
		if reason.Of(err) != reason.UntrustedPackage || strings.Contains(err.Error(), secret) {
			t.Errorf("the error is %v", err)
		}
		t.Log(err)
	}
}
