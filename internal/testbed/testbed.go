// SPDX-License-Identifier: Apache-2.0

// Package testbed gives tests a udev and a /sys of their own, by umockdev.
// Programs see it through a preloaded library that stands between them and the
// C library, so Go's own file functions do not: they are given Root.
package testbed

/*
#cgo pkg-config: umockdev-1.0
#include <stdlib.h>
#include <umockdev.h>
*/
import "C"

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// Main runs the tests of a package under umockdev-wrapper, which preloads the
// library: it starts the test binary again if it has to. Call it from TestMain.
func Main(m *testing.M) {
	if !strings.Contains(os.Getenv("LD_PRELOAD"), "umockdev-preload") {
		fmt.Fprintln(os.Stderr, "cannot run under umockdev-wrapper:", reexec())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// reexec returns only if it fails.
func reexec() error {
	wrapper, err := exec.LookPath("umockdev-wrapper")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(wrapper, append([]string{wrapper, self}, os.Args[1:]...), os.Environ())
}

// Testbed is a mock /sys and udev. A process has one at a time.
type Testbed struct {
	bed *C.UMockdevTestbed
}

// New makes an empty testbed that lasts as long as the test.
func New(t testing.TB) *Testbed {
	b := &Testbed{bed: C.umockdev_testbed_new()}
	t.Cleanup(func() { C.g_object_unref(C.gpointer(b.bed)) })
	return b
}

// Root returns the directory that holds the testbed's sys.
func (b *Testbed) Root() string {
	dir := C.umockdev_testbed_get_root_dir(b.bed)
	defer C.g_free(C.gpointer(dir))
	return C.GoString(dir)
}

// Add adds a device with these attributes, as "vendor", "0x8086", and returns
// its path under sys.
func (b *Testbed) Add(subsystem, name string, attributes ...string) string {
	return b.AddBelow("", subsystem, name, attributes...)
}

// AddBelow adds a device below another one.
func (b *Testbed) AddBelow(parent, subsystem, name string, attributes ...string) string {
	var keep []unsafe.Pointer
	defer func() {
		for _, p := range keep {
			C.free(p)
		}
	}()
	str := func(s string) *C.char {
		c := C.CString(s)
		keep = append(keep, unsafe.Pointer(c))
		return c
	}
	list := func(texts []string) **C.char {
		array := C.calloc(C.size_t(len(texts)+1), C.size_t(unsafe.Sizeof((*C.char)(nil))))
		keep = append(keep, array)
		for i, text := range texts {
			unsafe.Slice((**C.char)(array), len(texts))[i] = str(text)
		}
		return (**C.char)(array)
	}
	var above *C.char // none if nil
	if parent != "" {
		above = str(parent)
	}
	path := C.umockdev_testbed_add_devicev(b.bed, str(subsystem), str(name), above, list(attributes), list(nil))
	defer C.g_free(C.gpointer(path))
	return C.GoString(path)
}

// Link adds a link to a device, as "driver".
func (b *Testbed) Link(device, name, target string) {
	d, n, t := C.CString(device), C.CString(name), C.CString(target)
	defer C.free(unsafe.Pointer(d))
	defer C.free(unsafe.Pointer(n))
	defer C.free(unsafe.Pointer(t))
	C.umockdev_testbed_set_attribute_link(b.bed, d, n, t)
}

// Emit sends an event of a device to all monitors, as udevd does. A monitor
// that does not read ten events that are under way ends the process.
func (b *Testbed) Emit(device, action string) {
	d, a := C.CString(device), C.CString(action)
	defer C.free(unsafe.Pointer(d))
	defer C.free(unsafe.Pointer(a))
	C.umockdev_testbed_uevent(b.bed, d, a)
}

// Replay adds devices as umockdev-record has written them down, in their order.
func (b *Testbed) Replay(t testing.TB, recording string) {
	t.Helper()
	text := C.CString(recording)
	defer C.free(unsafe.Pointer(text))
	var failed *C.GError
	if C.umockdev_testbed_add_from_string(b.bed, text, &failed) == 0 {
		defer C.g_error_free(failed)
		t.Fatalf("cannot replay a recording: %s", C.GoString(failed.message))
	}
}
