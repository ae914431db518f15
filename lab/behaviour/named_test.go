// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"driverd/lab/rpmrepo"
)

const (
	// namedPackage is the one package of namedRepo, and namedFile what is
	// in it, as a driver would name it: packed, and found by the lists of files.
	namedPackage = "lab-firmware"
	namedFile    = "lab/card.bin"
)

// namedRepo makes a repository of a package of firmware, and others, and returns its
// folder. key.asc there is the key that signed them.
func namedRepo(t *testing.T, others ...rpmrepo.Package) string {
	t.Helper()
	dir := t.TempDir()
	key := newKey(t)
	err := rpmrepo.Build(t.Context(), dir, key, append(others, rpmrepo.Package{
		Name: namedPackage, Version: "1", Release: "1",
		Files: map[string][]byte{"/usr/lib/firmware/" + namedFile + ".xz": []byte("firmware")},
	}))
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, "key.asc"), key.Public, 0o644)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// unpacked is a script that leaves the files of dir in another in the guest.
func unpacked(t *testing.T, dir, where string) string {
	t.Helper()
	archive, err := exec.CommandContext(t.Context(), "tar", "-C", dir, "-cz", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("mkdir -p %s; echo %s | base64 -d | tar -C %[1]s -xz\n", where, base64.StdEncoding.EncodeToString(archive))
}
