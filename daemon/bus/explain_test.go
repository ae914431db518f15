// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"driverd/api"
	"driverd/daemon"
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

func (s service) explain(what string) (map[string]dbus.Variant, error) {
	call := s.call(api.RootPath, api.ManagerInterface+".Explain", what, map[string]dbus.Variant{})
	if call.Err != nil {
		return nil, call.Err
	}
	return call.Body[0].(map[string]dbus.Variant), nil
}

// answers makes the engine give x, whatever it is asked.
func (e *engine) answers(x daemon.Explanation) {
	e.does(func(string) (daemon.Explanation, error) { return x, nil })
}

func (e *engine) does(explain func(what string) (daemon.Explanation, error)) {
	e.explain.Store(&explain)
}

// The signature of every value is a contract; nobody on the bus is asked
// whether the caller may.
func TestExplain(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.engine.answers(daemon.Explanation{
		What: "8086:10c9", Release: "7.2", Modalias: "pci:v1", Vendor: "Intel",
		Lacking: []string{"qed/init.bin"},
		Explanation: plan.Explanation{
			Want:     plan.Want{Action: plan.Install, State: plan.Pending, Group: "sriov"},
			Firmware: []string{"e100/ucode.bin", "qed/init.bin"},
			Claims:   []plan.Claim{{Alias: "pci:v*", Source: hwdetect.InCatalog, Package: "sriov-1"}},
			Vendors:  []plan.VendorNote{{Name: "edu", Enabled: true, Texts: []string{"The lab's driver"}}},
			Rule:     &plan.Rule{Allow: true, Origin: plan.Origin{File: "/etc/driverd/driverd.toml", Line: 3}},
			Packages: []plan.Holder{{Package: plan.Package{NEVRA: "sriov-1", Repo: "updates", DownloadSize: 1, InstallSize: 2}, Group: "sriov"}},
		},
	})
	got, err := s.explain("8086:10c9")
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for name, value := range got {
		texts[name] = value.Signature().String() + " " + value.String()
	}
	want := map[string]string{
		"What": `s "8086:10c9"`, "Modalias": `s "pci:v1"`, "Vendor": `s "Intel"`, "Product": `s ""`, "KernelRelease": `s "7.2"`,
		"Rule":    `a{sv} {"Action": <"allow">, "File": <"/etc/driverd/driverd.toml">, "Line": <@u 3>}`,
		"Vendors": `aa{sv} [{"Enabled": <true>, "Name": <"edu">, "Texts": <["The lab's driver"]>}]`,
		"Action":  `s "install"`, "Group": `s "sriov"`, "State": `s "pending"`, "Reason": `s ""`, "Message": `s ""`,
		"Claims": `aa{sv} [{"Alias": <"pci:v*">, "Module": <"">, "Package": <"sriov-1">, "Source": <"catalog">}]`,
		"Firmware": `aa{sv} [{"File": <"e100/ucode.bin">, "Lacking": <false>, "Package": <"">},` +
			` {"File": <"qed/init.bin">, "Lacking": <true>, "Package": <"qed-firmware">}]`,
		"Packages": `aa{sv} [{"DownloadSize": <@t 1>, "Group": <"sriov">, "InstallSize": <@t 2>, "Installed": <false>,` +
			` "NEVRA": <"sriov-1">, "Repository": <"updates">}]`,
	}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Error(diff)
	}
}

// What has become of a device wins over what the rules would have it do.
func TestExplainASlot(t *testing.T) {
	t.Parallel()
	s := start(t)
	device := view(1).Devices[0]
	device.State, device.Reason, device.Message = plan.Failed, reason.ProbeFailed, "no"
	s.engine.answers(daemon.Explanation{
		Explanation: plan.Explanation{Want: plan.Want{Action: plan.Load, State: plan.Pending}},
		Device:      &device,
		Attempts: []daemon.Attempt{
			{Step: "learn", Running: true},
			{Step: "install", Ended: time.UnixMicro(5), Err: errors.New("cannot: \xff"), Tries: 2, RetryAt: time.UnixMicro(9)},
		},
	})
	why, err := s.explain("0000:01:00.0")
	if err != nil {
		t.Fatal(err)
	}
	x, err := api.NewExplanation(why)
	if err != nil {
		t.Fatal(err)
	}
	if x.Rule != nil {
		t.Errorf("a rule from nowhere: %+v", x.Rule)
	}
	if x.Action != "load" || x.State != "failed" || x.Reason != "probe-failed" || x.Message != "no" {
		t.Errorf("%+v", x)
	}
	want := []api.Attempt{{Step: "learn", Running: true}, {Step: "install", Ended: 5, Tries: 2, Error: "cannot: \uFFFD", Retry: 9}}
	if diff := cmp.Diff(want, x.Attempts); diff != "" {
		t.Error(diff)
	}
	if x.Device == nil || x.Device.Slot != "0000:01:00.0" || len(x.Device.Timeline) != 1 || x.Device.Timeline[0] != (api.Step{Name: "seen", Time: 7}) {
		t.Errorf("%+v", x.Device)
	}
}

func TestExplainWrongCalls(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.engine.does(func(what string) (daemon.Explanation, error) {
		switch what {
		case "panic":
			panic("as told")
		case "failure":
			return daemon.Explanation{}, errors.New("cannot see the hardware")
		case "0000:77:00.0":
			return daemon.Explanation{}, fmt.Errorf("%w in it", daemon.ErrNoSuchDevice)
		}
		return daemon.Explanation{}, fmt.Errorf("%w: want a slot", daemon.ErrNotUnderstood)
	})
	none := map[string]dbus.Variant{}
	const prefix = "org.freedesktop.DBus.Error."
	for _, c := range []struct {
		args []any
		want string
	}{
		{[]any{"", none}, prefix + "InvalidArgs"},
		{[]any{strings.Repeat("x", 1<<20), none}, prefix + "InvalidArgs"},
		{[]any{"0000:77:00.0", none}, api.ErrorNoSuchDevice},
		{[]any{"failure", none}, prefix + "Failed"},
		{[]any{"panic", none}, prefix + "Failed"},
		{[]any{"8086:10c9", map[string]dbus.Variant{"verbose": dbus.MakeVariant(true)}}, prefix + "InvalidArgs"},
		{[]any{"8086:10c9"}, prefix + "InvalidArgs"},
		{[]any{[]byte("8086:10c9"), none}, prefix + "InvalidArgs"},
		{nil, prefix + "InvalidArgs"},
	} {
		err := s.call(api.RootPath, api.ManagerInterface+".Explain", c.args...).Err
		if got := errorName(err); got != c.want {
			t.Errorf("Explain%.80v: %q (%.200v), want %q", c.args, got, err, c.want)
		}
	}
}
