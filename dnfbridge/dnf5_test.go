// SPDX-License-Identifier: Apache-2.0

package dnfbridge_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"driverd/dnfbridge"
	"driverd/internal/testbus"
	"driverd/reason"
)

const (
	wanted = "kernel-modules-sriov-1-1.x86_64"
	sister = "kernel-modules-core-1-1.x86_64"
)

var plan = dnfbridge.Transaction{Install: []string{wanted}, Allowed: []string{sister}}

// good is a server that would install what is wanted.
func good() *fakeServer {
	return &fakeServer{items: []fakeItem{newItem("Install", "kernel-modules-sriov", "1-1")}, installed: []string{wanted}}
}

func busError(text string) *dbus.Error {
	return dbus.NewError("org.rpm.dnf.v0.Error", []any{text})
}

func TestGuard(t *testing.T) {
	group := newItem("Install", "kernel-modules-sriov", "1-1")
	group.Type = "Group"
	nameless := newItem("Install", "", "")
	nameless.Object = map[string]dbus.Variant{"name": dbus.MakeVariant(1)}
	for _, test := range []struct {
		name  string
		items []fakeItem
		says  string // in the refusal, empty if there must be none
	}{
		{"what is wanted", good().items, ""},
		{"a sister along", append(good().items, newItem("Install", "kernel-modules-core", "1-1")), ""},
		{"wanted and installed already", []fakeItem{newItem("Reason Change", "kernel-modules-sriov", "1-1")}, ""},
		{"nothing to do", nil, ""},
		{"another version", []fakeItem{newItem("Install", "kernel-modules-sriov", "2-1")}, "install kernel-modules-sriov-2-1.x86_64"},
		{"another epoch", []fakeItem{newItem("Install", "kernel-modules-sriov", "1:1-1")}, "install kernel-modules-sriov-1:1-1.x86_64"},
		{"a stranger", append(good().items, newItem("Install", "foreign", "1-1")), "install foreign-1-1.x86_64"},
		{"a removal", append(good().items, newItem("Remove", "kernel-core", "1-1")), "remove kernel-core-1-1.x86_64"},
		{"once more, unasked", []fakeItem{newItem("Reinstall", "kernel-modules-sriov", "1-1")}, "reinstall " + wanted},
		{"an upgrade of a sister", append(good().items, newItem("Upgrade", "kernel-modules-core", "1-1")), "upgrade " + sister},
		{"a replaced one", append(good().items, newItem("Replaced", "kernel-modules-core", "0-1")), "replaced kernel-modules-core-0-1.x86_64"},
		{"a sister's reason", append(good().items, newItem("Reason Change", "kernel-modules-core", "1-1")), "reason change " + sister},
		{"a group", []fakeItem{group}, "install of a group"},
		{"a package without a name", []fakeItem{nameless}, "the transaction would also do this"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := good()
			f.items = test.items
			d, _ := f.serve(t)
			err := d.Install(t.Context(), plan, nil)
			if test.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if reason.Of(err) != reason.TransactionRefused || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error is %v (%s), want a refusal that names %q", err, reason.Of(err), test.says)
			}
			if n := f.transactions(); n != 0 {
				t.Errorf("%d transactions were started", n)
			}
		})
	}
}

func TestSessionIsConfined(t *testing.T) {
	f := good()
	const older = "kernel-modules-sriov-0-1.x86_64"
	f.installed = append(f.installed, older, "kernel-modules-gpu-0-1.x86_64")
	d, _ := f.serve(t)
	if err := d.Install(t.Context(), plan, nil); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"includepkgs": sister + "," + older + "," + wanted, "install_weak_deps": "0", "installonly_limit": "0"}
	f.locked(func() {
		if diff := cmp.Diff(want, f.config); diff != "" {
			t.Errorf("config differs (-want +got):\n%s", diff)
		}
	})
}

