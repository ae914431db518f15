// SPDX-License-Identifier: Apache-2.0

package outside_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"driverd/daemon/outside"
)

// kicks watches until the test ends, and returns what is sent at each kick.
func kicks(t *testing.T, watch func(context.Context, func()) error) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	kicked, ended := make(chan struct{}, 100), make(chan error)
	go func() { ended <- watch(ctx, func() { kicked <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the watch ended with %v", err)
		}
	})
	await(t, kicked, func() bool { return true }) // it watches
	return kicked
}

// await waits for a kick after which something is so.
func await(t *testing.T, kicked <-chan struct{}, so func() bool) {
	t.Helper()
	for deadline := time.After(10 * time.Second); ; {
		select {
		case <-kicked:
			if so() {
				return
			}
		case <-deadline:
			t.Fatal("no kick")
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRepositories(t *testing.T) {
	dir := t.TempDir()
	repos, dnf := filepath.Join(dir, "yum.repos.d"), filepath.Join(dir, "dnf")
	overrides := filepath.Join(dnf, "repos.override.d")
	for _, name := range []string{repos, dnf} {
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(repos, "lab.repo")
	write(t, file, "[lab]\n")
	guest := outside.Guest{Folders: []string{repos, dnf, overrides, filepath.Join(dir, "nowhere"), file}}
	kicked := kicks(t, func(ctx context.Context, kick func()) error { return outside.WatchFolders(ctx, guest.Folders, kick) })

	before := guest.Repositories()
	if again := guest.Repositories(); again != before {
		t.Errorf("%q is %q the next time", before, again)
	}
	other := func() bool {
		now := guest.Repositories()
		defer func() { before = now }()
		return now != before
	}
	write(t, filepath.Join(repos, "archive.repo"), "[archive]\n")
	await(t, kicked, other)
	write(t, file, "[lab]\nenabled=0\n")
	await(t, kicked, other)
	// As most programs replace a file.
	write(t, filepath.Join(dir, "new"), "[lab]\nenabled=1\n")
	if err := os.Rename(filepath.Join(dir, "new"), file); err != nil {
		t.Fatal(err)
	}
	await(t, kicked, other)
	if err := os.Remove(filepath.Join(repos, "archive.repo")); err != nil {
		t.Fatal(err)
	}
	await(t, kicked, other)
	// In a folder that was not there.
	if err := os.Mkdir(overrides, 0o755); err != nil {
		t.Fatal(err)
	}
	await(t, kicked, func() bool { return true })
	write(t, filepath.Join(overrides, "99.repo"), "[lab]\nenabled=1\n")
	await(t, kicked, other)
}

// TestNetwork runs itself in a network namespace, which any user may make.
func TestNetwork(t *testing.T) {
	const inside = "DRIVERD_TEST_IN_NAMESPACE"
	if os.Getenv(inside) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNetwork$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("in a namespace: %v\n%s", err, out)
		}
		return
	}
	var guest outside.Guest
	kicked := kicks(t, outside.WatchNetwork)
	ways := func(want ...string) func() bool {
		return func() bool { return slices.Equal(guest.Ways(), want) }
	}
	if !ways()() {
		t.Fatalf("a new namespace has ways out: %q", guest.Ways())
	}
	const address = "192.0.2.1/24 on lo"
	setAddress(t, "lo", "192.0.2.1")
	if !ways()() {
		t.Errorf("of a link that is down: %q", guest.Ways())
	}
	setUp(t, "lo", true)
	await(t, kicked, ways(address))
	setDefault(t, unix.RTM_NEWROUTE, "lo", "192.0.2.2")
	await(t, kicked, ways(address, "default via 192.0.2.2 on lo"))
	setDefault(t, unix.RTM_DELROUTE, "lo", "192.0.2.2")
	await(t, kicked, ways(address))
	setUp(t, "lo", false)
	await(t, kicked, ways())
	setUp(t, "lo", true)
	await(t, kicked, ways(address))
}

func control(t *testing.T, request uint, link string, set func(*unix.Ifreq) error) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	r, err := unix.NewIfreq(link)
	if err == nil {
		err = set(r)
	}
	if err == nil {
		err = unix.IoctlIfreq(fd, request, r)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func setAddress(t *testing.T, link, address string) {
	t.Helper()
	control(t, unix.SIOCSIFADDR, link, func(r *unix.Ifreq) error { return r.SetInet4Addr(netip.MustParseAddr(address).AsSlice()) })
}

func setUp(t *testing.T, link string, up bool) {
	t.Helper()
	flags := uint16(0)
	if up {
		flags = unix.IFF_UP
	}
	control(t, unix.SIOCSIFFLAGS, link, func(r *unix.Ifreq) error { r.SetUint16(flags); return nil })
}

// setDefault adds or deletes a default route: struct nlmsghdr, struct rtmsg and
// attributes, as linux/rtnetlink.h has them.
func setDefault(t *testing.T, request uint16, name, gateway string) {
	t.Helper()
	link, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	b, via := binary.NativeEndian, netip.MustParseAddr(gateway).As4()
	message := b.AppendUint32(nil, unix.SizeofNlMsghdr+unix.SizeofRtMsg+2*8)
	message = b.AppendUint16(message, request)
	message = b.AppendUint16(message, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE)
	message = append(message, make([]byte, 8)...)
	message = append(message, unix.AF_INET, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0)
	message = b.AppendUint16(b.AppendUint16(message, 8), unix.RTA_OIF)
	message = b.AppendUint32(message, uint32(link.Index))
	message = b.AppendUint16(b.AppendUint16(message, 8), unix.RTA_GATEWAY)
	message = append(message, via[:]...)

	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, reply, 0)
	if err != nil || n < unix.SizeofNlMsghdr+4 {
		t.Fatalf("no answer: %v", err)
	}
	if code := int32(b.Uint32(reply[unix.SizeofNlMsghdr:])); code != 0 {
		t.Fatalf("cannot change the route: %v", unix.Errno(-code))
	}
}
