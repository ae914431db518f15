// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"path/filepath"
	"strings"

	"driverd/api"
	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	"driverd/hwdetect/kmsg"
	"driverd/internal/tree"
)

// shownLines is how much of the kernel's log an explanation shows.
const shownLines = 5

// AddKernelLog adds to an explanation what the kernel's log says of its device, with
// the rights of whoever asks: the service may not read it.
func AddKernelLog(x *api.Explanation, root string) {
	slot := x.Device.Slot
	entries, _ := KernelLog(root) // who may not read it sees none of it
	for _, e := range entries {
		if e.Mentions(slot) {
			x.KernelLog = append(x.KernelLog, e.Text)
		}
	}
	x.KernelLog = x.KernelLog[max(0, len(x.KernelLog)-shownLines):]
	files := firmware.Guest{Root: root, Release: x.KernelRelease}.Lacking(kmsg.MissingFirmware(entries, slot))
	if x.Device.Driver == "" || len(files) == 0 {
		return
	}
	without := firmware.Without(x.Device.Driver, files)
	if strings.Contains(x.Message, without) {
		return // the service knows
	}
	parsed, err := hwdetect.ParseSlot(slot)
	if err != nil {
		return
	}
	text := without + "; to bring it: driverd install 'firmware(" + files[0] + ")'; " + firmware.Reload(parsed, x.Device.Driver)
	if x.Message != "" {
		text += "; " + x.Message
	}
	x.Message, x.Device.Message = text, text
}

// KernelLog reads the log of the kernel whose files are under root.
func KernelLog(root string) ([]kmsg.Entry, error) {
	const name, maxRecord = "dev/kmsg", 16 << 20
	if filepath.Clean(root) != "/" { // a record
		text, err := tree.At(root).Read(name, maxRecord)
		return kmsg.Parse(string(text)), err
	}
	log, err := kmsg.Open("/" + name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	return log.Read(), nil
}
