// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"driverd/api"
	"driverd/daemon"
	"driverd/plan"
)

// me is the caller of every test, as the engine hears of it.
var me = fmt.Sprintf("uid:%d", os.Getuid())

// allowed is a service whose polkit says yes to everything.
func allowed(t *testing.T) service {
	t.Helper()
	s := start(t)
	s.polkit(t, &authority{authorized: true})
	return s
}

var noOptions = map[string]dbus.Variant{}

func option(name string, value any) map[string]dbus.Variant {
	return map[string]dbus.Variant{name: dbus.MakeVariant(value)}
}

func TestJobProperties(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.Publish(working(7))
	texts := make(map[string]string)
	for name, value := range s.all(t, job, api.JobInterface) {
		texts[name] = value.String()
	}
	want := map[string]string{
		"State": `"running"`, "Phase": `"download"`, "Progress": "@d 0.25", "BytesDone": "@t 1", "BytesTotal": "@t 4",
		"Packages": `["sriov-1"]`, "Devices": `@ao ["` + string(device) + `"]`, "Reason": `""`, "Message": `""`,
	}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Error(diff)
	}
	if got := s.all(t, device, api.DeviceInterface)["Job"].Value(); got != job {
		t.Errorf("the device's job is %v", got)
	}
}

// What the methods hand to the engine, and what they make of its answers.
func TestMethodsReachTheEngine(t *testing.T) {
	t.Parallel()
	s := allowed(t)
	s.Publish(working(7))
	for _, c := range []struct {
		path   dbus.ObjectPath
		method string
		args   []any
		want   string
	}{
		{api.RootPath, api.ManagerInterface + ".Install", []any{[]string{"sriov", "kmod(igb.ko)"}, noOptions}, `Install ["sriov" "kmod(igb.ko)"] false ` + me},
		{api.RootPath, api.ManagerInterface + ".Install", []any{[]string{}, option("download-only", true)}, `Install [] true ` + me},
		{api.RootPath, api.ManagerInterface + ".Install", []any{[]string{}, option("download-only", false)}, `Install [] false ` + me},
		{api.RootPath, api.ManagerInterface + ".Plan", []any{[]string{"gpu"}, noOptions}, `Plan ["gpu"]`},
		{api.RootPath, api.ManagerInterface + ".SetMode", []any{"observe", noOptions}, "SetMode observe " + me},
		{api.RootPath, api.ManagerInterface + ".History", []any{noOptions}, "History"},
		{job, api.JobInterface + ".Cancel", []any{noOptions}, "Cancel 7 " + me},
	} {
		if err := s.call(c.path, c.method, c.args...).Err; err != nil {
			t.Errorf("%s: %v", c.method, err)
		}
		if diff := cmp.Diff([]string{c.want}, s.engine.calls()); diff != "" {
			t.Error(diff)
		}
		for kind, name := range map[error]string{
			daemon.ErrNotUnderstood: "org.freedesktop.DBus.Error.InvalidArgs",
			daemon.ErrNoSuchDevice:  api.ErrorNoSuchDevice,
			daemon.ErrNoSuchJob:     "org.freedesktop.DBus.Error.UnknownObject",
			daemon.ErrNoCandidate:   api.ErrorNoCandidate,
			daemon.ErrRefused:       api.ErrorRefused,
			daemon.ErrBusy:          api.ErrorBusy,
			daemon.ErrBackendFailed: api.ErrorBackendFailed,
			errors.New("\xff"):      "org.freedesktop.DBus.Error.Failed",
		} {
			s.engine.fails(fmt.Errorf("%w: as told", kind))
			if err := s.call(c.path, c.method, c.args...).Err; errorName(err) != name {
				t.Errorf("%s, %v: %v, want %s", c.method, kind, err, name)
			}
		}
		s.engine.fails(nil)
		s.engine.calls()
	}
}

// The signature of every value is a contract.
func TestAnswers(t *testing.T) {
	t.Parallel()
	s := allowed(t)
	var path dbus.ObjectPath
	if err := s.call(api.RootPath, api.ManagerInterface+".Install", []string{}, noOptions).Store(&path); err != nil || path != job {
		t.Errorf("%s, %v", path, err)
	}
	call := s.call(api.RootPath, api.ManagerInterface+".Plan", []string{}, noOptions)
	if call.Err != nil {
		t.Fatal(call.Err)
	}
	texts := make(map[string]string)
	for name, value := range call.Body[0].(map[string]dbus.Variant) {
		texts[name] = value.Signature().String() + " " + value.String()
	}
	want := map[string]string{
		"Packages": `aa{sv} [{"DownloadSize": <@t 1>, "Group": <"sriov">, "InstallSize": <@t 2>, "Installed": <false>,` +
			` "NEVRA": <"sriov-1">, "Repository": <"updates">}]`,
		"DownloadSize": "t @t 1", "InstallSize": "t @t 2", "Devices": `ao @ao ["` + string(device) + `"]`,
	}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Error(diff)
	}
	call = s.call(api.RootPath, api.ManagerInterface+".History", noOptions)
	if call.Err != nil {
		t.Fatal(call.Err)
	}
	texts = make(map[string]string)
	for name, value := range call.Body[0].([]map[string]dbus.Variant)[0] {
		texts[name] = value.String()
	}
	want = map[string]string{
		"Time": "@t 9", "Began": "@t 5", "Action": `"install"`, "Origin": `"uid:0"`, "Job": `@o "` + string(job) + `"`,
		"Packages": `["sriov-1"]`, "Slots": `["0000:01:00.0"]`, "State": `"failed"`, "Reason": `"no-space"`, "Message": "\"\uFFFD\"",
	}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Error(diff)
	}
}

