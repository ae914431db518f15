// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/rs/zerolog"

	"driverd/dnfbridge"
	"driverd/lab"
	"driverd/lab/dnfroot"
	"driverd/lab/rpmrepo"
)

const (
	release = "7.2.12+deb14-amd64"
	newer   = "7.2.13+deb14-amd64"
)

// lower is the lab's root, which every test's overlay lies over, repoDir the
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
	ctx := context.Background()
	if err := lab.Prepare(ctx); err != nil {
		return 1, err
	}
	if lower, err = lab.Root(ctx); err != nil {
		return 1, err
	}
	scratch, err := os.MkdirTemp("", "dnfbridge-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	repoDir = filepath.Join(scratch, "repo")
	if err := os.Mkdir(repoDir, 0o755); err != nil {
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

func newGuest(t testing.TB) *guest {
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

func (g *guest) write(t testing.TB, name, text string) {
	t.Helper()
	if err := g.WriteFile(t.Context(), name, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func (g *guest) run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := g.Run(t.Context(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// backend is the DNF5 of a user of the guest.
func (g *guest) backend(uid int, options ...dnfbridge.Option) *dnfbridge.DNF5 {
	dial := func(ctx context.Context, opts ...dbus.ConnOption) (*dbus.Conn, error) {
		return g.Dial(uid, append(opts, dbus.WithContext(ctx))...)
	}
	return dnfbridge.NewDNF5With(dial, zerolog.Nop(), append([]dnfbridge.Option{dnfbridge.Retry(4, 50*time.Millisecond), dnfbridge.Verify(g.Path("/"), g.verify)}, options...)...)
}

// verify has the guest's rpm check signatures, as driverd does.
func (g *guest) verify(ctx context.Context, files []string) error {
	var inside []string
	for _, file := range files {
		inside = append(inside, "/"+strings.TrimPrefix(file, g.Path("/")))
	}
	if said, err := g.Run(ctx, "rpmkeys", dnfbridge.Checksig(inside)...); err != nil {
		return dnfbridge.Untrusted(said, inside)
	}
	return nil
}

// installed returns the NEVRAs in the rpmdb, keys apart, sorted.
func (g *guest) installed(t *testing.T) []string {
	t.Helper()
	nevras := strings.Fields(g.run(t, "rpm", "-qa", "--qf", "%{NEVRA}\n"))
	nevras = slices.DeleteFunc(nevras, func(s string) bool { return strings.HasPrefix(s, "gpg-pubkey") })
	slices.Sort(nevras)
	return nevras
}

// forgetMetadata makes dnf fetch the metadata anew. With strict, a repository
// that is not there is an error, not passed over.
func (g *guest) forgetMetadata(t *testing.T, strict bool) {
	t.Helper()
	g.run(t, "rm", "-rf", "/var/cache/libdnf5", "/var/cache/dnf5daemon-server", "/root/.cache/libdnf5")
	if strict {
		g.write(t, "/etc/dnf/dnf.conf", "[main]\ngpgcheck=True\nskip_if_unavailable=False\n")
	}
}

// background starts a command in the guest.
func (g *guest) background(t *testing.T, name string, args ...string) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := g.Run(t.Context(), name, args...)
		done <- err
	}()
	return done
}

// waitForFile waits until a file is in the guest.
func (g *guest) waitForFile(t *testing.T, name string) {
	t.Helper()
	g.run(t, "timeout", "20", "sh", "-c", `until [ -e "$1" ]; do sleep 0.05; done`, "sh", name)
}

// kill ends the server as a crash does.
func (g *guest) kill(t *testing.T) {
	t.Helper()
	if err := g.Kill(t.Context(), "org.rpm.dnf.v0"); err != nil {
		t.Fatal(err)
	}
}

// within fails the test if f takes longer.
func within(t *testing.T, limit time.Duration, what string, f func()) {
	t.Helper()
	start := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		t.Logf("%s took %v", what, time.Since(start).Round(time.Millisecond))
	case <-time.After(limit):
		t.Fatalf("%s took more than %v", what, limit)
	}
}
