// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"driverd/hwdetect"
)

// A guest has root ports rp1 to rp12 on bus 0, in order the first devices that
// the firmware numbers a bus for: what is plugged into rp1 is at 0000:01:00.0.
const rootPorts = 12

// widePort is the one with room for large BARs, and with a number for one more bus:
// elsewhere a display finds "no space" and its driver fails to probe, and so would a
// hundred functions; and a bridge gets no bus.
const widePort = "rp12"

const rootPortPrefix = "rp"

func rootPort(n int) string { return fmt.Sprintf("%s%d", rootPortPrefix, n) }

// Device is an emulated PCI device, for a guest's start or for Plug.
type Device struct {
	ID     string // QEMU's id, of the caller's choice
	Driver string // QEMU's name of the model: igb, e1000e, vmxnet3, megasas, edu...

	// Port is the root port it goes behind, the lowest free one if empty; or the bus
	// of another device that it is put on.
	Port string

	// Props are further properties, as device_add takes them.
	Props map[string]any

	// Blockdev is the disk that the device needs, as blockdev-add takes it,
	// node-name apart: that is the device's ID with "-disk" appended.
	Blockdev map[string]any

	// Network has the device on a network of its own, where there is a DHCP server, and nothing
	// else.
	Network bool

	// Part is what else the device consists of in QEMU, as device_add takes it: an
	// object that is on no bus, and can be there only at a guest's start.
	Part map[string]any
}

// NVMe is an NVMe controller with a disk of 64 MiB of zeroes.
func NVMe(id string) Device {
	return Device{
		ID: id, Driver: "nvme",
		Props:    map[string]any{"serial": id, "drive": id + "-disk"},
		Blockdev: map[string]any{"driver": "null-co", "size": 64 << 20, "read-zeroes": true},
	}
}

// NVMeFunctions is an NVMe controller for a guest's start that can have so many
// virtual functions, and has no disk. They are there, and answer nothing: whoever manages the
// controller would have to give them queues first, and their driver finds that
// they are not ready.
func NVMeFunctions(id string, functions int) Device {
	return Device{
		ID: id, Driver: "nvme", Port: widePort,
		Part: map[string]any{"driver": "nvme-subsys", "id": id + "-subsystem"},
		Props: map[string]any{
			"serial": id, "subsys": id + "-subsystem", "sriov_max_vfs": functions,
			"sriov_vq_flexible": 2 * functions, "sriov_vi_flexible": functions, // the least that QEMU allows
			"max_ioqpairs": 2*functions + 2, "msix_qsize": functions + 1,
		},
	}
}

// USBStorage is a USB disk of 64 MiB of zeroes, for the USB controller of an id.
func USBStorage(id, controller string) Device {
	return Device{
		ID: id, Driver: "usb-storage", Port: busOf(controller),
		Props:    map[string]any{"serial": id, "drive": id + "-disk"},
		Blockdev: map[string]any{"driver": "null-co", "size": 64 << 20, "read-zeroes": true},
	}
}

// HDACodec is an audio codec, for the audio controller of an id, at a guest's start.
func HDACodec(id, controller string) Device {
	return Device{ID: id, Driver: "hda-duplex", Port: busOf(controller), Props: map[string]any{"audiodev": id + "-sound"}}
}

// BochsDisplay is a virtual display, on the one port that it fits behind.
func BochsDisplay(id string) Device {
	return Device{ID: id, Driver: "bochs-display", Port: widePort}
}

// PCIeBridge is a bridge to a conventional bus, on the one port that has a number for that
// bus. The cards on the bus have its ID as their Port, and an addr from 1.
func PCIeBridge(id string) Device {
	return Device{ID: id, Driver: "pcie-pci-bridge", Port: widePort}
}

// PCIBridge is a bridge between conventional buses, like PCIeBridge, on a bus and at an
// address. QEMU lets it have cards while a guest runs only if it has a standard hot-plug
// controller (SHPC).
func PCIBridge(id, bus, addr string) Device {
	return Device{ID: id, Driver: "pci-bridge", Port: bus, Props: map[string]any{"addr": addr, "chassis_nr": rootPorts + 1, "shpc": true}}
}

