// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"driverd/lab/stage"
)

// programPath is where driverd lies in a guest, and where the lab's server has the
// one that is to replace it.
const programPath = "/usr/bin/driverd"

// Resume restores a guest that has booted, whose driverd is ready and knows the
// repository, with nothing plugged in. It returns when its agent answers, about two
// seconds later. Nothing but its clock tells it that time has passed. The first
// call for an image boots that guest, and saves it.
func Resume(ctx context.Context, o Options) (*Guest, error) {
	saved, err := settled(ctx, o)
	if err != nil {
		return nil, err
	}
	return start(ctx, o, Start{}, "restore", filepath.Join(saved, "disk.qcow2"), func(g *Guest) error {
		args, err := g.args(ctx, o.Image)
		if err != nil {
			return err
		}
		if err := g.launch(append(args, "-incoming", "defer"), false); err != nil {
			return err
		}
		if g.qmp, err = g.dialQMP(ctx); err != nil {
			return err
		}
		if err := g.migrate(ctx, "migrate-incoming", filepath.Join(saved, "memory")); err != nil {
			return fmt.Errorf("%w; to have that guest made anew, remove %s", err, saved)
		}
		if err := g.qmp.execute(ctx, "cont", nil, nil); err != nil {
			return err
		}
		if err := g.agent.await(ctx); err != nil {
			return err
		}
		now := time.Now()
		if _, err := g.Output(ctx, fmt.Sprintf("date --set=@%d.%09d", now.Unix(), now.Nanosecond())); err != nil {
			return err
		}
		return g.takeProgram(ctx, o)
	})
}

// takeProgram has a guest that runs fetch the driverd that it is to have.
func (g *Guest) takeProgram(ctx context.Context, o Options) error {
	if o.Program == "" {
		return nil
	}
	_, err := g.Output(ctx, fmt.Sprintf(`python3 -c 'import urllib.request as u; u.urlretrieve("%s", "/usr/bin/driverd.new")' &&
chmod 755 /usr/bin/driverd.new && mv /usr/bin/driverd.new %s && systemctl restart driverd.service`, RepoURL+programPath[1:], programPath))
	return err
}

// savedFor is how long a saved guest is taken for one that runs: what driverd does once
// a day is not to fall into a test.
const savedFor = 6 * time.Hour

// settled returns the stage of a guest that was saved while it ran: its memory and,
// beside it, what it had written to its disk.
func settled(ctx context.Context, o Options) (string, error) {
	accel, err := acceleration(ctx, Options{Image: o.Image}) // the same for guests in parallel
	if err != nil {
		return "", err
	}
	args, err := qemuArgs("", o.Image, Start{}, nil, accel, 0)
	if err != nil {
		return "", err
	}
	version, err := o.Image.arch.qemuSays(ctx)
	if err != nil {
		return "", err
	}
	disk, err := os.Stat(o.Image.Disk)
	if err != nil {
		return "", fmt.Errorf("cannot save a guest: %w", err)
	}
	inputs := append(args, savedOf(version, o.Image.Disk, disk.ModTime(), time.Now())...)
	return stage.Get(ctx, "guest", inputs, func(ctx context.Context, dir string) (err error) {
		g, err := Boot(ctx, Options{Image: o.Image, Parallel: o.Parallel}, Start{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, g.Close()) }()
		if _, err := g.Until(ctx, settle); err != nil {
			return fmt.Errorf("the guest does not come to rest: %w", err)
		}
		return g.save(ctx, o.Image.Disk, dir)
	})
}

// savedOf is what a saved guest is made of beside QEMU's arguments. Its memory belongs
// to that very disk: one that was built again, of the same inputs, is another.
func savedOf(qemu, disk string, built, now time.Time) []string {
	return []string{qemu, disk, built.UTC().String(), now.UTC().Truncate(savedFor).String(), settle}
}

// settle succeeds when the boot is over and driverd has nothing to do. Debian's
// dnf5daemon, which driverd would stop after a while, is stopped at once.
const settle = `test -s /var/lib/driverd/catalog-$(uname -r).json && systemctl is-active driverd.service &&
! systemd-inhibit --list --no-legend | grep -w block && test -z "$(systemctl list-jobs --no-legend)" &&
systemctl stop dnf5daemon-server.service && sync`

// save saves a running guest, whose disk differs from the image's in an overlay,
// into dir, and ends it.
func (g *Guest) save(ctx context.Context, image, dir string) error {
	if err := g.qmp.execute(ctx, "stop", nil, nil); err != nil {
		return err
	}
	if err := g.migrate(ctx, "migrate", filepath.Join(dir, "memory")); err != nil {
		return err
	}
	if err := g.qmp.execute(ctx, "quit", nil, nil); err != nil {
		return err
	}
	if err := g.Wait(ctx); err != nil {
		return err
	}
	file := filepath.Join(dir, "disk.qcow2")
	if err := run(ctx, exec.CommandContext(ctx, "cp", "--sparse=always", filepath.Join(g.dir, "disk.qcow2"), file)); err != nil {
		return err
	}
	// A cache can be copied: the disk below is found from where the overlay lies.
	below, err := filepath.Rel(dir, image)
	if err != nil {
		return err
	}
	return run(ctx, exec.CommandContext(ctx, "qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", below, file))
}

// migrate has QEMU write the guest's state to a file, or read it, and waits for the end.
func (g *Guest) migrate(ctx context.Context, command, file string) error {
	events := map[string]any{"capabilities": []any{map[string]any{"capability": "events", "state": true}}}
	if err := g.qmp.execute(ctx, "migrate-set-capabilities", events, nil); err != nil {
		return err
	}
	mark, failed := g.qmp.mark(), false
	if err := g.qmp.execute(ctx, command, map[string]any{"uri": "file:" + file}, nil); err != nil {
		return err
	}
	_, err := g.qmp.wait(ctx, mark, func(e qmpEvent) bool {
		failed = e.Data.Status == "failed"
		return e.Name == "MIGRATION" && (failed || e.Data.Status == "completed")
	})
	if err == nil && failed {
		err = errors.New("QEMU says that it failed")
	}
	if err != nil {
		return fmt.Errorf("cannot %s %s: %w", command, file, err)
	}
	return nil
}
