// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"driverd/api"
	"driverd/hwdetect/kmod"
)

// nextKernel is an installed kernel that is newer than the running one: what
// the devices will find after a reboot.
type nextKernel struct {
	Release string   `json:"release"`
	Ready   bool     `json:"ready"`
	Missing []string `json:"missing"` // slots of devices whose driver it lacks
	groups  []string // that hold the drivers
}

// nextKernelIn looks for it in a folder like /lib/modules; nil means that the
// newest kernel runs.
func nextKernelIn(dir, running string, devices []api.Device) (*nextKernel, error) {
	installed, err := filepath.Glob(filepath.Join(dir, "*", "vmlinuz"))
	if err != nil || len(installed) == 0 {
		return nil, err
	}
	next := running
	for _, file := range installed {
		if release := filepath.Base(filepath.Dir(file)); compareReleases(release, next) > 0 {
			next = release
		}
	}
	if next == running {
		return nil, nil
	}
	now, err := kmod.Read(filepath.Join(dir, running))
	if err != nil {
		return nil, err
	}
	then, err := kmod.Read(filepath.Join(dir, next))
	if err != nil {
		return nil, err
	}
	k := &nextKernel{Release: next, Missing: []string{}}
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

// text says whether the next kernel is ready, and if not what would make it so.
func (k nextKernel) text() string {
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
