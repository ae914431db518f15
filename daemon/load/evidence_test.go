// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"errors"
	"strings"
	"testing"

	"driverd/daemon/load"
	"driverd/hwdetect"
	"driverd/hwdetect/kmsg"
	"driverd/reason"
)

var slot = hwdetect.Slot{Bus: 1}

// said are entries as the kernel makes them of what a driver says of a device.
func said(device string, texts ...string) []kmsg.Entry {
	var log []kmsg.Entry
	for _, text := range texts {
		log = append(log, kmsg.Entry{Text: text, Device: device})
	}
	return log
}

// What modprobe and the kernel say is as kmod 34 and Linux 6.12 and 5.14 do.
func TestEvidence(t *testing.T) {
	t.Parallel()
	const (
		igb    = "+pci:0000:01:00.0"
		insert = "could not insert 'igb': "
	)
	for _, test := range []struct {
		name string
		load.Evidence
		why  reason.Reason
		says string
	}{
		{"modprobe.d, and modprobe.blacklist=", load.Evidence{Missing: []string{"igb"}}, reason.Blacklisted, "modprobe --showconfig"},
		{
			"one of two is blacklisted, the other not made for it",
			load.Evidence{Modules: []string{"8139cp", "8139too"}, Missing: []string{"8139cp"}}, reason.Blacklisted, "8139cp",
		},
		{
			"install /bin/false",
			load.Evidence{Missing: []string{"igb"}, Complaint: "libkmod: ERROR ../libkmod/libkmod-module.c:1047 command_do: Error running install command '/bin/false' for module igb: retcode 1; " + insert + "Invalid argument"},
			reason.Blacklisted, "/bin/false",
		},
		{
			"module_blacklist=", load.Evidence{Missing: []string{"igb"}, Complaint: insert + "Operation not permitted", Denied: []string{"x", "igb"}, Locked: true},
			reason.Blacklisted, "module_blacklist= on the kernel's command line denies igb",
		},
		{
			"module_blacklist= of what it needs",
			load.Evidence{
				Missing: []string{"igb"}, Complaint: insert + "Operation not permitted", Denied: []string{"dca"}, Locked: true,
				Log: said("", "Module dca is blacklisted"),
			},
			reason.Blacklisted, "denies dca",
		},
		{
			"modules_disabled", load.Evidence{Missing: []string{"igb"}, Complaint: insert + "Operation not permitted", Disabled: true, Locked: true},
			reason.ModulesDisabled, "reboot",
		},
		{"another's key", load.Evidence{Missing: []string{"igb"}, Complaint: insert + "Key was rejected by service"}, reason.KeyRejected, "signature of igb"},
		{"a broken signature", load.Evidence{Missing: []string{"igb"}, Complaint: insert + "Bad message"}, reason.KeyRejected, "signature of igb"},
		{
			"lockdown",
			load.Evidence{
				Missing: []string{"igb"}, Complaint: insert + "Operation not permitted", Locked: true,
				Log: said("", "Module other is blacklisted", "Lockdown: modprobe: unsigned module loading is restricted; see man kernel_lockdown.7"),
			},
			reason.Lockdown, "the kernel says: Lockdown: modprobe: unsigned",
		},
		{"lockdown, without a log", load.Evidence{Missing: []string{"igb"}, Complaint: insert + "Operation not permitted", Locked: true}, reason.Lockdown, "locked down"},
		{"not permitted, and nobody knows why", load.Evidence{Missing: []string{"igb"}, Complaint: insert + "Operation not permitted"}, reason.ProbeFailed, "Operation not permitted"},
		{
			"another kernel's module",
			load.Evidence{
				Missing: []string{"igb"}, Complaint: insert + "Exec format error",
				Log: said("", "igb: disagrees about version of symbol module_layout", "bigb: not about it", "igb_vfio: nor this"),
			},
			reason.ProbeFailed, "Exec format error; the kernel says: igb: disagrees about version of symbol module_layout",
		},
		{
			"the probe fails",
			load.Evidence{Log: append(said(igb, "igb 0000:01:00.0: BAR 0: no space", "igb 0000:01:00.0: probe with driver igb failed with error -12"),
				said("+pci:0000:02:00.0", "igb 0000:02:00.0: probe with driver igb failed with error -5")...)},
			reason.ProbeFailed, "the kernel says: igb 0000:01:00.0: BAR 0: no space; igb 0000:01:00.0: probe with driver igb failed with error -12",
		},
		{"the probe fails, before Linux 6.8", load.Evidence{Log: said("", "igb: probe of 0000:01:00.0 failed with error -12")}, reason.ProbeFailed, "error -12"},
		{"the probe of another fails", load.Evidence{Log: said("", "igb: probe of 10000:01:00.0 failed with error -12")}, reason.ProbeFailed, "igb is loaded, but has not taken it"},
		{
			"firmware",
			load.Evidence{Log: said(igb, "igb 0000:01:00.0: Direct firmware load for e100/d102e_ucode.bin failed with error -2",
				"igb 0000:01:00.0: probe with driver igb failed with error -22")},
			reason.FirmwareMissing, "/lib/firmware/e100/d102e_ucode.bin; the kernel says: ",
		},
		{
			"another's firmware",
			load.Evidence{Log: said("+pci:0000:02:00.0", "igb 0000:02:00.0: Direct firmware load for e100/d102e_ucode.bin failed with error -2")},
			reason.ProbeFailed, "igb is loaded, but has not taken it",
		},
		{
			"firmware that is there, and cannot be read",
			load.Evidence{Log: said(igb, "igb 0000:01:00.0: Direct firmware load for x failed with error -22")}, reason.ProbeFailed, "error -22",
		},
		{"drivers_autoprobe", load.Evidence{Idle: true}, reason.ProbeFailed, "drivers_autoprobe"},
		{"no word", load.Evidence{}, reason.ProbeFailed, "igb is loaded, but has not taken it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v := test.Evidence
			v.Slot = slot
			if v.Modules == nil {
				v.Modules = []string{"igb"}
			}
			err := v.Explain()
			if reason.Of(err) != test.why || !strings.Contains(err.Error(), test.says) || !strings.HasPrefix(err.Error(), "cannot load its driver: ") {
				t.Errorf("%s: %v; want %s, and %q", reason.Of(err), err, test.why, test.says)
			}
			if strings.Contains(err.Error(), "0000:02:00.0") || strings.Contains(err.Error(), "bigb") || strings.Contains(err.Error(), "igb_vfio") {
				t.Errorf("quotes what is about others: %v", err)
			}
		})
	}
}

