// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"driverd/api"
	"driverd/daemon"
	"driverd/internal/testbus"
	"driverd/plan"
)

const patience = time.Minute // for what comes soon, on a slow machine too

// attack connects and sends calls whose answers it does not read.
func attack(t *testing.T, b *testbus.Bus, each int) {
	t.Helper()
	path, _, _ := strings.Cut(strings.TrimPrefix(b.Address, "unix:path="), ",")
	socket, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	lines := bufio.NewReader(socket)
	_, err = fmt.Fprintf(socket, "\x00AUTH EXTERNAL %x\r\n", strconv.Itoa(os.Geteuid()))
	if err == nil {
		_, err = lines.ReadString('\n')
	}
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("BEGIN\r\n")
	call := func(to string, path dbus.ObjectPath, iface, member string, args ...any) {
		msg := dbus.Message{Type: dbus.TypeMethodCall, Body: args, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(to), dbus.FieldPath: dbus.MakeVariant(path),
			dbus.FieldInterface: dbus.MakeVariant(iface), dbus.FieldMember: dbus.MakeVariant(member),
		}}
		if len(args) > 0 {
			msg.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(args...))
		}
		var encoded bytes.Buffer
		if err := msg.EncodeTo(&encoded, binary.LittleEndian); err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint32(encoded.Bytes()[8:], uint32(len(text))) // a serial: any that is new
		text = append(text, encoded.Bytes()...)
	}
	call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
	for range each {
		call(api.BusName, api.RootPath, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
		call(api.BusName, api.RootPath, api.ManagerInterface, "History", map[string]dbus.Variant{})
	}
	if _, err := socket.Write(text); err != nil {
		t.Fatal(err)
	}
}

// What a caller sent is quoted with a bound, however long it is.
func TestLongArguments(t *testing.T) {
	t.Parallel()
	s := start(t)
	long, endless := strings.Repeat("x", 200<<10), strings.Repeat("x", 20<<20)
	for _, c := range []struct {
		path   dbus.ObjectPath
		method string
		args   []any
		want   string
	}{
		{device, properties + ".Get", []any{api.DeviceInterface, long}, "UnknownProperty"},
		{device, properties + ".Get", []any{long, "x"}, "UnknownInterface"},
		{api.RootPath, api.ManagerInterface + ".Explain", []any{"x", map[string]dbus.Variant{long: dbus.MakeVariant(1)}}, "InvalidArgs"},
		{dbus.ObjectPath("/" + long), properties + ".GetAll", []any{api.DeviceInterface}, "UnknownObject"},
		{device, properties + ".Get", []any{api.DeviceInterface, endless}, "InvalidArgs"},
		{dbus.ObjectPath("/" + endless), properties + ".GetAll", []any{api.DeviceInterface}, "InvalidArgs"},
		{api.RootPath, api.ManagerInterface + ".Install", []any{[]string{endless}, map[string]dbus.Variant{}}, "InvalidArgs"},
	} {
		err := s.call(c.path, c.method, c.args...).Err
		if got := errorName(err); got != "org.freedesktop.DBus.Error."+c.want || len(err.Error()) > 1000 {
			t.Errorf("%.50s %s: %s of %d bytes, want %s", c.path, c.method, got, len(err.Error()), c.want)
		}
	}
	if err := s.call(device, properties+".GetAll", api.DeviceInterface).Err; err != nil {
		t.Error(err)
	}
}

// What the bus lets through, and godbus does not understand, ends nothing.
func TestMessagesThatGodbusCannotRead(t *testing.T) {
	t.Parallel()
	s := start(t)
	for depth := 55; depth < 70; depth++ {
		nested := any("deepest")
		for range depth {
			nested = dbus.MakeVariant(nested)
		}
		sender := s.bus.Connect(t) // the bus ends connections that send what it does not let through
		call := sender.Object(api.BusName, api.RootPath).Go(api.ManagerInterface+".Rescan", 0, make(chan *dbus.Call, 1),
			map[string]dbus.Variant{"x": dbus.MakeVariant(nested)})
		_ = sender.Object(api.BusName, api.RootPath).Call("org.freedesktop.DBus.Peer.Ping", 0).Err
		_ = sender.Close()
		<-call.Done
	}
	if err := s.call(api.RootPath, "org.freedesktop.DBus.Peer.Ping").Err; err != nil {
		t.Error(err)
	}
}

