// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"
	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"driverd/api"
	"driverd/daemon"
	"driverd/daemon/bus"
	"driverd/hwdetect"
	"driverd/internal/testbus"
	"driverd/plan"
	"driverd/reason"
)

const properties = "org.freedesktop.DBus.Properties"

// engine notes what is asked of it, and explains as it is told to.
type engine struct {
	rescans atomic.Int32
	explain atomic.Pointer[func(what string) (daemon.Explanation, error)]
	history atomic.Pointer[[]daemon.Entry]
	plan    atomic.Pointer[func()]

	mu    sync.Mutex
	asked []string
	err   error // that all but Explain and Rescan answer
}

// ask notes a call.
func (e *engine) ask(format string, args ...any) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, fmt.Sprintf(format, args...))
	return e.err
}

// fails makes the engine turn everything down.
func (e *engine) fails(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

// calls returns what was asked since the last time.
func (e *engine) calls() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	asked := e.asked
	e.asked = nil
	return asked
}

func (e *engine) Plan(_ context.Context, selectors []string) (daemon.Plan, error) {
	if wait := e.plan.Load(); wait != nil {
		(*wait)()
	}
	return daemon.Plan{
		Packages:     []plan.Holder{{Package: plan.Package{NEVRA: "sriov-1", Repo: "updates", DownloadSize: 1, InstallSize: 2}, Group: "sriov"}},
		DownloadSize: 1, InstallSize: 2, Devices: []hwdetect.Slot{{Bus: 1}},
	}, e.ask("Plan %q", selectors)
}

func (e *engine) Install(_ context.Context, q daemon.Request) (uint64, error) {
	return 7, e.ask("Install %q %t %s", q.Selectors, q.DownloadOnly, q.Origin)
}

func (e *engine) Cancel(_ context.Context, job uint64, origin string) error {
	return e.ask("Cancel %d %s", job, origin)
}

func (e *engine) SetMode(_ context.Context, mode daemon.Mode, origin string) error {
	return e.ask("SetMode %s %s", mode, origin)
}

func (e *engine) History(context.Context) ([]daemon.Entry, error) {
	if all := e.history.Load(); all != nil {
		return *all, nil
	}
	return []daemon.Entry{{
		Time: time.UnixMicro(9), Began: time.UnixMicro(5), Action: "install", Origin: "uid:0", Job: 7,
		Packages: []string{"sriov-1"}, Slots: []string{"0000:01:00.0"}, State: daemon.JobFailed, Reason: "no-space", Message: "\xff",
	}}, e.ask("History")
}

func (e *engine) Explain(_ context.Context, what string) (daemon.Explanation, error) {
	return (*e.explain.Load())(what)
}

func (e *engine) Rescan(context.Context) error {
	e.rescans.Add(1)
	return nil
}

// service is a Server on a bus of its own, and a client of it.
type service struct {
	*bus.Server
	bus    *testbus.Bus
	engine *engine
	client *dbus.Conn
}