// The outcome of a transaction: what the server says, against what the rpmdb has.
func TestOutcome(t *testing.T) {
	failed := func(code int) *dbus.Error { return busError(fmt.Sprintf("rpm transaction failed with code %d.", code)) }
	for _, test := range []struct {
		name      string
		err       *dbus.Error
		installed bool
		reason    reason.Reason // None: success
		tries     int
	}{
		{"done", nil, true, reason.None, 1},
		{"done, it says", nil, false, reason.TransactionFailed, 1},
		{"failed, but installed", failed(5), true, reason.None, 1},
		{"locked", failed(3), false, reason.BackendBusy, 3},
		{"rpm's lock", failed(5), false, reason.TransactionFailed, 3},
		{"check", failed(4), false, reason.TransactionFailed, 1},
		{"unsigned", failed(6), false, reason.UntrustedPackage, 1},
		{"polkit", busError("Not authorized"), false, reason.NotAuthorized, 1},
		{"no polkit", busError("Failed to check authorization"), false, reason.NotAuthorized, 1},
		{"bus policy", dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", []any{"no"}), false, reason.NotAuthorized, 1},
		{"download", busError("Failed to download packages"), false, reason.RepoUnreachable, 1},
		{"a new word", busError("?"), false, reason.TransactionFailed, 1},
		{"no word", dbus.NewError("org.rpm.dnf.v0.Error", nil), false, reason.TransactionFailed, 1},
		{"not a number", busError("rpm transaction failed with code x."), false, reason.TransactionFailed, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := good()
			f.do = func(string) *dbus.Error { return test.err }
			if !test.installed {
				f.installed = nil
			}
			d, _ := f.serve(t)
			err := d.Install(t.Context(), plan, nil)
			if (err == nil) != (test.reason == reason.None) || reason.Of(err) != test.reason {
				t.Errorf("error is %v (%s), want the reason %q", err, reason.Of(err), test.reason)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "cannot install "+wanted+": ") {
				t.Errorf("error reads %q", err)
			}
			if n := f.transactions(); n != test.tries {
				t.Errorf("it was tried %d times, want %d", n, test.tries)
			}
		})
	}
}

// A package that rpm got to work on did not fail for a lock.
func TestFailedScriptletIsNotTriedAgain(t *testing.T) {
	f := good()
	f.installed = nil
	f.do = func(client string) *dbus.Error {
		send(f.conn, client, "rpm.Rpm.transaction_script_start", "a-0:1-1.x86_64", uint32(1))
		send(f.conn, client, "rpm.Rpm.transaction_script_stop", "a-0:1-1.x86_64", uint32(1), uint64(2))
		return busError("rpm transaction failed with code 5.")
	}
	d, _ := f.serve(t)
	err := d.Install(t.Context(), plan, nil)
	if reason.Of(err) != reason.TransactionFailed || !strings.Contains(err.Error(), "the %pre scriptlet of a-1-1.x86_64 failed") {
		t.Errorf("error is %v", err)
	}
	if n := f.transactions(); n != 1 {
		t.Errorf("it was tried %d times", n)
	}
}

func TestSessionLimit(t *testing.T) {
	f := good()
	var left atomic.Int64
	left.Store(2)
	f.open = func() *dbus.Error {
		if left.Add(-1) >= 0 {
			return busError("Cannot open new session - maximal number of simultaneously opened sessions achieved")
		}
		return nil
	}
	d, _ := f.serve(t)
	if err := d.Install(t.Context(), plan, nil); err != nil {
		t.Errorf("a limit that passes: %v", err)
	}
	left.Store(1 << 20)
	if err := d.Install(t.Context(), plan, nil); reason.Of(err) != reason.BackendBusy {
		t.Errorf("a limit that stays: %v (%s)", err, reason.Of(err))
	}
}

// hang makes one of the server's parts never answer, and calls started when it
// is called.
func (f *fakeServer) hang(t *testing.T, part *func(string) *dbus.Error, started func(client string)) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	*part = func(client string) *dbus.Error {
		started(client)
		<-release
		return nil
	}
}

