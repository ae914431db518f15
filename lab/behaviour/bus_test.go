// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"driverd/api"
	"driverd/hwdetect"
	"driverd/lab"
	"driverd/lab/rpmrepo"
)

const (
	asNobody = "setpriv --reuid=nobody --clear-groups "
	manager  = api.BusName + " " + api.RootPath + " " + api.ManagerInterface
)

// TestBusctl does what an administrator can do over D-Bus, with busctl alone:
// looks, plans, installs by each kind of selector, cancels; and what somebody
// without rights can and cannot.
func TestBusctl(t *testing.T) {
	t.Parallel()
	image := buildImage(t)
	repo := rpmrepo.NewRepository(image.Repo)
	g := resume(t, lab.Options{Image: image, Repo: repo})
	var nic hwdetect.Slot

	t.Run("a monitor sees a device come, and what would be done", func(t *testing.T) {
		g := g.in(t)
		g.sh(`systemd-run --quiet --unit=monitor -p StandardOutput=file:/run/monitor busctl --json=short monitor --match="type='signal',sender='%s'"`, api.BusName)
		// It says nothing when it is ready; so something is changed until it shows that.
		g.until(`busctl call %[1]s SetMode 'sa{sv}' auto 0 && busctl call %[1]s SetMode 'sa{sv}' observe 0 && grep -q '"Mode"' /run/monitor`, manager)
		if got := g.sh("busctl get-property %s Mode", manager); got != `s "observe"` {
			t.Errorf("Mode is %s", got)
		}
		nic = g.plug("nic", "igb")
		g.refused(nic, "blocked", "observe-only")
		g.until("grep -q observe-only /run/monitor")
		if got := g.monitored(api.DevicePath(nic.String()), api.DeviceInterface, "Reason"); !slices.Equal(got, []string{"", "observe-only"}) { // it settles first
			t.Errorf("the reasons of the device were %q", got)
		}
	})

	t.Run("what everybody may see", func(t *testing.T) {
		g := g.in(t)
		path := api.DevicePath(nic.String())
		if tree := g.sh(asNobody + "busctl --no-pager tree --list " + api.BusName); !strings.Contains(tree+"\n", path+"\n") {
			t.Errorf("busctl tree does not list %s:\n%s", path, tree)
		}
		shown := g.sh(asNobody+"busctl --no-pager introspect %s %s", api.BusName, api.RootPath)
		for _, method := range []string{
			".Explain method sa{sv} a{sv}", ".Plan method asa{sv} a{sv}", ".Install method asa{sv} o",
			".Rescan method a{sv} -", ".SetMode method sa{sv} -", ".History method a{sv} aa{sv}",
		} {
			if !strings.Contains(strings.Join(strings.Fields(shown), " "), method) {
				t.Errorf("busctl introspect does not show %s:\n%s", method, shown)
			}
		}
		if got := g.sh(asNobody+"busctl get-property %s %s %s Reason", api.BusName, path, api.DeviceInterface); got != `s "observe-only"` {
			t.Errorf("Reason is %s", got)
		}
		var why struct {
			Action, State struct{ Data string }
			Packages      struct {
				Data []map[string]struct{ Data any }
			}
		}
		g.answer(asNobody+"busctl --json=short call %s Explain 'sa{sv}' %s 0", &why, manager, nic)
		if why.Action.Data != "none" || why.State.Data != "blocked" || len(why.Packages.Data) != 1 {
			t.Errorf("Explain: %+v", why)
		}
		for _, selectors := range []string{"1 " + nic.String(), "0", "1 sriov", "1 'kmod(igb.ko)'", "1 8086:10c9"} {
			var plan struct {
				Packages struct {
					Data []map[string]struct{ Data any }
				}
				DownloadSize, InstallSize struct{ Data uint64 }
				Devices                   struct{ Data []string }
			}
			g.answer(asNobody+"busctl --json=short call %s Plan 'asa{sv}' %s 0", &plan, manager, selectors)
			if len(plan.Packages.Data) != 1 || !strings.HasPrefix(fmt.Sprint(plan.Packages.Data[0]["NEVRA"].Data), "kernel-modules-sriov-") ||
				plan.DownloadSize.Data == 0 || plan.InstallSize.Data == 0 || !slices.Equal(plan.Devices.Data, []string{path}) {
				t.Errorf("Plan %s: %+v", selectors, plan)
			}
		}
		if got := g.subpackages(); len(got) != 1 {
			t.Errorf("planned, and installed: %v", got)
		}
	})

	t.Run("wrong calls", func(t *testing.T) {
		g := g.in(t)
		for arguments, says := range map[string]string{
			"1 0000:77:00.0 0":                      "there is no device in slot 0000:77:00.0",
			"1 nonsense 0":                          "a group (sriov, gpu, passthrough, hardware)",
			"1 '' 0":                                "cannot understand",
			"1 /sys/bus/pci/devices/0000:01:00.0 0": "cannot understand",
			"1 pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00 0": "no package of kernel",
			"1 1234:11e8 0":                      "depends on its class",
			"1 sriov 1 force b true":             "unknown option",
			"10000 $(yes sriov | head -10000) 0": "10000 selectors are too many",
		} {
			g.sh(`out=$(busctl call %s Install 'asa{sv}' %s 2>&1) && exit 1; echo "$out" | grep -F '%s'`, manager, arguments, says)
		}
		g.sh(`busctl set-property %s Mode s auto 2>&1 | grep -i 'read-only\|cannot be set\|not writable'`, manager)
		g.healthy()
	})

	t.Run("somebody without rights", func(t *testing.T) {
		g := g.in(t)
		for _, call := range []string{"Install 'asa{sv}' 1 sriov 0", "SetMode 'sa{sv}' auto 0"} {
			g.sh(`out=$(%sbusctl --json=short call %s %s 2>&1) && exit 1; echo "$out" | grep -i 'polkit does not allow\|access denied'`, asNobody, manager, call)
		}
		if got := g.subpackages(); len(got) != 1 {
			t.Errorf("installed: %v", got)
		}
	})

	t.Run("with a rule of polkit, it works", func(t *testing.T) {
		g := g.in(t)
		g.sh(`cat >/etc/polkit-1/rules.d/40-test.rules <<'EOF'
polkit.addRule(function(action, subject) {
    if (action.id === "%s" && subject.user === "nobody")
        return polkit.Result.YES;
    return polkit.Result.NOT_HANDLED;
});
EOF
systemctl restart polkit.service`, api.ActionInstall)
		job := g.install(asNobody, nic.String())
		g.done(job, "is bound to igb")
		g.bound(nic, "igb")
		g.sh("systemctl stop monitor.service")
		for _, seen := range []struct {
			path, iface, property string
			want                  []string
		}{
			{api.DevicePath(nic.String()), api.DeviceInterface, "State", []string{"blocked", "installing", "bound"}},
			{job, api.JobInterface, "Phase", []string{"resolve", "download", "install", "load"}},
			{job, api.JobInterface, "State", []string{"running", "done"}},
		} {
			got := g.monitored(seen.path, seen.iface, seen.property)
			passed := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !slices.Contains(seen.want, s) })
			if !slices.Equal(slices.Compact(passed), seen.want) {
				t.Errorf("%s of %s was %q, want %q", seen.property, seen.path, got, seen.want)
			}
		}
		g.sh("rm /etc/polkit-1/rules.d/40-test.rules; systemctl restart polkit.service")
		if got := g.sh(asNobody+"busctl --json=short call %s History 'a{sv}' 0", manager); !strings.Contains(got, `"Origin":{"type":"s","data":"uid:65534"}`) {
			t.Errorf("the history does not know who asked: %s", got)
		}
	})

	t.Run("what is installed already, by each kind of selector", func(t *testing.T) {
		g := g.in(t)
		modalias := g.sh("cat /sys/bus/pci/devices/%s/modalias", nic)
		before := g.subpackages()
		for _, selector := range []string{nic.String(), modalias, "8086:10c9", "sriov", "kmod(igb.ko)"} {
			g.done(g.install("", selector), "already")
		}
		if after := g.subpackages(); len(after) != len(before) {
			t.Errorf("installed before %v, after %v", before, after)
		}
	})

	t.Run("cancelled during a slow download", func(t *testing.T) {
		g := g.in(t)
		raid := g.plug("raid", "megasas")
		g.refused(raid, "blocked", "observe-only")
		repo.Fail(".rpm", rpmrepo.Slow)
		job := g.install("", raid.String())
		again := g.install("", "kmod(megaraid_sas.ko)")
		if again != job {
			t.Errorf("two who ask for the same got %s and %s", job, again)
		}
		g.until(`busctl get-property %s %s %s BytesDone | grep -v 't 0'`, api.BusName, job, api.JobInterface)
		g.sh("busctl call %s %s %s Cancel 'a{sv}' 0", api.BusName, job, api.JobInterface)
		if got := g.sh("busctl get-property %s %s %s State", api.BusName, job, api.JobInterface); got != `s "cancelled"` {
			t.Errorf("State is %s", got)
		}
		if got := strings.Fields(g.sh("busctl get-property %s %s %s BytesDone BytesTotal", api.BusName, job, api.JobInterface)); len(got) != 4 || got[1] == got[3] {
			t.Errorf("the cancel has waited for the download: %v", got)
		}
		g.refused(raid, "blocked", "observe-only") // nobody asks for it any more
		if got := g.subpackages(); got["kernel-modules-passthrough"] != "" {
			t.Errorf("installed: %v", got)
		}
		repo.Fail("", rpmrepo.NoFault)
		g.done(g.install("", raid.String()), "is bound to megaraid_sas")
		g.bound(raid, "megaraid_sas")
	})

	t.Run("a full disk", func(t *testing.T) {
		g := g.in(t)
		history := g.sh("cat /var/lib/driverd/history.json")
		g.sh(`cp -a /var/lib/driverd /root/kept
mount -t tmpfs -o size=64k,mode=755,uid=$(id -u driverd),gid=$(id -g driverd) none /var/lib/driverd
cp -a /root/kept/history.json /root/kept/mode /var/lib/driverd/
dd if=/dev/zero of=/var/lib/driverd/fill bs=4k 2>/dev/null || true`)
		g.sh(`out=$(busctl call %s SetMode 'sa{sv}' auto 0 2>&1) && exit 1; echo "$out" | grep 'no space left on device'`, manager)
		if got := g.sh("busctl get-property %s Mode; cat /var/lib/driverd/mode", manager); got != "s \"observe\"\nobserve" {
			t.Errorf("the mode is %s", got)
		}
		g.done(g.install("", "gpu"), "installed")
		g.until("journalctl -u driverd.service -o cat | grep -q 'the history will not survive a restart'")
		if got := g.sh("cat /var/lib/driverd/history.json"); got != history {
			t.Errorf("the history was %s and is %s", history, got)
		}
		g.sh("umount /var/lib/driverd")
		g.sh("busctl call %s SetMode 'sa{sv}' auto 0", manager)
		g.until(`grep -q '"set-mode"' /var/lib/driverd/history.json && grep -q kernel-modules-gpu /var/lib/driverd/history.json`)
		g.sh("systemctl kill --signal=KILL driverd.service")
		g.until("busctl get-property %s Mode | grep -qx 's \"auto\"'", manager)
		if got := g.sh("busctl --json=short call %s History 'a{sv}' 0", manager); strings.Count(got, `"Action"`) < 5 {
			t.Errorf("after a kill, the history is %s", got)
		}
		g.onlyRunningKernel()
	})
}