func start(t testing.TB) service {
	t.Helper()
	s := service{bus: testbus.Start(t), engine: &engine{}}
	server, err := bus.Listen(t.Context(), s.bus.Address, s.engine, zerolog.New(zerolog.NewTestWriter(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	s.Server = server
	s.Publish(view(1))
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	s.client = s.bus.Connect(t, dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	return s
}

// view has devices in the slots given.
func view(slots ...uint8) daemon.View {
	v := daemon.View{Version: "1", Release: "7.2", Platform: "kvm", Backend: "dnf5daemon", Status: daemon.Ready, Mode: daemon.Auto}
	for _, n := range slots {
		v.Devices = append(v.Devices, daemon.Device{
			Slot: hwdetect.Slot{Bus: n}, Modalias: "pci:v1", Class: 0x020000, State: plan.Bound, Driver: "igb",
			Modules: []string{"igb"}, Timeline: []daemon.Mark{{Step: "seen", Time: time.UnixMicro(7)}},
			Functions: []string{"net/enp1s0"}, Children: []hwdetect.Child{{Path: "mlx5_core.eth.0", Modalias: "auxiliary:mlx5_core.eth"}},
		})
	}
	return v
}

// working has a device in slot 1, and a job for it.
func working(number uint64) daemon.View {
	v := view(1)
	v.Status, v.Devices[0].State, v.Devices[0].Job = daemon.Busy, plan.Installing, number
	v.Jobs = []daemon.Job{{
		Number: number, State: daemon.JobRunning, Phase: daemon.PhaseDownload, Progress: 0.25, BytesDone: 1, BytesTotal: 4,
		Packages: []string{"sriov-1"}, Devices: []hwdetect.Slot{{Bus: 1}},
	}}
	return v
}

func (s service) call(path dbus.ObjectPath, method string, args ...any) *dbus.Call {
	return s.client.Object(api.BusName, path).Call(method, 0, args...)
}

// all returns the properties as they came: Store would make new variants.
func (s service) all(t *testing.T, path dbus.ObjectPath, iface string) map[string]dbus.Variant {
	t.Helper()
	call := s.call(path, properties+".GetAll", iface)
	if call.Err != nil {
		t.Fatal(call.Err)
	}
	return call.Body[0].(map[string]dbus.Variant)
}

func errorName(err error) string {
	var e dbus.Error
	if errors.As(err, &e) {
		return e.Name
	}
	return ""
}

const (
	device = dbus.ObjectPath(api.DevicesPath + "/0000_01_00_0")
	job    = dbus.ObjectPath(api.JobsPath + "/7")
)

func TestProperties(t *testing.T) {
	t.Parallel()
	s := start(t)
	got := s.all(t, device, api.DeviceInterface)
	want := map[string]string{
		"Slot": `"0000:01:00.0"`, "Modalias": `"pci:v1"`, "Vendor": `""`, "Product": `""`, "Class": "@u 131072",
		"Group": `""`, "State": `"bound"`, "Reason": `""`, "Message": `""`, "Driver": `"igb"`,
		"Modules": `["igb"]`, "Packages": "@as []", "Job": `@o "/"`, "Timeline": `@a(st) [["seen", 7]]`,
		"Functions": `["net/enp1s0"]`, "Children": `[["mlx5_core.eth.0", "auxiliary:mlx5_core.eth", ""]]`,
	}
	texts := make(map[string]string)
	for name, value := range got {
		texts[name] = value.String()
	}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Error(diff)
	}
	var counts map[string]uint32
	if err := s.call(api.RootPath, properties+".Get", api.ManagerInterface, "Counts").Store(&counts); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint32{"bound": 1}, counts); diff != "" {
		t.Error(diff)
	}
	var next map[string]dbus.Variant
	if err := s.call(api.RootPath, properties+".Get", api.ManagerInterface, "NextKernel").Store(&next); err != nil || len(next) > 0 {
		t.Errorf("the next kernel is %v, %v", next, err)
	}
}

func TestWrongCalls(t *testing.T) {
	t.Parallel()
	s := start(t)
	const prefix = "org.freedesktop.DBus.Error."
	for _, c := range []struct {
		path   dbus.ObjectPath
		method string
		args   []any
		want   string
	}{
		{device, properties + ".Get", []any{api.DeviceInterface, "Colour"}, prefix + "UnknownProperty"},
		{device, properties + ".Get", []any{api.ManagerInterface, "Version"}, prefix + "UnknownInterface"},
		{device, properties + ".Set", []any{api.DeviceInterface, "State", dbus.MakeVariant("bound")}, prefix + "PropertyReadOnly"},
		{device, properties + ".Set", []any{api.DeviceInterface, "Colour", dbus.MakeVariant("red")}, prefix + "UnknownProperty"},
		{device, properties + ".Get", []any{1, 2}, prefix + "InvalidArgs"},
		{device, api.ManagerInterface + ".Rescan", []any{map[string]dbus.Variant{}}, prefix + "UnknownInterface"},
		{device, api.DeviceInterface + ".Explode", nil, prefix + "UnknownMethod"},
		{api.DevicesPath + "/0000_02_00_0", properties + ".GetAll", []any{api.DeviceInterface}, prefix + "UnknownObject"},
		{"/elsewhere", properties + ".GetAll", []any{api.DeviceInterface}, prefix + "UnknownObject"},
		{api.RootPath, api.ManagerInterface + ".Rescan", nil, prefix + "InvalidArgs"},
	} {
		err := s.call(c.path, c.method, c.args...).Err
		if got := errorName(err); got != c.want {
			t.Errorf("%s %s%v: %q (%v), want %q", c.path, c.method, c.args, got, err, c.want)
		}
	}
}

func TestIntrospectionIsTheInstalledFile(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.Publish(working(7))
	var installed introspect.Node
	if err := xml.Unmarshal([]byte(api.XML), &installed); err != nil {
		t.Fatal(err)
	}
	for _, described := range installed.Interfaces {
		path := map[string]dbus.ObjectPath{api.ManagerInterface: api.RootPath, api.DeviceInterface: device, api.JobInterface: job}[described.Name]
		live, err := introspect.Call(s.client.Object(api.BusName, path))
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(live.Interfaces, func(i introspect.Interface) bool { return i.Name == described.Name })
		if i < 0 {
			t.Fatalf("%s does not show %s", path, described.Name)
		}
		if diff := cmp.Diff(described, live.Interfaces[i]); diff != "" {
			t.Error(diff)
		}
		got := s.all(t, path, described.Name)
		for _, p := range described.Properties {
			if value, ok := got[p.Name]; !ok || value.Signature().String() != p.Type {
				t.Errorf("%s.%s is %v, described as %s", described.Name, p.Name, value, p.Type)
			}
			delete(got, p.Name)
		}
		if len(got) > 0 {
			t.Errorf("%s has properties that nobody described: %v", described.Name, got)
		}
	}
}

// The way that busctl tree goes.
func TestTreeIsWalkable(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.Publish(view(1, 2))
	var walk func(path dbus.ObjectPath) []string
	walk = func(path dbus.ObjectPath) []string {
		node, err := introspect.Call(s.client.Object(api.BusName, path))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all := []string{string(path)}
		for _, c := range node.Children {
			all = append(all, walk(dbus.ObjectPath(strings.TrimSuffix(string(path), "/")+"/"+c.Name))...)
		}
		return all
	}
	want := []string{
		"/", "/org", "/org/fedoraproject", api.RootPath, api.DevicesPath,
		api.DevicesPath + "/0000_01_00_0", api.DevicesPath + "/0000_02_00_0",
	}
	if diff := cmp.Diff(want, walk("/")); diff != "" {
		t.Error(diff)
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := s.client.AddMatchSignal(dbus.WithMatchSender(api.BusName)); err != nil {
		t.Fatal(err)
	}
	signals := make(chan *dbus.Signal, 16)
	s.client.Signal(signals)
	next := func() *dbus.Signal {
		select {
		case signal := <-signals:
			return signal
		case <-time.After(10 * time.Second):
			t.Fatal("no signal")
			return nil
		}
	}

	failed := view(1)
	failed.Devices[0].State, failed.Devices[0].Reason = plan.Failed, reason.ProbeFailed
	s.Publish(failed)
	seen := make(map[dbus.ObjectPath]map[string]dbus.Variant)
	for range 2 { // the device and the counts, in any order
		signal := next()
		if signal.Name != properties+".PropertiesChanged" {
			t.Fatalf("signal %v", signal)
		}
		seen[signal.Path] = signal.Body[1].(map[string]dbus.Variant)
	}
	if got := seen[device]; len(got) != 2 || got["State"].Value() != "failed" || got["Reason"].Value() != "probe-failed" {
		t.Errorf("changes %v", got)
	}
	if got := seen[api.RootPath]; len(got) != 1 || got["Counts"].String() != `@a{su} {"failed": 1}` {
		t.Errorf("changes %v", got)
	}

	s.Publish(failed) // nothing new: nothing said

	s.Publish(daemon.View{Version: "1", Release: "7.2", Platform: "kvm", Backend: "dnf5daemon", Status: daemon.Ready, Mode: daemon.Auto})
	if signal := next(); signal.Name != "org.freedesktop.DBus.ObjectManager.InterfacesRemoved" || signal.Body[0] != device {
		t.Errorf("signal %v", signal)
	}
	next() // the counts
	s.Publish(view(1))
	for {
		if signal := next(); signal.Name == "org.freedesktop.DBus.ObjectManager.InterfacesAdded" {
			if signal.Path != api.RootPath || signal.Body[0] != device {
				t.Errorf("signal %v", signal)
			}
			break
		}
	}
}

// A device may carry any bytes; the bus may not.
func TestHostileText(t *testing.T) {
	t.Parallel()
	s := start(t)
	v := view(1)
	v.Devices[0].Modalias = "pci:\xff\x00"
	v.Devices[0].Packages = []string{"\xfe"}
	s.Publish(v)
	var got string
	if err := s.call(device, properties+".Get", api.DeviceInterface, "Modalias").Store(&got); err != nil || got != "pci:\uFFFD\uFFFD" {
		t.Errorf("%q, %v", got, err)
	}
}

// What crashes a service that exports and removes objects through godbus's own
// table: clients that introspect, read and call while objects come and go.
func TestManyClientsWhileDevicesAndJobsComeAndGo(t *testing.T) {
	t.Parallel()
	s := start(t)
	var clients sync.WaitGroup
	for range 50 {
		conn := s.bus.Connect(t)
		clients.Go(func() {
			for range 4 {
				for _, path := range []dbus.ObjectPath{"/", api.RootPath, api.DevicesPath, device, api.JobsPath, job} {
					conn.Object(api.BusName, path).Call("org.freedesktop.DBus.Introspectable.Introspect", 0)
				}
				conn.Object(api.BusName, device).Call(properties+".GetAll", 0, api.DeviceInterface)
				conn.Object(api.BusName, job).Call(properties+".GetAll", 0, api.JobInterface)
				conn.Object(api.BusName, job).Call(api.JobInterface+".Cancel", 0, map[string]dbus.Variant{})
				for _, method := range []string{".Install", ".Plan"} {
					conn.Object(api.BusName, api.RootPath).Call(api.ManagerInterface+method, 0, []string{"sriov"}, map[string]dbus.Variant{})
				}
				conn.Object(api.BusName, api.RootPath).Call(api.ManagerInterface+".History", 0, map[string]dbus.Variant{})
				if err := conn.Object(api.BusName, api.RootPath).Call("org.freedesktop.DBus.ObjectManager.GetManagedObjects", 0).Err; err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		clients.Wait()
		close(done)
	}()
	for n := uint8(0); ; n++ {
		select {
		case <-done:
			return
		default:
			s.Publish(view(1, n%7+2, n%5+20))
			s.Publish(working(uint64(n%3 + 6)))
			s.Publish(view(n%3 + 30))
		}
	}
}

func TestNameIsTakenOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	second, err := bus.Listen(t.Context(), s.bus.Address, s.engine, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	if err := second.Serve(); err == nil {
		t.Error("two services have one name")
	}
}