func TestSilentServer(t *testing.T) {
	t.Run("not a word", func(t *testing.T) {
		f := good()
		f.hang(t, &f.do, func(string) {})
		d, _ := f.serve(t, dnfbridge.Silence(100*time.Millisecond))
		err := d.Install(t.Context(), plan, nil)
		if reason.Of(err) != reason.BackendBusy || !strings.Contains(err.Error(), "silent for 100ms") {
			t.Errorf("error is %v (%s)", err, reason.Of(err))
		}
	})
	t.Run("a download that stands still", func(t *testing.T) {
		f := good()
		f.hang(t, &f.download, func(client string) {
			send(f.conn, client, "Base.download_add_new", "package:1", "a-0:1-1.x86_64", int64(1000))
			go func() {
				for t.Context().Err() == nil {
					send(f.conn, client, "Base.download_progress", "package:1", int64(1000), int64(0))
					time.Sleep(20 * time.Millisecond) // the server's rhythm, not a wait for anything
				}
			}()
		})
		d, _ := f.serve(t, dnfbridge.Silence(200*time.Millisecond))
		err := d.Install(t.Context(), plan, nil)
		if reason.Of(err) != reason.RepoUnreachable || !strings.Contains(err.Error(), "a-1-1.x86_64") {
			t.Errorf("error is %v (%s)", err, reason.Of(err))
		}
	})
}

