// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"driverd/api"
	"driverd/internal/image"
	"driverd/internal/testbus"
	"driverd/internal/testtree"
)

// Every command that asks the service has it started if it is at rest, and only then.
func TestCommandsWake(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(c console) error{
		"status": func(c console) error {
			_, err := c.readStatus(t.Context())
			return err
		},
		"preinstall": func(c console) error {
			return preinstall{console: c, done: filepath.Join(t.TempDir(), "done")}.run(t.Context())
		},
		"image install": func(c console) error {
			if client := (preinstall{console: c}).service(t.Context(), image.Image{Root: "/"}); client != nil {
				t.Error("there is a service")
			}
			return nil
		},
		"record": func(c console) error {
			if code := run(t.Context(), []string{"record", filepath.Join(t.TempDir(), "record")}, c); code != 0 {
				t.Errorf("it ends with %d", code)
			}
			return nil
		},
	} {
		for _, resting := range []bool{false, true} {
			root, bus := guestTree(t, t.TempDir()), testbus.Start(t)
			started := bus.Starts(t, api.BusName)
			testtree.Write(t, filepath.Join(root, "etc/driverd/preinstall.d/50.toml"), "install = ['sriov']")
			if resting {
				testtree.Write(t, filepath.Join(root, api.RestFile), "{}")
			}
			var out bytes.Buffer
			c := console{stdout: &out, stderr: &out, root: root, bus: bus.Address, gate: open}
			_ = ask(c) // it does not get far
			if started() != resting {
				t.Errorf("driverd %s, and the service is at rest: %t; it was started: %t", name, resting, started())
			}
		}
	}
}
