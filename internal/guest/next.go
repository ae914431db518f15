// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"driverd/api"
	"driverd/daemon"
	"driverd/hwdetect/kmod"
)

// NextKernel is an installed kernel that is newer than the running one: what
// the devices will find after a reboot.
type NextKernel struct {
	Release string   `json:"release"`
	Ready   bool     `json:"ready"`
	Missing []string `json:"missing"` // slots of devices whose driver it lacks
	groups  []string // that hold the drivers
}

// FindNextKernel looks for it in a folder like /lib/modules; nil means that the
// newest kernel runs.
func FindNextKernel(dir, running string, devices []api.Device) (*NextKernel, error) {
	next, err := newestIn(dir, running)
	if err != nil || next == running {
		return nil, err
	}
	now, err := kmod.Read(filepath.Join(dir, running))
	if err != nil {
		return nil, err
	}
	then, err := kmod.Read(filepath.Join(dir, next))
	if err != nil {
		return nil, err
	}
	k := &NextKernel{Release: next, Missing: []string{}}
	for _, d := range devices {
		// A driver that is no module here is none there.
		if d.State != "bound" || len(now.Installed(d.Modalias)) == 0 ||
			len(then.Installed(d.Modalias))+len(then.BuiltIn(d.Modalias)) > 0 {
			continue
		}
		k.Missing = append(k.Missing, d.Slot)
		if !slices.Contains(k.groups, d.Group) {
			k.groups = append(k.groups, d.Group)
		}
	}
	k.Ready = len(k.Missing) == 0
	return k, nil
}

// newestIn returns the newest kernel that is installed, the running one or a
// newer one.
func newestIn(dir, running string) (string, error) {
	installed, err := filepath.Glob(filepath.Join(dir, "*", "vmlinuz"))
	newest := running
	for _, file := range installed {
		if release := filepath.Base(filepath.Dir(file)); compareReleases(release, newest) > 0 {
			newest = release
		}
	}
	return newest, err
}

// Successor shows the engine the next kernel, as soon as its modules are indexed:
// until then DNF is not through with it.
type Successor struct {
	Dir, Running string // the folder of all kernels, and the release of the running one

	index *kmod.Cache
	last  daemon.Next
}

// Next returns the next kernel, or nothing if the running one is the newest.
func (s *Successor) Next() daemon.Next {
	release, err := newestIn(s.Dir, s.Running)
	if err != nil || release == s.Running {
		return daemon.Next{}
	}
	if _, err := os.Stat(filepath.Join(s.Dir, release, "modules.alias")); err != nil {
		return daemon.Next{}
	}
	if release != s.last.Release {
		s.index = kmod.NewCache(filepath.Join(s.Dir, release))
	}
	index, err := s.index.Index()
	if err != nil {
		return daemon.Next{}
	}
	s.last = daemon.Next{Release: release, Kernel: index}
	return s.last
}

// Text says whether the next kernel is ready, and if not what would make it so.
func (k NextKernel) Text() string {
	if k.Ready {
		return fmt.Sprintf("next kernel %s: ready", k.Release)
	}
	command := "driverd preinstall --for " + k.Release
	for _, group := range k.groups {
		command += " --group " + group
	}
	return fmt.Sprintf("next kernel %s: lacks the driver of %s. To install it: %s", k.Release, strings.Join(k.Missing, ", "), command)
}

var releaseParts = regexp.MustCompile(`[0-9]+|[a-z]+`)

// compareReleases compares kernel releases as people do: number by number.
func compareReleases(a, b string) int {
	return slices.CompareFunc(releaseParts.FindAllString(a, -1), releaseParts.FindAllString(b, -1), func(x, y string) int {
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if isNumber(x) && isNumber(y) && len(x) != len(y) {
			return len(x) - len(y)
		}
		return strings.Compare(x, y)
	})
}

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }
