// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	"driverd/hwdetect/kmsg"
	"driverd/reason"
)

// Evidence is all that tells why no driver has taken a device.
type Evidence struct {
	Slot       hwdetect.Slot
	Generation uint64 // of the device's stay there

	Modules   []string     // that claim the device
	Missing   []string     // of these, that the kernel has not loaded
	Complaint string       // of modprobe, empty if it had none
	Disabled  bool         // the kernel loads no modules
	Locked    bool         // the kernel is locked down
	Idle      bool         // the bus does not look for drivers by itself
	Denied    []string     // modules that the kernel command line denies
	Before    []kmsg.Entry // what the kernel said of the device before the step began
	Log       []kmsg.Entry // what it has said since, of whatever

	came time.Duration // when the device did, after the start of the guest
}

// What the kernel says (Linux: really_probe
// in drivers/base/dd.c, kernel/module/main.c, security/lockdown/lockdown.c).
var (
	probeFailed = regexp.MustCompile(`\bprobe (?:with driver \S+|of \S+) failed with error -\d+`)
	denied      = regexp.MustCompile(`^Module (\S+) is blacklisted$`)
	lockedDown  = regexp.MustCompile(`^Lockdown: modprobe: .* restricted`)
)

// Remember takes what was said of the device since it came: a driver that was
// loaded then has failed before the step could begin.
func (v *Evidence) Remember(log []kmsg.Entry) {
	for _, e := range log {
		switch {
		case !e.Mentions(v.Slot.String()):
		case e.Begins():
			v.Before, v.came = nil, e.Time
		default:
			v.Before = append(v.Before, e)
		}
	}
}

// Explain says why no driver has taken the device. What the driver said of the
// device comes first: it got furthest.
func (v *Evidence) Explain() error {
	if files := v.firmware(); len(files) > 0 {
		return &firmware.MissingError{Files: files, Err: v.because(reason.FirmwareMissing, "its driver lacks the firmware /lib/firmware/%s%s",
			strings.Join(files, " and /lib/firmware/"), quote(v.ofDevice()))}
	}
	if probeOf(v.Slot, v.ofDevice()) != "" {
		return v.because(reason.ProbeFailed, "its driver is loaded and has failed%s", quote(v.ofDevice()))
	}
	if v.Complaint != "" || len(v.Missing) > 0 {
		return v.notLoadedBecause()
	}
	if v.Idle {
		return v.because(reason.ProbeFailed,
			"%s is loaded, but the kernel may not look for devices: 0 is in /sys/bus/pci/drivers_autoprobe", strings.Join(v.Modules, " "))
	}
	err := v.because(reason.ProbeFailed, "%s is loaded, but has not taken it%s", strings.Join(v.Modules, " "), quote(v.ofDevice()))
	if !slices.ContainsFunc(v.ofDevice(), ofDriver) {
		return reason.Silent(err)
	}
	return err
}

// notLoadedBecause says why modules were not loaded.
func (v *Evidence) notLoadedBecause() error {
	if v.Complaint != "" {
		return v.refused()
	}
	// modprobe has not said a word
	return v.because(reason.Blacklisted, "%s is blacklisted for modprobe: see modprobe --showconfig", strings.Join(v.Missing, " "))
}

// ofDriver says whether an entry may be a driver's: what the PCI bus says of a device
// begins with its own name (Linux: dev_driver_string in drivers/base/core.c).
func ofDriver(e kmsg.Entry) bool { return !strings.HasPrefix(e.Text, "pci ") }

// refused says why modprobe could not load a module. The kernel has one error
// number for three of the causes, so its log and its settings must tell.
func (v *Evidence) refused() error {
	modules := strings.Join(v.Missing, " ")
	switch {
	case v.Disabled:
		return v.because(reason.ModulesDisabled, "the kernel loads no more modules (kernel.modules_disabled is 1): reboot to load %s", modules)
	case v.complains(unix.EKEYREJECTED), v.complains(unix.EBADMSG):
		return v.because(reason.KeyRejected, "the kernel does not trust the signature of %s (%s)", modules, v.Complaint)
	case strings.Contains(v.Complaint, "Error running install command"):
		return v.because(reason.Blacklisted, "an install line in modprobe's configuration keeps %s: %s", modules, v.Complaint)
	case v.complains(unix.EPERM):
		if name := v.blacklisted(); name != "" {
			return v.because(reason.Blacklisted, "module_blacklist= on the kernel's command line denies %s", name)
		}
		if words := v.matching(lockedDown); v.Locked || len(words) > 0 {
			return v.because(reason.Lockdown, "the kernel is locked down, and %s is not signed by a key that it trusts%s", modules, quote(words))
		}
	}
	return v.because(reason.ProbeFailed, "modprobe cannot load %s: %s%s", modules, v.Complaint, quote(v.about(v.Missing)))
}

// because is the error for a reason. It does not name the device: what is so for
// one function of a card is so for all.
func (v *Evidence) because(r reason.Reason, format string, args ...any) error {
	return reason.With(r, fmt.Errorf("cannot load its driver: "+format, args...))
}

// complains says whether modprobe complained of an error, in the words of
// strerror(3), which Go has in small letters.
func (v *Evidence) complains(of unix.Errno) bool {
	return strings.Contains(strings.ToLower(v.Complaint), of.Error())
}

// firmware lists the files that the device's driver asked for in vain.
func (v *Evidence) firmware() []string {
	return kmsg.MissingFirmware(v.ofDevice(), v.Slot.String())
}

// Supplied says whether firmware that the device's driver asked for in vain is
// there now. Only then has the driver reason to try again: one that somebody has
// unbound is left alone.
func (v *Evidence) Supplied(g firmware.Guest) bool {
	files := v.firmware()
	return len(g.Lacking(files)) < len(files)
}

// ofDevice is what was said of the device.
func (v *Evidence) ofDevice() []kmsg.Entry {
	since := slices.DeleteFunc(slices.Clone(v.Log), func(e kmsg.Entry) bool { return !e.Mentions(v.Slot.String()) })
	return slices.Concat(v.Before, since)
}

// probeOf is the kernel's word in a log that a driver has failed at the device
// in slot, empty if there is none.
func probeOf(slot hwdetect.Slot, log []kmsg.Entry) string {
	for _, e := range log {
		if e.Mentions(slot.String()) && probeFailed.MatchString(e.Text) {
			return e.Text
		}
	}
	return ""
}

// blacklisted is the module that the kernel itself denies: one that claims the
// device, or one that such a module needs.
func (v *Evidence) blacklisted() string {
	for _, name := range v.Missing {
		if slices.Contains(v.Denied, name) {
			return name
		}
	}
	for _, e := range v.Log {
		if m := denied.FindStringSubmatch(e.Text); m != nil && slices.Contains(v.Denied, m[1]) {
			return m[1]
		}
	}
	return ""
}

func (v *Evidence) matching(pattern *regexp.Regexp) []kmsg.Entry {
	return slices.DeleteFunc(slices.Clone(v.Log), func(e kmsg.Entry) bool { return !pattern.MatchString(e.Text) })
}

// about is what was said of these modules.
func (v *Evidence) about(modules []string) []kmsg.Entry {
	return slices.DeleteFunc(slices.Clone(v.Log), func(e kmsg.Entry) bool { return !slices.ContainsFunc(modules, e.Mentions) })
}

// maxQuoted is how many of the kernel's lines are quoted: the last say most.
const maxQuoted = 4

// quote puts the kernel's own words behind a sentence.
func quote(log []kmsg.Entry) string {
	var words []string
	for _, e := range log[max(0, len(log)-maxQuoted):] {
		words = append(words, e.Text)
	}
	if len(words) == 0 {
		return ""
	}
	return "; the kernel says: " + strings.Join(words, "; ")
}
