// SPDX-License-Identifier: Apache-2.0

package service

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"driverd/api"
	"driverd/daemon/bus"
	"driverd/daemon/config"
	"driverd/daemon/outside"
	"driverd/hwdetect/modprobe"
)

// What is watched while the service is at rest is what it reads itself.
func TestWakePath(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../units/driverd-wake.path")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^PathChanged=(.+)$`).FindAllStringSubmatch(string(text), -1) {
		got = append(got, m[1])
	}
	want := []string{"/usr/lib/modules", "/usr/lib/modules/%v"}
	for _, folder := range slices.Concat(config.Folders, modprobe.Folders) {
		want = append(want, "/"+folder)
	}
	want = append(want, outside.Folders...)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("watched are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The rule of udev's, and the unit, ask for the file that the service leaves.
func TestWakeFile(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"90-driverd.udev", "driverd-wake.service"} {
		text, err := os.ReadFile("../../units/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), api.RestFile) {
			t.Errorf("%s does not ask for %s", file, api.RestFile)
		}
	}
}

// Systemd does not kill a service that comes to rest while that may still wait.
func TestTimeToRest(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../units/driverd.service")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=(.+)$`).FindSubmatch(text)
	if m == nil {
		t.Fatal("the unit does not say how long it may take to stop")
	}
	if got, err := time.ParseDuration(string(m[1])); err != nil || got <= barrierTime+bus.AnswerTime {
		t.Errorf("it may take %s, %v; the service waits up to %s", got, err, barrierTime+bus.AnswerTime)
	}
}

// The barrier opens when the other side has closed what it was sent, and not before.
func TestBarrier(t *testing.T) {
	address := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	t.Setenv("NOTIFY_SOCKET", address)
	passed := make(chan error, 1)
	go func() { passed <- barrier() }()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	text, rights := make([]byte, 64), make([]byte, unix.CmsgSpace(4))
	n, rn, _, _, err := conn.ReadMsgUnix(text, rights)
	if n = max(n, 0); err != nil || string(text[:n]) != "BARRIER=1" {
		t.Fatalf("systemd is told %q, %v", text[:n], err)
	}
	select {
	case err := <-passed:
		t.Fatalf("passed before systemd has closed it: %v", err)
	default:
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rn])
	if err != nil || len(messages) != 1 {
		t.Fatalf("with it come %v, %v", messages, err)
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(descriptors) != 1 {
		t.Fatalf("with it come %v, %v", descriptors, err)
	}
	if err := unix.Close(descriptors[0]); err != nil {
		t.Fatal(err)
	}
	if err := <-passed; err != nil {
		t.Error(err)
	}
}

func TestBarrierWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := barrier(); err != nil {
		t.Error(err)
	}
}

// Whoever reads the metrics keeps no service from coming to rest.
func TestMetricsLetItRest(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../units/driverd-metrics.timer")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^OnUnitActiveSec=(\d+)min$`).FindSubmatch(text)
	if m == nil {
		t.Fatal("the timer does not say how often, in minutes")
	}
	if every, err := time.ParseDuration(string(m[1]) + "m"); err != nil || every <= restTime {
		t.Errorf("they are read every %s, %v; the service rests when nobody has asked for %s", every, err, restTime)
	}
}
