// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"net/http"
	"os"
	"sync/atomic"
	"testing"

	"driverd/lab"
)

// repository is the lab's, until it is broken.
type repository struct {
	broken atomic.Bool
	dir    atomic.Pointer[string]
}

func (r *repository) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	dir := r.dir.Load()
	if r.broken.Load() || dir == nil {
		http.Error(w, "broken on purpose", http.StatusServiceUnavailable)
		return
	}
	http.FileServerFS(os.DirFS(*dir)).ServeHTTP(w, request)
}

// TestFaults breaks one thing after another. Each shows as the reason that
// stands for it, and heals with no more than a Rescan.
func TestFaults(t *testing.T) {
	repo := &repository{}
	g := boot(t, lab.Options{Repo: repo})
	slot := g.plug("nic", "igb")

	t.Run("a repository that does not answer", func(t *testing.T) {
		g := g.in(t)
		g.refused(slot, "unavailable", "repo-unreachable")
	})

	t.Run("no dnf5daemon on the bus", func(t *testing.T) {
		g := g.in(t)
		g.sh("systemctl mask --now dnf5daemon-server.service")
		g.sh(rescan)
		g.refusedAnew(slot, "unavailable", "backend-missing")
		g.sh("systemctl unmask dnf5daemon-server.service")
	})
	image, err := lab.BuildImage(t.Context(), rpm(t))
	if err != nil {
		t.Fatal(err)
	}
	repo.dir.Store(&image.Repo)

	t.Run("polkit says no", func(t *testing.T) {
		g := g.in(t)
		g.sh("mv /usr/share/polkit-1/rules.d/50-driverd.rules /root/")
		g.sh("systemctl restart polkit.service")
		g.sh(rescan)
		g.refusedAnew(slot, "blocked", "not-authorized")
		g.sh("mv /root/50-driverd.rules /usr/share/polkit-1/rules.d/")
		g.sh("systemctl restart polkit.service")
	})

	t.Run("all is well again", func(t *testing.T) {
		g := g.in(t)
		g.sh(rescan)
		g.bound(slot, "igb")
		g.healthy()
	})
}