// A driver that was loaded when its device came has failed before the step
// began. What was said of another device in the same slot is not about this one.
func TestRemember(t *testing.T) {
	t.Parallel()
	v := load.Evidence{Slot: slot, Modules: []string{"igb"}}
	v.Remember(said("+pci:0000:01:00.0",
		"pci 0000:01:00.0: [1000:0060] type 00 class 0x010400 PCIe Endpoint",
		"megaraid_sas 0000:01:00.0: Direct firmware load for x failed with error -2",
		"pci 0000:01:00.0: [8086:10c9] type 00 class 0x020000 PCIe Endpoint",
		"igb 0000:01:00.0: probe with driver igb failed with error -12"))
	v.Remember(said("+pci:0000:02:00.0", "igb 0000:02:00.0: Direct firmware load for y failed with error -2"))
	err := v.Explain()
	if reason.Of(err) != reason.ProbeFailed || !strings.HasSuffix(err.Error(), "; the kernel says: igb 0000:01:00.0: probe with driver igb failed with error -12") {
		t.Error(err)
	}
}

// Of a long story, the end is quoted.
func TestQuotesTheEnd(t *testing.T) {
	t.Parallel()
	v := load.Evidence{Slot: slot, Modules: []string{"igb"}}
	for _, text := range []string{"one", "two", "three", "four", "five"} {
		v.Log = append(v.Log, said("+pci:0000:01:00.0", text)...)
	}
	if got := v.Explain().Error(); !strings.HasSuffix(got, "; the kernel says: two; three; four; five") {
		t.Error(got)
	}
}

// A driver that says nothing of a device that it has not taken may not know it.
func TestSilent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		load.Evidence
		want bool
	}{
		"no word":               {load.Evidence{}, true},
		"a word of the PCI bus": {load.Evidence{Log: said("", "pci 0000:01:00.0: BAR 0 [mem 0x80000000-0x80003fff]: assigned")}, true},
		"a word of a driver":    {load.Evidence{Log: said("", "igb 0000:01:00.0: The NVM Checksum Is Not Valid")}, false},
		"its probe fails":       {load.Evidence{Log: said("", "igb 0000:01:00.0: probe with driver igb failed with error -5")}, false},
		"it is not loaded":      {load.Evidence{Missing: []string{"igb"}}, false},
		"nobody looks":          {load.Evidence{Idle: true}, false},
	} {
		test.Slot, test.Modules = slot, []string{"igb"}
		if got := errors.Is(test.Explain(), reason.ErrSilent); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}