// A caller may have a few calls answered at once, all callers together a few dozen.
func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	s := start(t)
	began, answer := make(chan struct{}, 1000), make(chan struct{})
	explain := func(string) (daemon.Explanation, error) {
		began <- struct{}{}
		<-answer
		return daemon.Explanation{}, fmt.Errorf("late")
	}
	s.engine.explain.Store(&explain)
	const callers, each = 20, 20
	done := make(chan *dbus.Call, callers*each)
	for range callers {
		conn := s.bus.Connect(t)
		for range each {
			conn.Object(api.BusName, api.RootPath).Go(api.ManagerInterface+".Explain", 0, done, "8086:10c9", map[string]dbus.Variant{})
		}
	}
	busy, late := 0, 0
	count := func() {
		select {
		case call := <-done:
			switch {
			case errorName(call.Err) == api.ErrorBusy:
				busy++
			case call.Err != nil && call.Err.Error() == "late":
				late++
			default:
				t.Errorf("the answer is %v", call.Err)
			}
		case <-time.After(patience):
			t.Fatalf("only %d are busy, and %d late", busy, late)
		}
	}
	for busy < callers*each-64 {
		count()
	}
	if n := len(began); n != 64 {
		t.Errorf("%d calls are being answered", n)
	}
	close(answer)
	for busy+late < callers*each {
		count()
	}
	if err := s.call(device, properties+".GetAll", api.DeviceInterface).Err; err != nil {
		t.Error(err)
	}
}

// A plan has the package manager asked: a user has one at a time made.
func TestOnePlanOfAUser(t *testing.T) {
	t.Parallel()
	s := start(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	wait := func() {
		close(asked)
		<-answer
	}
	s.engine.plan.Store(&wait)
	ask := func() *dbus.Call {
		return s.bus.Connect(t).Object(api.BusName, api.RootPath).Go(api.ManagerInterface+".Plan", 0, nil, []string{"sriov"}, map[string]dbus.Variant{})
	}
	first := ask()
	<-asked
	if err := (<-ask().Done).Err; errorName(err) != api.ErrorBusy {
		t.Errorf("the second plan: %v", err)
	}
	close(answer)
	if err := (<-first.Done).Err; err != nil {
		t.Error(err)
	}
	s.engine.plan.Store(nil)
	if err := (<-ask().Done).Err; err != nil {
		t.Errorf("the next plan: %v", err)
	}
}

// Callers who ask for what is large, and read no answer, cost others nothing: neither the
// look of a device, nor the memory of the service.
func TestUnreadReplies(t *testing.T) {
	s := start(t)
	var entries []daemon.Entry
	for n := range 1000 {
		entries = append(entries, daemon.Entry{
			Time: time.UnixMicro(int64(n)), Action: "install", Origin: "hotplug", Packages: []string{"kernel-modules-sriov-7.2.12-1.x86_64"},
			Slots: []string{"0000:01:00.0"}, State: daemon.JobFailed, Reason: "repo-unreachable", Message: strings.Repeat("cannot download ", 20),
		})
	}
	s.engine.history.Store(&entries)
	v := view(1)
	for n := range uint8(100) {
		v.Devices = append(v.Devices, view(n+2).Devices...)
	}
	s.Publish(v)
	before := taken()
	for range 12 {
		attack(t, s.bus, 400)
	}
	// While they sit there: what a device shows is new at once, and can be asked for.
	if err := s.client.AddMatchSignal(dbus.WithMatchSender(api.BusName)); err != nil {
		t.Fatal(err)
	}
	signals := make(chan *dbus.Signal, 16)
	s.client.Signal(signals)
	began := time.Now()
	failed := v
	failed.Devices = append([]daemon.Device{}, v.Devices...)
	failed.Devices[0].State = plan.Failed
	s.Publish(failed)
	select {
	case <-signals:
	case <-time.After(patience):
		t.Fatal("no signal")
	}
	var state string
	if err := s.call(device, properties+".Get", api.DeviceInterface, "State").Store(&state); err != nil || state != "failed" {
		t.Errorf("%q, %v", state, err)
	}
	grown := taken() - before
	t.Logf("the device was shown %s later; %d MB were taken before, and %d MB more since", time.Since(began), before>>20, grown>>20)
	if grown > 48<<20 {
		t.Errorf("%d MB more were taken", grown>>20)
	}
	for {
		err := s.call(api.RootPath, api.ManagerInterface+".History", map[string]dbus.Variant{}).Err
		if err == nil {
			break
		}
		if errorName(err) != api.ErrorBusy || time.Since(began) > patience {
			t.Fatal(err)
		}
	}
}

// taken is how much memory this process, with the bus's server in it, has ever had of the
// system for Go: what the race detector takes beside that is not the service's.
func taken() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}
