// SPDX-License-Identifier: Apache-2.0

// Command demo shows driverd's main job to a person, in a real guest: a network
// card is plugged in, and its driver, which the guest does not have, arrives; then a
// USB controller with a disk, which needs drivers of its own.
//
//	go run ./lab/cmd/demo RPM         the guest ends with the show
//	go run ./lab/cmd/demo RPM PAGE    it has Cockpit too, with our page of that
//	                                  package, and goes on until Ctrl-C
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"driverd/api"
	"driverd/hwdetect"
	"driverd/lab"
)

// patience is for one step of the show on a slow machine.
const patience = 5 * time.Minute

func main() {
	if len(os.Args) != 2 && len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: demo RPM [PAGE]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := show(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func show(ctx context.Context, rpms []string) (err error) {
	keep := len(rpms) > 1
	heading("A guest that runs: built and booted once, then restored")
	if err := lab.Prepare(ctx); err != nil {
		return err
	}
	var image *lab.Image
	if keep {
		image, err = lab.BuildCockpitImage(ctx, rpms...)
	} else {
		image, err = lab.BuildImage(ctx, rpms[0])
	}
	if err != nil {
		return err
	}
	start := time.Now()
	guest, err := lab.Resume(ctx, lab.Options{Image: image, Parallel: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guest.Close()) }()
	fmt.Printf("it answers after %.1f s\n", time.Since(start).Seconds())
	d := demo{guest}

	heading("The base guest: no igb driver, and driverd waiting")
	if err := d.run(ctx, "rpm -qa 'kernel*' driverd | sort; find /lib/modules -name 'igb*.ko*' | wc -l",
		"systemctl show -p ActiveState,User,MemoryCurrent driverd.service"); err != nil {
		return err
	}
	slot, err := d.plug(ctx)
	if err != nil {
		return err
	}
	if err := d.disk(ctx); err != nil {
		return err
	}
	if err := d.virtualFunctions(ctx, slot); err != nil {
		return err
	}
	heading("What it has done")
	if err := d.run(ctx, "driverd status", "driverd history"); err != nil {
		return err
	}
	if keep {
		return d.keep(ctx)
	}
	heading("Done: the guest ends here")
	return nil
}

type demo struct{ guest *lab.Guest }

// keep says how the guest is looked at in a browser, and waits for Ctrl-C.
func (d demo) keep(ctx context.Context) error {
	address, err := d.guest.Forward(ctx, 9090)
	if err != nil {
		return err
	}
	heading("Done: the guest goes on until Ctrl-C")
	fmt.Printf("Look at http://%s/driverd\nlog in as %s, who may become root, or as %s; the password is %s\n",
		address, lab.CockpitAdmin, lab.CockpitVisitor, lab.CockpitPassword)
	if err := d.guest.Wait(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}

// plug plugs igb in and shows how it gets its driver.
func (d demo) plug(ctx context.Context) (hwdetect.Slot, error) {
	heading("An igb network card is plugged in")
	slot, err := d.guest.Plug(ctx, lab.Device{ID: "nic", Driver: "igb"})
	if err != nil {
		return slot, err
	}
	fmt.Printf("it is in slot %s; waiting until its driver is installed and bound\n", slot)
	if err := d.bound(ctx, slot, "igb"); err != nil {
		return slot, err
	}
	heading("What the service says, and its interface, up")
	return slot, d.run(ctx,
		"driverd explain "+slot.String(),
		"ip link set $(ls /sys/bus/pci/devices/"+slot.String()+"/net) up; until driverd status | grep 'igb: net/.*, up'; do sleep 0.2; done",
		"busctl get-property "+api.BusName+" "+api.DevicePath(slot.String())+" "+api.DeviceInterface+" State Driver Packages",
		"journalctl -u driverd.service -o cat --no-pager | tail -8")
}

// disk plugs a USB controller in, with a disk, and shows the disk.
func (d demo) disk(ctx context.Context) error {
	heading("A USB controller with a disk is plugged in")
	slot, err := d.guest.Plug(ctx, lab.Device{ID: "usb", Driver: "qemu-xhci"})
	if err != nil {
		return err
	}
	if err := d.guest.PlugBelow(ctx, lab.USBStorage("stick", "usb")); err != nil {
		return err
	}
	fmt.Printf("it is in slot %s; waiting until its driver is bound, and the disk is there\n", slot)
	if err := d.bound(ctx, slot, "xhci_hcd"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("more than %s have passed", patience))
	defer cancel()
	if _, err := d.guest.Until(ctx, "driverd status | grep -q 'xhci_hcd: block/'"); err != nil {
		return err
	}
	return d.run(ctx, "driverd explain "+slot.String()+" | sed -n '/^functions/,/^timeline/p'")
}

// virtualFunctions makes three and shows that they are driven too.
func (d demo) virtualFunctions(ctx context.Context, physical hwdetect.Slot) error {
	heading("Three virtual functions are made of it, and wait for theirs")
	if err := d.run(ctx, "echo 3 >/sys/bus/pci/devices/"+physical.String()+"/sriov_numvfs"); err != nil {
		return err
	}
	// The kernel numbers them: igb's first is at 10.0, and every second device follows.
	out, err := d.guest.Output(ctx, "for f in /sys/bus/pci/devices/"+physical.String()+"/virtfn*; do basename $(readlink $f); done")
	if err != nil {
		return err
	}
	functions := strings.Fields(out)
	if len(functions) != 3 {
		return fmt.Errorf("the kernel made %d virtual functions, not 3: %q", len(functions), out)
	}
	for _, name := range functions {
		slot, err := hwdetect.ParseSlot(name)
		if err != nil {
			return err
		}
		if err := d.bound(ctx, slot, "igbvf"); err != nil {
			return err
		}
	}
	return nil
}

// bound prints the device's timeline as it grows, until its driver is bound.
func (d demo) bound(ctx context.Context, slot hwdetect.Slot, driver string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("more than %s have passed", patience))
	defer cancel()
	printed := 0
	final, err := d.guest.AwaitState(ctx, slot, func(s lab.Shown) {
		for _, step := range s.Timeline[min(printed, len(s.Timeline)):] {
			fmt.Printf("  %s  %-10s +%6.2f s\n", slot, step.Name, step.Time.Sub(s.Timeline[0].Time).Seconds())
			printed++
		}
	}, "bound", "failed", "blocked", "unavailable", "unsupported")
	if err != nil {
		return errors.Join(err, d.run(context.WithoutCancel(ctx), "journalctl -u driverd.service -o cat --no-pager | tail -20"))
	}
	if final.State != "bound" || final.Driver != driver {
		return fmt.Errorf("%s is %s, driver %q, reason %q: %s", slot, final.State, final.Driver, final.Reason, final.Message)
	}
	fmt.Printf("  %s  is bound to %s\n", slot, final.Driver)
	return nil
}

// run runs commands in the guest, and shows them with what they print.
func (d demo) run(ctx context.Context, commands ...string) error {
	for _, command := range commands {
		out, err := d.guest.Output(ctx, command)
		fmt.Printf("guest# %s\n", command)
		for line := range strings.Lines(out) {
			fmt.Print("  ", line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func heading(text string) {
	fmt.Printf("\n== %s\n", text)
}
