// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// power starts QEMU with the kernel of an image, and waits for the guest.
func (g *Guest) power(ctx context.Context, image *Image, terminal bool) error {
	args, err := g.args(ctx, image)
	if err != nil {
		return err
	}
	if err := g.launch(args, terminal); err != nil {
		return err
	}
	if g.qmp, err = g.dialQMP(ctx); err != nil {
		return err
	}
	if image.Disk == "" {
		return g.agent.await(ctx)
	}
	return g.awaitAgent(ctx, 0)
}

// Reboot reboots the guest, disk and devices staying as they are, and returns
// when its agent answers again.
func (g *Guest) Reboot(ctx context.Context) error {
	if err := g.mayEnd(ctx); err != nil {
		return err
	}
	mark := g.qmp.mark()
	// The agent may be gone before it can tell how the command ended.
	if _, err := g.agent.start(ctx, "systemctl --no-block reboot"); err != nil {
		return err
	}
	return g.restarted(ctx, mark)
}

// Reset resets the guest as a power failure would: what it had not written to
// its disk is lost. Devices stay. It returns when its agent answers again.
func (g *Guest) Reset(ctx context.Context) error {
	mark := g.qmp.mark()
	if err := g.qmp.execute(ctx, "system_reset", nil, nil); err != nil {
		return err
	}
	return g.restarted(ctx, mark)
}

// restarted waits until the guest has gone through a reset, looking at events
// from mark on, and its agent answers again.
func (g *Guest) restarted(ctx context.Context, mark int) error {
	mark, err := g.qmp.wait(ctx, mark, func(e qmpEvent) bool { return e.Name == "RESET" })
	if err != nil {
		return fmt.Errorf("the guest does not start again: %w", err)
	}
	g.agent.close()
	return g.awaitAgent(ctx, mark)
}

// RebootInto reboots the guest, its disk staying as it is, into the kernel of
// another image: this is what a boot loader does elsewhere. What was
// plugged in since the first start is gone.
func (g *Guest) RebootInto(ctx context.Context, image *Image) error {
	if err := g.mayEnd(ctx); err != nil {
		return err
	}
	if _, err := g.agent.start(ctx, "systemctl --no-block poweroff"); err != nil {
		return err
	}
	if err := g.Wait(ctx); err != nil {
		return fmt.Errorf("cannot reboot the guest: it does not end: %w", err)
	}
	g.agent.close()
	if err := errors.Join(g.qmp.conn.Close(), g.output.Close()); err != nil {
		return fmt.Errorf("cannot reboot the guest: %w", err)
	}
	// A socket of the QEMU that ended would be taken for the new one's.
	for _, socket := range []string{"qmp", "monitor", "agent"} {
		if err := os.Remove(filepath.Join(g.dir, socket)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot reboot the guest: %w", err)
		}
	}
	g.mu.Lock()
	g.plugged = map[string]Device{}
	for _, d := range g.cold {
		g.plugged[d.ID] = d
	}
	g.mu.Unlock()
	return g.power(ctx, image, false)
}

// mayEnd waits until nothing forbids the guest to end: DNF does as long as a
// transaction runs, and systemctl then refuses.
func (g *Guest) mayEnd(ctx context.Context) error {
	if _, err := g.Until(ctx, "! systemd-inhibit --list --no-legend | grep -w block"); err != nil {
		return fmt.Errorf("cannot reboot the guest: something forbids it: %w", err)
	}
	return nil
}