// end is what a device is connected to in QEMU: the commands that make it and take it away.
type end struct {
	add, remove string
	made, named map[string]any // their arguments
}

// disk is what has the disk of the device.
func (d Device) disk() string { return d.ID + "-disk" }

// network is what has the network of the device.
func (d Device) network() string { return d.ID + "-net" }

// arguments returns what QEMU is told of the device and of its ends.
func (d Device) arguments() (device map[string]any, ends []end) {
	device = map[string]any{"driver": d.Driver, "id": d.ID, "bus": d.Port}
	if d.Network {
		device["netdev"] = d.network()
		ends = append(ends, end{
			"netdev_add", "netdev_del",
			map[string]any{"type": "user", "id": d.network(), "restrict": true}, map[string]any{"id": d.network()},
		})
	}
	if d.Blockdev != nil {
		made := map[string]any{"node-name": d.disk()}
		maps.Copy(made, d.Blockdev)
		ends = append(ends, end{"blockdev-add", "blockdev-del", made, map[string]any{"node-name": d.disk()}})
	}
	maps.Copy(device, d.Props)
	return device, ends
}

// claim notes that d sits behind its port, choosing one if it names none.
func (g *Guest) claim(d Device) (Device, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.plugged[d.ID]; ok {
		return d, fmt.Errorf("cannot plug in %s: there is a device of that id", d.ID)
	}
	used := map[string]bool{}
	for _, other := range g.plugged {
		used[other.Port] = strings.HasPrefix(other.Port, rootPortPrefix) // another bus has room for more
	}
	if d.Port == "" {
		d.Port = g.bus
	}
	for n := 1; d.Port == "" && n <= rootPorts; n++ {
		if port := rootPort(n); port != widePort && !used[port] {
			d.Port = port
		}
	}
	if d.Port == "" || used[d.Port] {
		return d, fmt.Errorf("cannot plug in %s: no free root port", d.ID)
	}
	g.plugged[d.ID] = d
	return d, nil
}

// release forgets the device of that id.
func (g *Guest) release(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.plugged, id)
}

// Plug puts a device into the running guest and returns its slot. The guest
// sees it a moment later.
func (g *Guest) Plug(ctx context.Context, d Device) (hwdetect.Slot, error) {
	if err := g.add(ctx, d); err != nil {
		return hwdetect.Slot{}, err
	}
	return g.Slot(ctx, d.ID)
}

