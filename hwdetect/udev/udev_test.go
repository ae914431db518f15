// SPDX-License-Identifier: Apache-2.0

package udev_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"driverd/hwdetect"
	"driverd/hwdetect/sysfs"
	"driverd/hwdetect/udev"
	"driverd/internal/testbed"
)

// deadline is for what takes two seconds at worst: one for go-udev to see the
// end of its context, and some for a loaded machine.
const deadline = 20 * time.Second

// queue is how many events may be under way: the mock's queue holds ten, and must not
// run full.
const queue = 4

func TestMain(m *testing.M) { testbed.Main(m) }

// watch is a running Watch and what came of it.
type watch struct {
	t      *testing.T
	cancel context.CancelFunc
	kicks  chan struct{}
	slots  chan hwdetect.Slot
	done   chan error
	log    *logBuffer
}

func start(t *testing.T) *watch {
	ctx, cancel := context.WithCancel(t.Context())
	w := &watch{t: t, cancel: cancel, kicks: make(chan struct{}, 10000), slots: make(chan hwdetect.Slot, 10000), done: make(chan error, 1), log: new(logBuffer)}
	go func() {
		w.done <- udev.Watch(ctx, zerolog.New(w.log), func() { w.kicks <- struct{}{} }, func(s hwdetect.Slot) {
			w.slots <- s
			w.kicks <- struct{}{}
		})
	}()
	t.Cleanup(w.stop)
	w.awaitKick("the start")
	return w
}

// stop cancels the watch and waits for its end, and for go-udev's goroutine.
func (w *watch) stop() {
	w.t.Helper()
	w.cancel()
	select {
	case err := <-w.done:
		if !errors.Is(err, context.Canceled) {
			w.t.Errorf("Watch: %v, want context.Canceled", err)
		}
		w.done <- err
	case <-time.After(deadline):
		w.t.Fatal("Watch does not return")
	}
	for end := time.Now().Add(deadline); strings.Contains(stacks(), "jochenvg/go-udev"); runtime.Gosched() {
		if time.Now().After(end) {
			w.t.Fatalf("goroutines of go-udev are left:\n%s", stacks())
		}
	}
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

func (w *watch) awaitKick(after string) {
	w.t.Helper()
	select {
	case <-w.kicks:
	case <-time.After(deadline):
		w.t.Fatalf("no kick after %s", after)
	}
}

// logBuffer keeps log lines.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// lines returns the log so far.
func (b *logBuffer) lines(t *testing.T) []map[string]any {
	b.mu.Lock()
	defer b.mu.Unlock()
	var lines []map[string]any
	for line := range bytes.Lines(b.text.Bytes()) {
		fields := make(map[string]any)
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fields)
	}
	return lines
}

func addIGB(bed *testbed.Testbed, slot string) string {
	return bed.Add("pci", slot,
		"vendor", "0x8086\n", "device", "0x10c9\n", "subsystem_vendor", "0x8086\n", "subsystem_device", "0xa03c\n",
		"class", "0x020000\n", "modalias", "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00\n",
		"driver_override", "(null)\n")
}

func TestEventsKick(t *testing.T) {
	bed := testbed.New(t)
	igb := addIGB(bed, "0000:01:00.0")
	w := start(t)
	actions := []string{"add", "bind", "change", "unbind", "remove"}
	for _, action := range actions {
		bed.Emit(igb, action)
		w.awaitKick(action)
	}
	w.stop()

	var got []string
	for _, line := range w.log.lines(t) {
		if action, ok := line["action"].(string); ok && line["slot"] == "0000:01:00.0" {
			got = append(got, action)
		}
	}
	if diff := cmp.Diff(actions, got); diff != "" {
		t.Errorf("actions in the log (-want +got):\n%s", diff)
	}
}

func TestOtherSubsystemsDoNotKick(t *testing.T) {
	bed := testbed.New(t)
	igb, net := addIGB(bed, "0000:01:00.0"), bed.Add("net", "eth0")
	w := start(t)
	bed.Emit(net, "add")
	bed.Emit(igb, "add") // arrives second: when it has, the first would have
	w.awaitKick("add")
	w.stop()
	if n := len(w.kicks); n != 0 {
		t.Errorf("%d more kicks than PCI events", n)
	}
}

// What is below a PCI device is told with its slot, what is in a container not at all.
func TestEventsOfWhatIsBelow(t *testing.T) {
	bed := testbed.New(t)
	igb := addIGB(bed, "0000:01:00.0")
	below := bed.AddBelow(igb, "auxiliary", "mlx5_core.eth.0")
	veth := bed.Add("net", "veth0")
	w := start(t)
	bed.Emit(veth, "add")
	bed.Emit(below, "bind")
	w.awaitKick("bind")
	w.stop()
	if n := len(w.slots); n != 1 || <-w.slots != (hwdetect.Slot{Bus: 1}) {
		t.Errorf("%d slots are told", n)
	}
}

