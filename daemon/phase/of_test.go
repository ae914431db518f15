// SPDX-License-Identifier: Apache-2.0

package phase_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"driverd/daemon/ledger"
	"driverd/daemon/phase"
	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	"driverd/plan"
	"driverd/reason"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

var (
	slot    = hwdetect.Slot{Bus: 1}
	install = plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{"igb-1"}, Modules: []string{"igb"}}
	load    = plan.Want{Action: plan.Load, State: plan.Pending, Packages: []string{"igb-1"}, Modules: []string{"igb"}}

	running = ledger.Try{Owner: 1, Began: ago(time.Second)}
	well    = ledger.Try{Owner: 1, Began: ago(10 * time.Second), Ended: ago(5 * time.Second)}
	early   = ledger.Try{Owner: 1, Began: ago(10 * time.Second), Ended: ago(5 * time.Second), Early: true, Err: errors.New("cut short")}
	missing = &firmware.MissingError{Files: []string{"qed/init.bin"}, Err: errors.New("lacks qed/init.bin")}
)

// failed is a try that failed a while ago, to be repeated in half a minute, or never if
// time does not help.
func failed(why reason.Reason) ledger.Try {
	return failedWith(reason.With(why, errors.New("no: "+string(why))))
}

func failedWith(err error) ledger.Try {
	try := ledger.Try{Owner: 1, Began: ago(10 * time.Second), Ended: ago(5 * time.Second), Err: err}
	if ledger.RetryOf(err).InTime {
		try.RetryAt = now.Add(30 * time.Second)
	}
	return try
}

// due is a failed try whose time has come.
func due(why reason.Reason) ledger.Try {
	return dueAfter(reason.With(why, errors.New("no: "+string(why))))
}

// afterwards is a load step that failed after what went well had ended.
func afterwards(why reason.Reason) ledger.Try {
	try := failed(why)
	try.Began, try.Ended = ago(2*time.Second), ago(time.Second)
	return try
}

func dueAfter(err error) ledger.Try {
	try := failedWith(err)
	try.RetryAt = now
	return try
}

// The manual: in this situation a device shows this, and this is done next.
func TestManual(t *testing.T) {
	t.Parallel()
	later := now.Add(30 * time.Second)
	for _, test := range []struct {
		situation string
		device    phase.Device
		name      phase.Name
		state     plan.State
		reason    reason.Reason
		act       phase.Act
		wake      time.Time
		says      string
	}{
		{"it has its driver", phase.Device{Want: plan.Want{State: plan.Bound}}, phase.Decided, plan.Bound, "", phase.Wait, time.Time{}, ""},
		{"a rule denies it", phase.Device{Want: plan.Want{State: plan.Blocked, Reason: reason.Policy, Message: "the rule"}}, phase.Decided, plan.Blocked, reason.Policy, phase.Wait, time.Time{}, "the rule"},
		{"nothing is known of it, and it has just come", phase.Device{Want: plan.Want{State: plan.Unsupported, Reason: reason.NoDriver}, Came: ago(100 * time.Millisecond)}, phase.Settling, plan.Pending, "", phase.Wait, now.Add(150 * time.Millisecond), ""},
		{"but what is known is begun at once", phase.Device{Want: install, Came: ago(100 * time.Millisecond)}, phase.WaitingForJob, plan.Pending, "", phase.Install, time.Time{}, ""},
		{"its packages are not known yet", phase.Device{Want: plan.Want{Action: plan.Learn}}, phase.Learning, plan.Pending, "", phase.Wait, time.Time{}, ""},
		{"its driver is built in, and it has just come", phase.Device{Want: plan.Want{Action: plan.Await}, Seen: ago(time.Second)}, phase.AwaitingBuiltIn, plan.Loading, "", phase.Wait, now.Add(time.Second), ""},
		{"its driver is built in, and does not take it", phase.Device{Want: plan.Want{Action: plan.Await}, Seen: ago(time.Hour)}, phase.LoadFailed, plan.Failed, reason.ProbeFailed, phase.Wait, time.Time{}, "--grep 0000:01:00.0"},

		{"its package is missing", phase.Device{Want: install}, phase.WaitingForJob, plan.Pending, "", phase.Install, time.Time{}, ""},
		{"its package is being installed", phase.Device{Want: install, Install: running}, phase.Installing, plan.Installing, "", phase.Wait, time.Time{}, ""},
		{"and is on the disk", phase.Device{Want: install, Install: running, Unpacked: true}, phase.Installing, plan.Installing, "", phase.Load, time.Time{}, ""},
		{"and its driver is being loaded early", phase.Device{Want: install, Install: running, Unpacked: true, Load: running}, phase.LoadingDriver, plan.Loading, "", phase.Wait, time.Time{}, ""},
		{"which did not work", phase.Device{Want: install, Install: running, Unpacked: true, Load: early}, phase.Installing, plan.Installing, "", phase.Wait, time.Time{}, ""},
		{"the repositories cannot be reached", phase.Device{Want: install, Install: failed(reason.RepoUnreachable)}, phase.InstallFailed, plan.Unavailable, reason.RepoUnreachable, phase.Wait, later, "no: "},
		{"for half a minute", phase.Device{Want: install, Install: due(reason.RepoUnreachable)}, phase.WaitingForJob, plan.Pending, "", phase.Install, time.Time{}, ""},
		{"or until there is a network", phase.Device{Want: install, Install: failed(reason.RepoUnreachable), Changes: ledger.Changes{Network: now}}, phase.WaitingForJob, plan.Pending, "", phase.Install, time.Time{}, ""},
		{"the package is not signed", phase.Device{Want: install, Install: failed(reason.UntrustedPackage)}, phase.InstallFailed, plan.Blocked, reason.UntrustedPackage, phase.Wait, time.Time{}, "no: "},
		{"which a card does not know that came later", phase.Device{Want: install, Install: failed(reason.UntrustedPackage), Seen: ago(time.Second)}, phase.WaitingForJob, plan.Pending, "", phase.Install, time.Time{}, ""},
		{"the package is installed, and not indexed", phase.Device{Want: install, Install: well}, phase.WaitingToLoad, plan.Pending, "", phase.Load, time.Time{}, ""},
		{"and somebody has removed it since", phase.Device{Want: install, Install: well, Load: failed(reason.ProbeFailed), Changes: ledger.Changes{Modules: now}}, phase.WaitingToLoad, plan.Pending, "", phase.Load, time.Time{}, ""},
		{"which the load step finds out", phase.Device{Want: install, Install: well, Load: afterwards(reason.NoDriver), Changes: ledger.Changes{Modules: ago(3 * time.Second)}}, phase.WaitingForJob, plan.Pending, "", phase.Install, time.Time{}, ""},
		{"but nothing has changed since it was installed", phase.Device{Want: install, Install: well, Load: afterwards(reason.NoDriver), Changes: ledger.Changes{Modules: ago(7 * time.Second)}}, phase.LoadFailed, plan.Failed, reason.TransactionFailed, phase.Wait, time.Time{}, "run dnf5 reinstall igb-1"},
		{"and its driver fails", phase.Device{Want: install, Install: well, Load: afterwards(reason.ProbeFailed), Changes: ledger.Changes{Modules: ago(3 * time.Second)}}, phase.LoadFailed, plan.Failed, reason.ProbeFailed, phase.Wait, time.Time{}, "no: "},
		{"somebody has cancelled the job", phase.Device{Want: install, Cancelled: "uid:0"}, phase.Cancelled, plan.Blocked, reason.Policy, phase.Wait, time.Time{}, "cancelled by uid:0; driverd install 0000:01:00.0"},

		{"its module is installed", phase.Device{Want: load}, phase.WaitingToLoad, plan.Pending, "", phase.Load, time.Time{}, ""},
		{"and the transaction goes on", phase.Device{Want: load, Install: running}, phase.Installing, plan.Installing, "", phase.Wait, time.Time{}, ""},
		{"an early load failed", phase.Device{Want: load, Install: well, Load: early}, phase.WaitingToLoad, plan.Pending, "", phase.Load, time.Time{}, ""},
		{"its driver is being loaded", phase.Device{Want: load, Load: running}, phase.LoadingDriver, plan.Loading, "", phase.Wait, time.Time{}, ""},
		{"its driver is loaded", phase.Device{Want: load, Load: ledger.Try{Began: ago(time.Second), Ended: ago(time.Second)}}, phase.AwaitingDriver, plan.Loading, "", phase.Wait, now.Add(time.Second), ""},
		{"and does not take it", phase.Device{Want: load, Load: well}, phase.LoadFailed, plan.Failed, reason.ProbeFailed, phase.Wait, time.Time{}, "--grep 0000:01:00.0"},
		{"it is denied", phase.Device{Want: load, Load: failed(reason.Blacklisted)}, phase.LoadFailed, plan.Blocked, reason.Blacklisted, phase.Wait, time.Time{}, "no: "},
		{"until there are other modules", phase.Device{Want: load, Load: failed(reason.Blacklisted), Changes: ledger.Changes{Modules: now}}, phase.WaitingToLoad, plan.Pending, "", phase.Load, time.Time{}, ""},
		{"polkit said no to the load step", phase.Device{Want: load, Load: failed(reason.NotAuthorized)}, phase.LoadFailed, plan.Blocked, reason.NotAuthorized, phase.Wait, later, "no: "},
		{"for half a minute", phase.Device{Want: load, Load: due(reason.NotAuthorized)}, phase.WaitingToLoad, plan.Pending, "", phase.Load, time.Time{}, ""},
		{"there is nothing in its package", phase.Device{Want: load, Load: failed(reason.NoDriver)}, phase.LoadFailed, plan.Failed, reason.TransactionFailed, phase.Wait, time.Time{}, "run dnf5 reinstall igb-1"},

		{"an earlier boot has left its package half done", phase.Device{Want: load, Reinstalling: true}, phase.Reinstalling, plan.Installing, "", phase.Wait, time.Time{}, ""},
		{"and that cannot be mended", phase.Device{Want: load, Damaged: errors.New("no route"), Load: failed(reason.ProbeFailed)}, phase.LoadFailed, plan.Failed, reason.ProbeFailed, phase.Wait, time.Time{}, "the guest went down"},

		{"its driver lacks firmware", phase.Device{Want: load, Load: failedWith(missing)}, phase.WaitingToBring, plan.Pending, "", phase.BringFirmware, time.Time{}, ""},
		{"which is being brought", phase.Device{Want: load, Load: failedWith(missing), Firmware: running}, phase.Bringing, plan.Installing, "", phase.Wait, time.Time{}, ""},
		{"which cannot be had", phase.Device{Want: load, Load: failedWith(missing), Firmware: failed(reason.FirmwareMissing)}, phase.FirmwareFailed, plan.Failed, reason.FirmwareMissing, phase.Wait, time.Time{}, "lacks qed/init.bin; no: "},
		{"for the lock is held", phase.Device{Want: load, Load: failedWith(missing), Firmware: failed(reason.BackendBusy)}, phase.FirmwareFailed, plan.Failed, reason.FirmwareMissing, phase.Wait, later, "lacks qed/init.bin; no: "},
		{"which has not helped", phase.Device{Want: load, Load: failedWith(missing), Firmware: well}, phase.FirmwareFailed, plan.Failed, reason.FirmwareMissing, phase.Wait, time.Time{}, "lacks qed/init.bin"},
		{"until there are other repositories", phase.Device{Want: load, Load: failedWith(missing), Firmware: well, Changes: ledger.Changes{Repositories: now}}, phase.WaitingToBring, plan.Pending, "", phase.BringFirmware, time.Time{}, ""},
		{"and somebody has cancelled to bring it", phase.Device{Want: load, Load: failedWith(missing), Cancelled: "uid:0"}, phase.FirmwareFailed, plan.Failed, reason.FirmwareMissing, phase.Wait, time.Time{}, "cancelled by uid:0"},
	} {
		test.device.Slot = slot
		if test.device.Seen.IsZero() {
			test.device.Seen = ago(time.Hour)
		}
		got := phase.Of(test.device, now)
		want := phase.Phase{Name: test.name, State: test.state, Reason: test.reason, Message: got.Message, Act: test.act, Wake: test.wake}
		if diff := cmp.Diff(want, got); diff != "" || !strings.Contains(got.Message, test.says) {
			t.Errorf("%s: it says %q\n%s", test.situation, got.Message, diff)
		}
	}
}