// PlugTogether puts devices into the running guest, which does not run meanwhile: it sees
// all of them at once.
func (g *Guest) PlugTogether(ctx context.Context, devices ...Device) (err error) {
	if err := g.qmp.execute(ctx, "stop", nil, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.qmp.execute(ctx, "cont", nil, nil)) }()
	for _, d := range devices {
		if err := g.add(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// PlugBelow puts a device on the bus of another one that is plugged in.
func (g *Guest) PlugBelow(ctx context.Context, d Device) error { return g.add(ctx, d) }

// busOf is the first bus of the device with an id, as QEMU names it.
func busOf(id string) string { return id + ".0" }

func (g *Guest) add(ctx context.Context, d Device) error {
	d, err := g.claim(d)
	if err != nil {
		return err
	}
	device, ends := d.arguments()
	for n, e := range ends {
		if err := g.qmp.execute(ctx, e.add, e.made, nil); err != nil {
			g.release(d.ID)
			return errors.Join(err, g.disconnect(ctx, ends[:n]))
		}
	}
	if err := g.qmp.execute(ctx, "device_add", device, nil); err != nil {
		g.release(d.ID)
		return errors.Join(err, g.disconnect(ctx, ends))
	}
	return nil
}

// Unplug asks the guest to let a device go and waits until it is gone, which
// takes it half a second with ACPI hotplug, and a display driver far longer.
func (g *Guest) Unplug(ctx context.Context, id string) error {
	return g.takeOut(ctx, id, func(Device) error {
		mark := g.qmp.mark()
		if err := g.qmp.execute(ctx, "device_del", map[string]any{"id": id}, nil); err != nil {
			return err
		}
		_, err := g.qmp.wait(ctx, mark, func(e qmpEvent) bool {
			return e.Name == "DEVICE_DELETED" && e.Data.Device == id
		})
		if err != nil {
			return fmt.Errorf("cannot unplug %s: the guest keeps it: %w", id, err)
		}
		return nil
	})
}

// pullOut has the Slot Control of a root port say that the slot's power and its power
// indicator are off, on which QEMU removes the card at once, and then that they are on. Until
// they are, the port sends no interrupt: with the power off the kernel takes the card for one
// that it has removed itself. pulledOut succeeds when the kernel has turned both off.
const (
	pullOut   = "setpci -s %s CAP_EXP+18.w=0700:0720 CAP_EXP+18.w=0100:0720 CAP_EXP+18.w=0120:0720"
	pulledOut = "[ $((0x$(setpci -s %s CAP_EXP+18.w) & 0x700)) = $((0x700)) ]"
)

// PullOut takes a device out of a root port of Q35Native by surprise: the guest's kernel
// learns from the port that the card is gone. QEMU has no command for that, as device_del
// asks the guest first. PullOut returns when the slot can take another card: QEMU would
// remove one that comes before the kernel has turned the slot's power off.
func (g *Guest) PullOut(ctx context.Context, id string) error {
	return g.takeOut(ctx, id, func(d Device) error {
		port, err := g.Slot(ctx, d.Port)
		if err != nil {
			return err
		}
		if _, err := g.Output(ctx, fmt.Sprintf(pullOut, port)); err != nil {
			return err
		}
		if _, err := g.Until(ctx, fmt.Sprintf(pulledOut, port)); err != nil {
			return fmt.Errorf("cannot pull out %s: the guest keeps it: %w", id, err)
		}
		return nil
	})
}

// takeOut has take remove a device, and forgets it.
func (g *Guest) takeOut(ctx context.Context, id string, take func(Device) error) error {
	g.mu.Lock()
	d, ok := g.plugged[id]
	g.mu.Unlock()
	if !ok {
		return fmt.Errorf("cannot take out %s: no such device", id)
	}
	if err := take(d); err != nil {
		return err
	}
	g.release(id)
	_, ends := d.arguments()
	return g.disconnect(ctx, ends)
}

// disconnect takes away what a device was connected to.
func (g *Guest) disconnect(ctx context.Context, ends []end) error {
	var errs []error
	for _, e := range ends {
		errs = append(errs, g.qmp.execute(ctx, e.remove, e.named, nil))
	}
	return errors.Join(errs...)
}

// Slot returns where the device of that id is, as the guest's firmware or
// kernel numbered the buses.
func (g *Guest) Slot(ctx context.Context, id string) (hwdetect.Slot, error) {
	type pciDevice struct {
		QdevID   string `json:"qdev_id"`
		Bus      uint8  `json:"bus"`
		Slot     uint8  `json:"slot"`
		Function uint8  `json:"function"`
		Bridge   struct {
			Devices []pciDevice `json:"devices"`
		} `json:"pci_bridge"`
	}
	var buses []struct {
		Devices []pciDevice `json:"devices"`
	}
	if err := g.qmp.execute(ctx, "query-pci", nil, &buses); err != nil {
		return hwdetect.Slot{}, err
	}
	var devices []pciDevice
	for _, bus := range buses {
		devices = append(devices, bus.Devices...)
	}
	for ; len(devices) > 0; devices = devices[1:] {
		d := devices[0]
		if d.QdevID == id {
			return hwdetect.Slot{Bus: d.Bus, Device: d.Slot, Function: d.Function}, nil
		}
		devices = append(devices, d.Bridge.Devices...)
	}
	return hwdetect.Slot{}, fmt.Errorf("cannot find device %s in the guest", id)
}