func TestBurst(t *testing.T) {
	const events = 500
	bed := testbed.New(t)
	igb := addIGB(bed, "0000:01:00.0")
	w := start(t)
	for i := range events {
		if i >= queue {
			w.awaitKick("an event of the burst")
		}
		bed.Emit(igb, "change")
	}
	for range queue {
		w.awaitKick("the last events of the burst")
	}
}

// Events that nobody waits for any more must not keep go-udev's goroutine.
func TestCancelDuringEvents(t *testing.T) {
	bed := testbed.New(t)
	igb := addIGB(bed, "0000:01:00.0")
	w := start(t)
	for range 5 {
		bed.Emit(igb, "change")
	}
	w.stop()
}

func TestCancelledBeforeStart(t *testing.T) {
	testbed.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := udev.Watch(ctx, zerolog.Nop(), func() {}, func(hwdetect.Slot) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("Watch: %v, want context.Canceled", err)
	}
}

// The monitor breaks when its epoll descriptor is something else. Watch starts
// another, kicks for what was missed, and hears events again.
func TestBrokenMonitorIsStartedAgain(t *testing.T) {
	bed := testbed.New(t)
	igb := addIGB(bed, "0000:01:00.0")
	before := epollDescriptors(t)
	w := start(t)
	var added []int
	for _, fd := range epollDescriptors(t) {
		if !slices.Contains(before, fd) {
			added = append(added, fd)
		}
	}
	if len(added) != 1 {
		t.Fatalf("the monitor polls with descriptors %v, want one", added)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	if err := unix.Dup3(int(null.Fd()), added[0], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}

	w.awaitKick("the restart")
	bed.Emit(igb, "add")
	w.awaitKick("an event after the restart")
}

// A monitor that has gone deaf is followed by one that hears, and no descriptor is
// left behind.
func TestMonitorsFollowEachOther(t *testing.T) {
	udev.ListenFor(t, time.Second/2) // go-udev looks at its context once a second
	bed := testbed.New(t)
	igb := addIGB(bed, "0000:01:00.0")
	before := len(epollDescriptors(t))
	w := start(t)
	for range 3 {
		w.awaitKick("the start of the next monitor")
	}
	// go-udev closes the descriptor of a monitor after it has said that its time is over.
	for end := time.Now().Add(deadline); len(epollDescriptors(t)) > before+1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d monitors poll", len(epollDescriptors(t))-before)
		}
	}
	// A monitor whose time is over does not tell of an event: its follower's start asks
	// for a look instead. Nobody reads its queue either, until it is collected.
	heard := false
	for sent := 0; !heard; sent++ {
		if sent == queue {
			t.Fatalf("no monitor tells of one of %d events", sent)
		}
		bed.Emit(igb, "add")
		w.awaitKick("an event")
		heard = slices.ContainsFunc(w.log.lines(t), func(line map[string]any) bool { return line["slot"] == "0000:01:00.0" })
	}
	if lines := w.log.lines(t); slices.ContainsFunc(lines, func(line map[string]any) bool {
		return line["level"] == "warn" && line["event"] == "udev-monitor-broken"
	}) {
		t.Errorf("a monitor whose time is over is said to be broken: %v", lines)
	}
}

func epollDescriptors(t *testing.T) []int {
	t.Helper()
	// The runtime's own poller is there from the first pipe on.
	r, p, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = r.Close(), p.Close()

	var fds []int
	for fd := range 256 {
		if target, err := os.Readlink(filepath.Join("/proc/self/fd", strconv.Itoa(fd))); err == nil && target == "anon_inode:[eventpoll]" {
			fds = append(fds, fd)
		}
	}
	return fds
}

func TestMissingUdevdIsSaid(t *testing.T) {
	testbed.New(t)
	w := start(t)
	w.stop()
	_, err := os.Stat("/run/udev/control") // of the machine: not part of the testbed
	said := slices.ContainsFunc(w.log.lines(t), func(line map[string]any) bool {
		return line["level"] == "warn" && strings.Contains(line["message"].(string), "udevd does not run")
	})
	if absent := err != nil; said != absent {
		t.Errorf("udevd absent: %v, said so: %v", absent, said)
	}
}

// What the monitor announces is what the scanner reads.
func TestScannerReadsTestbed(t *testing.T) {
	bed := testbed.New(t)
	w := start(t)
	igb := addIGB(bed, "0000:01:00.0")
	bed.Link(igb, "driver", "../../bus/pci/drivers/igb")
	bed.Emit(igb, "bind")
	w.awaitKick("bind")

	got, err := sysfs.New(bed.Root()).Devices()
	want := []hwdetect.Device{{
		Slot: hwdetect.Slot{Bus: 1}, Vendor: 0x8086, Product: 0x10C9, SubVendor: 0x8086, SubProduct: 0xA03C,
		Class: 0x020000, Modalias: "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00", Driver: "igb",
	}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(hwdetect.Device{}, "Generation")); err != nil || diff != "" {
		t.Errorf("Devices: %v (-want +got):\n%s", err, diff)
	}
}
