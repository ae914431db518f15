// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"strconv"
	"testing"
	"time"

	"driverd/lab"
)

// floodScript asks for much and reads nothing; see there.
//
//go:embed flood.py
var floodScript string

// TestFlood has nobody ask the service for what is large, without reading an answer:
// that costs neither the service nor a device anything, whoever keeps the bus.
func TestFlood(t *testing.T) {
	t.Parallel()
	for _, bus := range []struct {
		name, program string
		image         func(t *testing.T) *lab.Image
	}{
		{"dbus-daemon", "dbus-daemon", buildImage},
		{"dbus-broker", "dbus-broker-lau", func(t *testing.T) *lab.Image { return imageBy(t, lab.BuildBrokerImage) }},
	} {
		t.Run(bus.name, func(t *testing.T) {
			g := resume(t, lab.Options{Image: bus.image(t)})
			g.sh("pidof %s || pgrep -x %s", bus.name, bus.program)
			g.withstandsFlood(bus.name)
		})
	}
}

func (g guest) withstandsFlood(bus string) {
	t := g.T
	g.remember(1000)
	delay := func() time.Duration {
		began := time.Now()
		slot := g.plug("net", "vmxnet3") // whose driver is in the base
		g.bound(slot, "vmxnet3")
		defer g.gone(slot)
		defer g.unplug("net")
		return time.Since(began)
	}
	peak := func() int { // kB
		kB, err := strconv.Atoi(g.sh("awk '/VmHWM/ {print $2}' /proc/$(systemctl show -P MainPID driverd.service)/status"))
		if err != nil {
			t.Error(err)
		}
		return kB
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(g.sh("journalctl --no-pager -n 60 -u driverd.service; journalctl -k | grep -i oom; free -m; ps -o rss,args -C dbus-daemon,dbus-broker; true"))
		}
	})
	delay() // what is done once
	alone, before := delay(), peak()
	g.sh("echo %s | base64 -d >/run/flood.py; install -d -o nobody /run/flood", base64.StdEncoding.EncodeToString([]byte(floodScript)))
	g.sh("systemd-run --quiet --unit=flood --uid=nobody python3 /run/flood.py /run/flood/done; echo")
	g.until("test -e /run/flood/done")
	flooded := delay()
	g.bound(g.plug("nic", "igb"), "igb")
	g.sh("systemctl is-active flood.service")
	after := peak()
	_, _ = fmt.Printf("table: with %s a device after %.1f s, and after %.1f s of a guest whose service is flooded; the service had %d MB at most before, %d MB since\n",
		bus, alone.Seconds(), flooded.Seconds(), before>>10, after>>10)
	if after > 64<<10 {
		t.Errorf("the service has had %d kB", after)
	}
	if flooded > 3*alone+10*time.Second { // the flood takes its share of an emulated processor
		t.Errorf("a device has its driver after %s, and after %s when nobody floods the service", flooded, alone)
	}
	g.healthy()
	g.sh("systemctl stop flood.service")
}

// remember starts the service anew with a history of so many entries.
func (g guest) remember(entries int) {
	g.Helper()
	g.sh(`systemctl stop driverd.service
python3 - >/var/lib/driverd/history.json <<'end'
import json
entry = {"time": "2026-01-01T00:00:00Z", "began": "2026-01-01T00:00:00Z", "action": "install", "origin": "hotplug", "state": "failed",
         "packages": ["kernel-modules-sriov-1-1.x86_64"], "reason": "repo-unreachable", "message": "cannot download " * 10}
print(json.dumps({"version": 1, "entries": [entry] * %d}))
end
chown driverd: /var/lib/driverd/history.json
systemctl start driverd.service`, entries)
	if n := g.lines("driverd history"); n < entries {
		g.Fatalf("the history has %d lines", n)
	}
}
