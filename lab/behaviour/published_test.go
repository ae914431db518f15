// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"os"
	"path/filepath"
	"testing"

	"driverd/lab"
	"driverd/lab/rpmrepo"
)

// TestPublishedAnew publishes the repository anew after driverd has learned it and
// dnf5daemon has its metadata. A card that comes then is bound without a hand, and the
// repository is asked for its metadata once. A card whose package is as it was known
// asks for nothing.
func TestPublishedAnew(t *testing.T) {
	image := buildImage(t)
	repo := rpmrepo.NewRepository(image.Repo)
	m := &matrix{guest: resume(t, lab.Options{Image: image, Repo: repo}), repo: repo, good: image.Repo, release: image.Release}
	m.prepare()
	sriov := "kernel-modules-sriov-" + m.release + ".*"
	as := func(change func(dir string)) string { return variant(t, image.Repo, change) }
	again := as(func(dir string) {
		rewritten(t, dir, sriov, func(rpm string) { signedAgain(m.guest, rpm) })
	})
	renamed := as(func(dir string) {
		rewritten(t, dir, sriov, func(rpm string) {
			if err := os.Rename(rpm, filepath.Join(dir, "moved.rpm")); err != nil {
				t.Fatal(err)
			}
		})
	})
	without := as(func(dir string) { removed(t, dir, "kernel-*-"+m.release+".*") })
	for _, test := range []struct {
		name          string
		before, after string
		renewals      int
	}{
		{"as it was", image.Repo, image.Repo, 0},
		{"signed again", image.Repo, again, 1},
		{"packages under other names", image.Repo, renamed, 1},
		{"the running build added", without, image.Repo, 1},
		{"an older mirror after a newer one", again, image.Repo, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			m.guest = m.in(t)
			r := row{fault: test.name, heal: free, when: start(func(m *matrix) {
				m.repo.Become(test.before)
				m.fresh()
				m.sh("systemctl stop driverd; rm -f /var/lib/driverd/catalog-*; systemctl start driverd")
				m.until("driverd explain 8086:10c9 >/run/explained; grep -q ^state /run/explained && ! grep 'first learn' /run/explained")
				m.repo.Become(test.after)
				m.repo.Fail("", rpmrepo.NoFault) // the requests are counted from here
			})}
			defer m.reset(r)
			t.Log(m.try(r))
			if got := m.repo.Asked("repomd.xml"); got != test.renewals {
				t.Errorf("the repository was asked for its metadata %d times, want %d", got, test.renewals)
			}
		})
	}
}

// signedAgain signs a package with another key, which the guest trusts from then on.
func signedAgain(g guest, rpm string) {
	g.Helper()
	withoutSignature(g.T, rpm)
	key := newKey(g.T)
	if err := key.Sign(g.Context(), rpm); err != nil {
		g.Fatal(err)
	}
	g.sh("cat >/root/again.asc <<'END'\n%s\nEND\nrpm --import /root/again.asc", key.Public)
}