func TestCancel(t *testing.T) {
	f := good()
	started := make(chan struct{})
	f.hang(t, &f.do, func(string) { close(started) })
	d, _ := f.serve(t)
	cause := errors.New("the device is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error)
	go func() { result <- d.Install(ctx, plan, nil) }()
	<-started
	cancel(cause)
	select {
	case err := <-result:
		if !errors.Is(err, cause) || reason.Of(err) != reason.None {
			t.Errorf("error is %v (%s), want the cause, without reason", err, reason.Of(err))
		}
	case <-time.After(time.Second):
		t.Error("Install did not return within a second")
	}
	if err := d.Install(ctx, plan, nil); !errors.Is(err, cause) || reason.Of(err) != reason.None {
		t.Errorf("with an ended context, error is %v (%s)", err, reason.Of(err))
	}
}

func TestBusDies(t *testing.T) {
	f := good()
	started := make(chan struct{})
	f.hang(t, &f.do, func(string) { close(started) })
	d, bus := f.serve(t)
	result := make(chan error)
	go func() { result <- d.Install(t.Context(), plan, nil) }()
	<-started
	bus.Stop()
	if err := <-result; reason.Of(err) != reason.BackendMissing {
		t.Errorf("error is %v (%s)", err, reason.Of(err))
	}
	if err := d.Install(t.Context(), plan, nil); reason.Of(err) != reason.BackendMissing {
		t.Errorf("without a bus, error is %v (%s)", err, reason.Of(err))
	}
}

func TestNobodyOnTheBus(t *testing.T) {
	address := testbus.Start(t).Address
	d := dnfbridge.NewDNF5(func(_ context.Context, opts ...dbus.ConnOption) (*dbus.Conn, error) {
		return dbus.Connect(address, opts...)
	}, zerolog.Nop())
	if _, err := d.KernelPackages(t.Context(), "1", false); reason.Of(err) != reason.BackendMissing {
		t.Errorf("error is %v (%s)", err, reason.Of(err))
	}
}

func TestKeyIsNeverConfirmed(t *testing.T) {
	f := good()
	f.installed = nil
	f.do = func(client string) *dbus.Error {
		send(f.conn, client, "Base.repo_key_import_request", "ABCD", []string{"x"}, "FPR", "file:///key", int64(0))
		deadline := time.Now().Add(5 * time.Second)
		for time.Now().Before(deadline) { // as the server waits for the answer
			var n int
			if f.locked(func() { n = len(f.answered) }); n > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		return busError("rpm transaction failed with code 6.")
	}
	d, _ := f.serve(t)
	err := d.Install(t.Context(), plan, nil)
	if reason.Of(err) != reason.UntrustedPackage || !strings.Contains(err.Error(), "ABCD") {
		t.Errorf("error is %v (%s)", err, reason.Of(err))
	}
	f.locked(func() {
		if !slices.Equal(f.answered, []bool{false}) {
			t.Errorf("the key was answered with %v", f.answered)
		}
	})
}

// Anybody may send signals on the system bus. Only the server's count.
func TestForgedSignals(t *testing.T) {
	f := good()
	d, bus := f.serve(t)
	forger, err := dbus.Connect(bus.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer forger.Close() //nolint:errcheck // the bus ends with the test
	do := func(client string) *dbus.Error {
		send(forger, client, "rpm.Rpm.transaction_action_stop", "forged-0:1-1.x86_64", uint64(1))
		// The bus keeps the order of what one client sends: after the reply to
		// this, the forged signal is delivered.
		if err := forger.BusObject().Call("org.freedesktop.DBus.GetId", 0).Err; err != nil {
			return dbus.MakeFailedError(err)
		}
		send(f.conn, client, "rpm.Rpm.transaction_action_stop", "real-0:1-1.x86_64", uint64(1))
		return nil
	}
	f.locked(func() { f.do = do })
	var unpacked []string
	err = d.Install(t.Context(), plan, func(p dnfbridge.Progress) {
		if p.Phase == dnfbridge.PhaseUnpacked {
			unpacked = append(unpacked, p.Package)
		}
	})
	if err != nil || !slices.Equal(unpacked, []string{"real-1-1.x86_64"}) {
		t.Errorf("unpacked %v, %v", unpacked, err)
	}
}

// Whatever is signalled, in whatever order and of whatever type: progress
// stays in its bounds, never falls, and the transaction is not disturbed.
func TestProgressProperties(t *testing.T) {
	f := good()
	d, _ := f.serve(t)
	signals := []string{
		"Base.download_add_new", "Base.download_progress", "Base.download_mirror_failure", "Base.download_end",
		"rpm.Rpm.transaction_elem_progress", "rpm.Rpm.transaction_action_start", "rpm.Rpm.transaction_action_progress",
		"rpm.Rpm.transaction_action_stop", "rpm.Rpm.transaction_script_start", "rpm.Rpm.transaction_script_stop",
		"rpm.Rpm.transaction_after_complete", "rpm.Rpm.of_tomorrow",
	}
	argument := rapid.OneOf(
		rapid.SampledFrom([]any{"package:1", "repo:x", "", "a-0:1-1.x86_64"}),
		rapid.Map(rapid.Int64Range(-2, 2000), func(v int64) any { return v }),
		rapid.Map(rapid.Uint64Range(0, 3), func(v uint64) any { return v }),
		rapid.SampledFrom([]any{int64(math.MaxInt64), int64(math.MinInt64), uint64(math.MaxUint64), uint32(2), true}),
	)
	rapid.Check(t, func(t *rapid.T) {
		type event struct {
			name string
			args []any
		}
		events := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event {
			e := event{name: rapid.SampledFrom(signals).Draw(t, "name")}
			switch e.name { // mostly of the right types
			case "Base.download_add_new":
				e.args = []any{rapid.SampledFrom([]string{"package:1", "package:2", "repo:x"}).Draw(t, "id"), "a-0:1-1.x86_64", rapid.Int64().Draw(t, "total")}
			case "Base.download_progress":
				e.args = []any{rapid.SampledFrom([]string{"package:1", "package:2", "repo:x"}).Draw(t, "id"), rapid.Int64().Draw(t, "total"), rapid.Int64().Draw(t, "done")}
			case "rpm.Rpm.transaction_elem_progress", "rpm.Rpm.transaction_action_progress":
				e.args = []any{"a-0:1-1.x86_64", rapid.Uint64().Draw(t, "done"), rapid.Uint64().Draw(t, "total")}
			default:
				e.args = rapid.SliceOfN(argument, 0, 4).Draw(t, "args")
			}
			return e
		}), 0, 20).Draw(t, "events")
		do := func(client string) *dbus.Error {
			for _, e := range events {
				send(f.conn, client, e.name, e.args...)
			}
			return nil
		}
		f.locked(func() { f.do = do })
		var last dnfbridge.Progress
		err := d.Install(context.Background(), plan, func(p dnfbridge.Progress) {
			if p.Fraction < last.Fraction || p.Fraction > 1 || math.IsNaN(p.Fraction) ||
				p.BytesDone < last.BytesDone || p.BytesTotal > 0 && p.BytesDone > p.BytesTotal {
				t.Errorf("after %+v came %+v", last, p)
			}
			last = p
		})
		if err != nil || last.Fraction != 1 {
			t.Errorf("Install ended at %+v with %v", last, err)
		}
	})
}
