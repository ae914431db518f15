// SPDX-License-Identifier: Apache-2.0

// Package udev says when to look at the PCI devices, and what is below them, again. It is the only
// package that imports go-udev, and with it libudev and cgo.
package udev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jochenvg/go-udev"
	"github.com/rs/zerolog"

	"driverd/hwdetect"
)

const (
	// netlinkGroup is where udevd sends an event when its rules have run. The
	// kernel's own group is too early: 80-drivers.rules loads modules, so only
	// udevd's "add" of a device without a driver means that nobody had one.
	netlinkGroup = "udev"

	// control exists while udevd runs, or systemd would start it
	// (systemd-udevd-control.socket).
	control = "/run/udev/control"

	// receiveBuffer is what udevd itself asks for. The kernel's default holds
	// some 220 events, and 120 virtual functions at once make 600.
	receiveBuffer = 128 << 20

	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 30 * time.Second
)

// subsystems are those of which events are heard, each with the type of device if not
// all: the buses of what is below PCI devices, and the classes of what those give the
// guest. The kernel filters by them, so that nobody is woken by a partition, a queue of
// a network card or a module. What is on another bus is seen at the periodic look.
var subsystems = [][2]string{
	{"pci", ""},
	{"auxiliary", ""}, {"usb", "usb_interface"}, {"hdaudio", ""}, {"mdio_bus", ""}, {"virtio", ""}, {"scsi", "scsi_device"}, {"i2c", ""}, {"hid", ""},
	{"net", ""}, {"infiniband", ""}, {"drm", ""}, {"nvme", ""}, {"block", "disk"},
}

// listenTime is how long a monitor is listened to. The kernel tells of an
// overrun of the receive buffer once, and drops all events until the buffer is
// empty; go-udev takes that word for the end of the events and waits for the
// next, which does not come. So each monitor is followed by another: the look
// that its start asks for is the one that would be due anyway.
var listenTime = 50 * time.Second

// Watch calls changed for each udev event of a PCI device, or of something below one,
// with the slot of that device, and kick once after every start of the monitor, since
// events may have been missed before. Both say that it is time to look, not what there
// is to see. They must not block.
//
// Watch starts the monitor again when it breaks, and every listenTime, and returns
// ctx's error when ctx is done; since libudev is polled, that takes up to a second.
//
// Events can still be lost without a trace: an overrun of the receive buffer is
// not told, nor that udevd is missing. So whoever uses Watch looks once in a while
// without being asked.
func Watch(ctx context.Context, log zerolog.Logger, kick func(), changed func(hwdetect.Slot)) error {
	if _, err := os.Stat(control); err != nil {
		log.Warn().Str("event", "udevd-missing").Msgf("udevd does not run, PCI devices are seen at the periodic look only: %v", err)
	}
	u := new(udev.Udev)
	backoff := firstBackoff
	for {
		start := time.Now()
		err := monitor(ctx, u, log, kick, changed)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			continue
		}
		if time.Since(start) > lastBackoff {
			backoff = firstBackoff
		}
		log.Warn().Str("event", "udev-monitor-broken").Msgf("the udev monitor broke and is started again in %s: %v", backoff, err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// monitor runs one udev monitor until it breaks, its time is over or ctx is done.
// Its socket is closed by a finalizer of go-udev.
func monitor(ctx context.Context, u *udev.Udev, log zerolog.Logger, kick func(), changed func(hwdetect.Slot)) error {
	m := u.NewMonitorFromNetlink(netlinkGroup)
	if m == nil {
		return errors.New("cannot open a netlink socket for udev events")
	}
	for _, of := range subsystems {
		filter := func() error { return m.FilterAddMatchSubsystem(of[0]) }
		if of[1] != "" {
			filter = func() error { return m.FilterAddMatchSubsystemDevtype(of[0], of[1]) }
		}
		if err := filter(); err != nil {
			return fmt.Errorf("cannot filter udev events: %w", err)
		}
	}
	// Beyond net.core.rmem_max this takes CAP_NET_ADMIN. Without it the buffer
	// has grown to that limit, and the error says that it is not what was asked.
	if err := m.SetReceiveBufferSize(receiveBuffer); err != nil {
		log.Debug().Err(err).Int("bytes", receiveBuffer).Msg("the udev monitor has a smaller receive buffer")
	}
	listening, stop := context.WithTimeout(ctx, listenTime)
	defer stop()
	devices, failures, err := m.DeviceChan(listening)
	if err != nil {
		return fmt.Errorf("cannot listen to udev events: %w", err)
	}
	kick()

	// go-udev's goroutine sends without looking at ctx: only a closed channel
	// shows that it is gone.
	err = errors.New("the monitor ended by itself")
	for {
		select {
		case device, open := <-devices:
			if !open && listening.Err() != nil {
				return nil
			}
			if !open {
				return err
			}
			slot, ok := slotOf(device.Devpath())
			if !ok {
				continue // a network interface of a container, say
			}
			changed(slot)
			if event := log.Debug(); event.Enabled() {
				event.Stringer("slot", slot).Str("device", device.Sysname()).Str("action", device.Action()).Msg("udev event")
			}
		case failure, open := <-failures:
			if !open {
				failures = nil // it is closed before devices is
				continue
			}
			err = failure
		}
	}
}

// slotOf returns the slot of the PCI device that a device is, or is below.
func slotOf(devpath string) (hwdetect.Slot, bool) {
	for _, name := range slices.Backward(strings.Split(devpath, "/")) {
		if slot, err := hwdetect.ParseSlot(name); err == nil {
			return slot, true
		}
	}
	return hwdetect.Slot{}, false
}