func TestWrongArguments(t *testing.T) {
	t.Parallel()
	s := allowed(t)
	s.Publish(working(7))
	const prefix = "org.freedesktop.DBus.Error."
	for _, c := range []struct {
		path   dbus.ObjectPath
		method string
		args   []any
		want   string
	}{
		{api.RootPath, "Manager.Install", nil, "InvalidArgs"},
		{api.RootPath, "Manager.Install", []any{"sriov", noOptions}, "InvalidArgs"},
		{api.RootPath, "Manager.Install", []any{[]string{"sriov"}}, "InvalidArgs"},
		{api.RootPath, "Manager.Install", []any{[]string{"sriov"}, option("force", true)}, "InvalidArgs"},
		{api.RootPath, "Manager.Install", []any{[]string{"sriov"}, option("download-only", "yes")}, "InvalidArgs"},
		{api.RootPath, "Manager.Plan", []any{[]string{"sriov"}, option("download-only", true)}, "InvalidArgs"},
		{api.RootPath, "Manager.Plan", []any{[][]byte{{0xff}}, noOptions}, "InvalidArgs"},
		{api.RootPath, "Manager.SetMode", []any{"observe", option("once", true)}, "InvalidArgs"},
		{api.RootPath, "Manager.SetMode", []any{true, noOptions}, "InvalidArgs"},
		{api.RootPath, "Manager.History", []any{option("since", uint64(1))}, "InvalidArgs"},
		{api.RootPath, "Manager.Uninstall", []any{[]string{}, noOptions}, "UnknownMethod"},
		{job, "Job.Cancel", nil, "InvalidArgs"},
		{job, "Job.Cancel", []any{option("force", true)}, "InvalidArgs"},
		{job, "Manager.Install", []any{[]string{}, noOptions}, "UnknownInterface"},
		{device, "Job.Cancel", []any{noOptions}, "UnknownInterface"},
		{api.JobsPath + "/8", "Job.Cancel", []any{noOptions}, "UnknownObject"},
		{api.JobsPath + "/x", "Job.Cancel", []any{noOptions}, "UnknownObject"},
	} {
		err := s.call(c.path, api.BusName+"."+c.method, c.args...).Err
		if got := errorName(err); got != prefix+c.want {
			t.Errorf("%s %s%v: %q (%v), want %q", c.path, c.method, c.args, got, err, c.want)
		}
	}
	for _, p := range []struct {
		path        dbus.ObjectPath
		iface, name string
		value       any
	}{
		{job, api.JobInterface, "State", "done"},
		{api.RootPath, api.ManagerInterface, "Mode", "auto"},
		{device, api.DeviceInterface, "Job", job},
	} {
		err := s.call(p.path, properties+".Set", p.iface, p.name, dbus.MakeVariant(p.value)).Err
		if errorName(err) != prefix+"PropertyReadOnly" {
			t.Errorf("%s was set: %v", p.name, err)
		}
	}
	if calls := s.engine.calls(); calls != nil {
		t.Errorf("the engine was asked %q", calls)
	}
}

func TestJobSignals(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := s.client.AddMatchSignal(dbus.WithMatchSender(api.BusName)); err != nil {
		t.Fatal(err)
	}
	signals := make(chan *dbus.Signal, 16)
	s.client.Signal(signals)
	await := func(name string, path any) *dbus.Signal {
		t.Helper()
		for {
			select {
			case signal := <-signals:
				if signal.Name == name && (signal.Path == path || slices.Contains(signal.Body, path)) {
					return signal
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("no %s of %v", name, path)
			}
		}
	}
	s.Publish(working(7))
	added := await("org.freedesktop.DBus.ObjectManager.InterfacesAdded", job)
	if got := added.Body[1].(map[string]map[string]dbus.Variant)[api.JobInterface]["Phase"].Value(); got != "download" {
		t.Errorf("added in the phase %v", got)
	}
	v := working(7)
	v.Jobs[0].Phase, v.Jobs[0].Progress = daemon.PhaseInstall, 0.5
	s.Publish(v)
	changed := await(properties+".PropertiesChanged", job).Body[1].(map[string]dbus.Variant)
	if len(changed) != 2 || changed["Phase"].Value() != "install" || changed["Progress"].Value() != 0.5 {
		t.Errorf("changed: %v", changed)
	}
	s.Publish(view(1))
	await("org.freedesktop.DBus.ObjectManager.InterfacesRemoved", job)
}

// A client that goes away in the middle of its call leaves nothing behind.
func TestClientLeavesInTheMiddleOfACall(t *testing.T) {
	t.Parallel()
	s := allowed(t)
	begun, release := make(chan struct{}, 20), make(chan struct{})
	s.engine.does(func(string) (daemon.Explanation, error) {
		begun <- struct{}{}
		<-release
		return daemon.Explanation{Explanation: plan.Explanation{}}, nil
	})
	for range cap(begun) {
		conn, err := dbus.Connect(s.bus.Address)
		if err != nil {
			t.Fatal(err)
		}
		conn.Object(api.BusName, api.RootPath).Go(api.ManagerInterface+".Explain", 0, nil, "8086:10c9", noOptions)
		<-begun
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	if err := s.call(api.RootPath, api.ManagerInterface+".Install", []string{}, noOptions).Err; err != nil {
		t.Error(err)
	}
}
