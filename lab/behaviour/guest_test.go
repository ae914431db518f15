// SPDX-License-Identifier: Apache-2.0

//go:build lab

// Package behaviour_test shows what driverd does, in a real guest: a real
// kernel and its modules, QEMU's hotplug, udev, systemd, polkit and DNF.
package behaviour_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"driverd/hwdetect"
	"driverd/lab"
	"driverd/lab/stage"
)

// patience is for one thing that takes a while: an installation under software
// emulation, on a machine that does something else as well. A guest of another
// architecture has a multiple of it.
const patience = 10 * time.Minute

// rescan asks driverd to look again, and to retry what failed.
const rescan = `busctl call org.fedoraproject.Driverd1 /org/fedoraproject/Driverd1 org.fedoraproject.Driverd1.Manager Rescan 'a{sv}' 0`

func TestMain(m *testing.M) {
	stage.Progress = os.Stdout // at once, where a test's own log waits for its end
	os.Exit(m.Run())
}

// guest is a running guest with driverd in it.
type guest struct {
	system
	vm *lab.Guest
}

func guestOf(t *testing.T, vm *lab.Guest) guest {
	return guest{system{t, vm.System, patience * vm.Slowness()}, vm}
}

// rpm is driverd's package, as make rpm leaves it.
func rpm(t *testing.T) string {
	t.Helper()
	return built(t, "driverd-[0-9]*.x86_64.rpm")
}

// built is the one package that make rpm leaves with such a name.
func built(t *testing.T, pattern string) string {
	t.Helper()
	return onePackage(t, "../../dist", pattern)
}

// onePackage is the one package in dir with such a name.
func onePackage(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("cannot find the package %s in %s, run make rpm: %v %v", pattern, dir, found, err)
	}
	return found[0]
}

// program is the driverd that is to replace the package's, empty for none: see make guest-test.
func program() string { return os.Getenv("DRIVERD_PROGRAM") }

// buildImage builds the image with driverd in it.
func buildImage(t *testing.T) *lab.Image {
	t.Helper()
	return imageBy(t, lab.BuildImage)
}

// imageBy builds an image with driverd in it, on a machine that has all that this takes.
func imageBy(t *testing.T, build func(ctx context.Context, rpm string) (*lab.Image, error)) *lab.Image {
	t.Helper()
	if err := lab.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	image, err := build(t.Context(), rpm(t))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// boot boots a guest that ends with the test. Its logs are kept if the test fails.
func boot(t *testing.T, o lab.Options, s lab.Start) guest {
	t.Helper()
	return begin(t, o, func(ctx context.Context, o lab.Options) (*lab.Guest, error) { return lab.Boot(ctx, o, s) })
}

// resume is boot for a test that is not about booting: the guest runs already, and
// its driverd is ready and knows the repository.
func resume(t *testing.T, o lab.Options) guest {
	t.Helper()
	return begin(t, o, lab.Resume)
}

func begin(t *testing.T, o lab.Options, start func(context.Context, lab.Options) (*lab.Guest, error)) guest {
	t.Helper()
	if err := lab.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o.Image == nil {
		o.Image = buildImage(t)
	}
	if o.Image.Native() {
		o.Program = program()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	g, err := start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	endWith(t, g)
	return guestOf(t, g)
}

// endWith ends a guest with the test. Its logs are kept if the test fails.
func endWith(t *testing.T, g interface {
	Collect(dir string) error
	Close() error
}) {
	t.Cleanup(func() {
		if t.Failed() {
			dir := t.ArtifactDir()
			told := []string{"journal", "console"}
			if err := g.Collect(dir); err != nil {
				t.Error(err)
				told = append(told, "processors") // it may hang
			}
			for _, name := range told {
				if log, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
					t.Logf("the guest's %s, all of it in %s:\n%s", name, dir, log[max(0, len(log)-8000):])
				}
			}
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
}

// in returns the guest for a subtest.
func (g guest) in(t *testing.T) guest { return guestOf(t, g.vm) }

func (g guest) plug(id, driver string) hwdetect.Slot {
	g.Helper()
	return g.plugDevice(lab.Device{ID: id, Driver: driver})
}

func (g guest) plugDevice(d lab.Device) hwdetect.Slot {
	g.Helper()
	slot, err := g.vm.Plug(g.patient(), d)
	if err != nil {
		g.Fatal(err)
	}
	return slot
}

func (g guest) unplug(id string) {
	g.Helper()
	if err := g.vm.Unplug(g.patient(), id); err != nil {
		g.Fatal(err)
	}
}

// slot is where the device of that id is.
func (g guest) slot(id string) hwdetect.Slot {
	g.Helper()
	slot, err := g.vm.Slot(g.patient(), id)
	if err != nil {
		g.Fatal(err)
	}
	return slot
}
