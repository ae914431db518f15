// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"driverd/lab/rpmrepo"
)

// variant makes another repository of the packages in dir, as change leaves them:
// it gets a folder with links to all of them.
func variant(t *testing.T, dir string, change func(dir string)) string {
	t.Helper()
	out := t.TempDir()
	packages, err := filepath.Glob(filepath.Join(dir, "*.rpm"))
	if err != nil || len(packages) == 0 {
		t.Fatalf("no packages in %s: %v", dir, err)
	}
	for _, p := range packages {
		if err := os.Symlink(p, filepath.Join(out, filepath.Base(p))); err != nil {
			t.Fatal(err)
		}
	}
	change(out)
	command(t, "createrepo_c", "--quiet", "--no-database", out)
	return out
}

// configureRepository has the guest know one more repository, with these settings: a folder
// of the repository that the guest has already.
func (g guest) configureRepository(name, folder, settings string) {
	g.Helper()
	g.sh(`printf '[%[1]s]\nname=%[1]s\nbaseurl=%%s/%[2]s\n%[3]s\n' "$(sed -n s/^baseurl=//p /etc/yum.repos.d/lab.repo | sed s,/$,,)" >/etc/yum.repos.d/%[1]s.repo`, name, folder, settings)
}

// rewritten makes of a link to the one package that the pattern matches a copy
// for rewrite.
func rewritten(t *testing.T, dir, pattern string, rewrite func(rpm string)) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s matches %v, %v", pattern, found, err)
	}
	text, err := os.ReadFile(found[0])
	if err == nil {
		err = os.Remove(found[0])
	}
	if err == nil {
		err = os.WriteFile(found[0], text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	rewrite(found[0])
}

// removed takes the packages away that a pattern matches.
func removed(t *testing.T, dir, pattern string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s matches %v, %v", pattern, found, err)
	}
	for _, link := range found {
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
}

// withoutSignature takes a package's signature off.
func withoutSignature(t *testing.T, rpm string) {
	t.Helper()
	command(t, "rpmsign", "--delsign", rpm)
}

// signedByStranger signs a package anew, with a key that no guest knows.
func signedByStranger(t *testing.T, rpm string) {
	t.Helper()
	withoutSignature(t, rpm)
	if err := newKey(t).Sign(t.Context(), rpm); err != nil {
		t.Error(err)
	}
}

// newKey makes a key that nobody knows yet.
func newKey(t *testing.T) *rpmrepo.Key {
	t.Helper()
	dir, err := os.MkdirTemp("", "key") // short: gpg-agent has its socket in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	key, err := rpmrepo.NewKey(context.WithoutCancel(t.Context()), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := key.Close(); err != nil {
			t.Error(err)
		}
	})
	return key
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("cannot run %s: %v: %s", name, err, out)
	}
}