// Whatever is so, a device is settled, or something is to be done for it, or is under
// way; and what fails in time has a time.
func TestNobodyWaitsForNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		moment := rapid.Map(rapid.IntRange(0, 7200), func(s int) time.Time { return ago(time.Duration(s) * time.Second) })
		problems := rapid.SampledFrom([]error{
			nil, missing, errors.New("no reason"), reason.NotStarted(errors.New("no bus")),
			reason.With(reason.RepoUnreachable, errors.New("a")), reason.With(reason.UntrustedPackage, errors.New("b")),
			reason.With(reason.NotAuthorized, errors.New("c")), reason.With(reason.NoDriver, errors.New("d")), reason.With(reason.FirmwareMissing, errors.New("e")),
		})
		try := rapid.Custom(func(t *rapid.T) ledger.Try {
			l, key, began := ledger.New(), ledger.Catalog("x"), moment.Draw(t, "began")
			switch rapid.IntRange(0, 2).Draw(t, "how far") {
			case 0:
				return ledger.Try{}
			case 1:
				l.Begin(key, 1, began, ledger.Try{Early: rapid.Bool().Draw(t, "early")})
			case 2:
				l.Begin(key, 1, began, ledger.Try{Early: rapid.Bool().Draw(t, "early")})
				l.End(key, 1, began, problems.Draw(t, "error"))
			}
			return l.Get(key)
		})
		d := phase.Device{
			Slot: slot, Seen: moment.Draw(t, "seen"),
			Want:    plan.Want{Action: rapid.SampledFrom([]plan.Action{plan.Install, plan.Load, plan.Await, plan.Learn}).Draw(t, "action"), Packages: []string{"p"}},
			Install: try.Draw(t, "install"), Firmware: try.Draw(t, "firmware"), Load: try.Draw(t, "load"),
			Unpacked: rapid.Bool().Draw(t, "unpacked"), Reinstalling: rapid.Bool().Draw(t, "reinstalling"),
			Cancelled: rapid.SampledFrom([]string{"", "uid:0"}).Draw(t, "cancelled"),
			Changes:   ledger.Changes{Network: moment.Draw(t, "network"), Repositories: moment.Draw(t, "repositories"), Modules: moment.Draw(t, "modules")},
		}
		p := phase.Of(d, now)
		underWay := d.Install.Running() || d.Firmware.Running() || d.Load.Running() || d.Reinstalling || p.Name == phase.Learning
		if !p.Settled() && p.Act == phase.Wait && !underWay && p.Wake.IsZero() {
			t.Fatalf("%+v waits for nothing", p)
		}
		if p.Settled() && (p.Act != phase.Wait || p.Reason == reason.None && p.State != plan.Bound) {
			t.Fatalf("%+v", p)
		}
		if !p.Wake.IsZero() && !p.Wake.After(now) {
			t.Fatalf("%+v is to be looked at in the past", p)
		}
		if p.Name == phase.InstallFailed && ledger.RetryOf(d.Install.Err).InTime && p.Wake.IsZero() {
			t.Fatalf("%+v is never tried again", p)
		}
	})
}

// The table in ARCHITECTURE.md is that of the code.
func TestArchitectureShowsThePhases(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "| phase | what is shown | what leads out of it |\n|---|---|---|\n")
	if !found {
		t.Fatal("ARCHITECTURE.md has no table of the phases")
	}
	table, _, _ := strings.Cut(after, "\n\n")
	if diff := cmp.Diff(phase.Table(), table); diff != "" {
		t.Errorf("daemon/phase and ARCHITECTURE.md differ:\n%s", diff)
	}
}
