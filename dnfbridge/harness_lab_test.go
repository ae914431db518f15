// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"driverd/lab/dnfroot"
	"driverd/lab/rpmrepo"
)

const (
	release = "7.2.12+deb14-amd64"
	newer   = "7.2.13+deb14-amd64"
)

// lower is the unpacked root that every test's overlay lies over, repoDir the
// repository, key the key of its packages: made once, read by all.
var (
	lower   string
	repoDir string
	key     *rpmrepo.Key
)

func TestMain(m *testing.M) {
	code, err := testMain(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func testMain(m *testing.M) (_ int, err error) {
	root := os.Getenv("DRIVERD_TEST_ROOT")
	if root == "" {
		return 1, errors.New("DRIVERD_TEST_ROOT is not set: it names the tar of a root with dnf5daemon-server, dbus and polkitd")
	}
	scratch, err := os.MkdirTemp("", "dnfbridge-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	lower, repoDir = filepath.Join(scratch, "root"), filepath.Join(scratch, "repo")
	for _, dir := range []string{lower, repoDir} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return 1, err
		}
	}
	ctx := context.Background()
	if err := dnfroot.Unpack(ctx, root, lower); err != nil {
		return 1, err
	}
	if key, err = rpmrepo.NewKey(ctx, scratch); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, key.Close()) }()
	if err := rpmrepo.Build(ctx, repoDir, key, world()); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// guest is a root whose kernel is installed from the repository, as in a cloud
// image: the core and the base modules, by dnf itself.
type guest struct {
	*dnfroot.Root
	repo *rpmrepo.Server
}

const baseRepo = `[kernel]
name=kernel
baseurl=%s
gpgcheck=1
gpgkey=file:///etc/pki/rpm-gpg/test.asc
`

func newGuest(t *testing.T) *guest {
	t.Helper()
	repo, err := rpmrepo.Serve(repoDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := repo.Close(); err != nil {
			t.Error(err)
		}
	})
	root, err := dnfroot.Start(t.Context(), lower)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := root.Stop(); err != nil {
			t.Error(err)
		}
	})
	g := &guest{root, repo}
	g.write(t, "/etc/dnf/libdnf5-plugins/local.conf", "[main]\nname = local\nenabled = 0\n")
	g.write(t, "/etc/pki/rpm-gpg/test.asc", string(key.Public))
	g.write(t, "/etc/yum.repos.d/kernel.repo", fmt.Sprintf(baseRepo, repo.URL))
	g.run(t, "rpm", "--import", "/etc/pki/rpm-gpg/test.asc")
	g.run(t, "dnf5", "-y", "install", "kernel-core-uname-r = "+release)
	return g
}

func (g *guest) write(t *testing.T, name, text string) {
	t.Helper()
	if err := g.WriteFile(t.Context(), name, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func (g *guest) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := g.Run(t.Context(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
