// SPDX-License-Identifier: Apache-2.0

package dnfbridge_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"driverd/dnfbridge"
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