// answer runs a busctl that prints an a{sv}, and reads that.
func (g guest) answer(format string, into any, args ...any) {
	g.Helper()
	out := g.sh(format, args...)
	var reply struct{ Data []json.RawMessage }
	if err := json.Unmarshal([]byte(out), &reply); err != nil || len(reply.Data) != 1 {
		g.Fatalf("cannot read %s: %v", out, err)
	}
	if err := json.Unmarshal(reply.Data[0], into); err != nil {
		g.Fatalf("cannot read %s: %v", out, err)
	}
}

// monitored returns the values that a property had, one after the other, as the
// monitor saw them.
func (g guest) monitored(path, iface, property string) []string {
	g.Helper()
	type properties map[string]struct{ Data any }
	var values []string
	for signals := json.NewDecoder(strings.NewReader(g.sh("cat /run/monitor"))); ; {
		var signal struct {
			Path, Member string
			Payload      struct{ Data []json.RawMessage }
		}
		if err := signals.Decode(&signal); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return slices.Compact(values)
		} else if err != nil {
			g.Fatalf("cannot read the monitor: %v", err)
		}
		var changed properties
		switch {
		case signal.Member == "PropertiesChanged" && signal.Path == path:
			if err := json.Unmarshal(signal.Payload.Data[1], &changed); err != nil {
				g.Fatal(err)
			}
		case signal.Member == "InterfacesAdded" && string(signal.Payload.Data[0]) == `"`+path+`"`:
			var interfaces map[string]properties
			if err := json.Unmarshal(signal.Payload.Data[1], &interfaces); err != nil {
				g.Fatal(err)
			}
			changed = interfaces[iface]
		}
		if value, ok := changed[property]; ok {
			values = append(values, fmt.Sprint(value.Data))
		}
	}
}

// install asks for what a selector names, and returns the job's path.
func (g guest) install(as, selector string) string {
	g.Helper()
	out := g.sh("%sbusctl --json=short call %s Install 'asa{sv}' 1 '%s' 0", as, manager, selector)
	var reply struct{ Data []string }
	if err := json.Unmarshal([]byte(out), &reply); err != nil || len(reply.Data) != 1 || !strings.HasPrefix(reply.Data[0], api.JobsPath+"/") {
		g.Fatalf("Install %s answers %s: %v", selector, out, err)
	}
	return reply.Data[0]
}

// done waits until a job is done, and sees what it says.
func (g guest) done(job, says string) {
	g.Helper()
	g.until(`busctl get-property %s %s %s State | grep -vqx 's "running"'`, api.BusName, job, api.JobInterface)
	got := g.sh("busctl get-property %s %s %s State Message", api.BusName, job, api.JobInterface)
	if state, message, _ := strings.Cut(got, "\n"); state != `s "done"` || !strings.Contains(message, says) {
		g.Errorf("%s is %s, want it done, and to say %q", job, got, says)
	}
}
