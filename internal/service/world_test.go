// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/rs/zerolog"

	"driverd/api"
	"driverd/dnfbridge"
	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	"driverd/hwdetect/sysfs"
	"driverd/internal/report"
	"driverd/internal/service"
	"driverd/internal/testbed"
	"driverd/internal/testbus"
	"driverd/internal/testtree"
	"driverd/reason"
)

const (
	release = "7.2.12-1.x86_64"
	version = "7.2.12-1.x86_64"
)

// deadline is for what takes a second or two on a machine that has nothing else to do.
const deadline = time.Minute

func TestMain(m *testing.M) { testbed.Main(m) }

// drivers are the modules of the packages, and what they claim; those of the base are
// installed.
var drivers = map[string]map[string]string{
	"": {
		"ena": "pci:v00001D0Fd0000EC20sv*sd*bc*sc*i*", "gve": "pci:v00001AE0d00000042sv*sd*bc*sc*i*",
		"nvme": "pci:v*d*sv*sd*bc01sc08i02*", "vmxnet3": "pci:v000015ADd000007B0sv*sd*bc*sc*i*",
	},
	"sriov": {
		"igb": "pci:v00008086d000010C9sv*sd*bc*sc*i*", "ixgbevf": "pci:v00008086d000010EDsv*sd*bc*sc*i*", "idpf": "pci:v00008086d0000145Csv*sd*bc*sc*i*",
		"mlx4_core": "pci:v000015B3d00001004sv*sd*bc*sc*i*", "mana": "pci:v00001414d000000BAsv*sd*bc*sc*i*", "efa": "pci:v00001D0Fd0000EFA1sv*sd*bc*sc*i*",
	},
	"gpu":         {"nouveau": "pci:v000010DEd*sv*sd*bc03sc*i*", "amdgpu": "pci:v00001002d0000738Csv*sd*bc*sc*i*"},
	"passthrough": {"vmd": "pci:v00008086d0000201Dsv*sd*bc*sc*i*", "megaraid_sas": "pci:v00001000d00000060sv*sd*bc*sc*i*"},
}

// firmwareOf are the files without which modules fail.
var firmwareOf = map[string]string{"amdgpu": "amdgpu/arcturus_gpu_info.bin"}

// firmwarePackages are the packages of firmware, with a file of each. The first is larger than what
// is installed for a file that the kernel has not asked for.
var firmwarePackages = map[string]dnfbridge.Package{
	"amdgpu/arcturus_gpu_info.bin": {NEVRA: "amd-gpu-firmware-20260221-1.noarch", Name: "amd-gpu-firmware", RepoID: "lab", DownloadSize: 27e6},
	"nvidia/tu102/gr/sw_ctx.bin":   {NEVRA: "nvidia-gpu-firmware-20260221-1.noarch", Name: "nvidia-gpu-firmware", RepoID: "lab", DownloadSize: 40e6},
}

func aliases(group string) string {
	var text strings.Builder
	for module, pattern := range drivers[group] {
		fmt.Fprintf(&text, "alias %s %s\n", pattern, module)
	}
	return text.String()
}

// world is a guest that umockdev shows, with the real service in it. DNF and systemd are
// played by it: what is installed is in the index of modules, what is loaded has its device.
type world struct {
	t        *testing.T
	bed      *testbed.Testbed
	sections map[string]string // of the recording
	bus      string            // its address
	client   *api.Client

	mu       sync.Mutex // of what follows, and of bed once the service runs
	packages []string   // that it has installed
	paths    map[string]string
}

// replay makes a guest of a recording, with what it has when it starts.
func replay(t *testing.T, recording string) *world {
	t.Helper()
	file, err := txtar.ParseFile(filepath.Join("testdata", "guests", recording+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, bed: testbed.New(t), sections: map[string]string{}, paths: map[string]string{}}
	for _, f := range file.Files {
		w.sections[f.Name] = string(f.Data)
	}
	w.bed.Replay(t, w.sections["running"])
	if err := os.MkdirAll(w.path("sys/bus/pci/devices"), 0o755); err != nil {
		t.Fatal(err)
	}
	testtree.Write(t, w.path("proc/modules"), "")
	testtree.Write(t, w.path("lib/modules", release, "modules.builtin.modinfo"), "")
	testtree.Write(t, w.path("lib/modules", release, "modules.alias"), aliases(""))
	return w
}

func (w *world) path(elements ...string) string {
	return filepath.Join(append([]string{w.bed.Root()}, elements...)...)
}

func (w *world) copyConfig(to, from string) {
	w.t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		w.t.Fatal(err)
	}
	testtree.Write(w.t, w.path(to), string(text))
}

func (w *world) link(name, target string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.path(name)), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Symlink(target, w.path(name)); err != nil {
		w.t.Fatal(err)
	}
}

// start starts the service.
func (w *world) start() {
	w.t.Helper()
	bus := testbus.Start(w.t)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	// The platform is the same for every recording: a hypervisor may lie about its name, and
	// nothing is decided by it.
	guest := service.Guest{
		Root: w.bed.Root(), Release: release, Boot: "1", Platform: "microsoft", Bus: bus.Address, State: w.t.TempDir(),
		Backend: backend{w}, Loader: loader{w},
	}
	go func() { done <- guest.Run(ctx, "test", zerolog.New(zerolog.NewTestWriter(w.t))) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the service ended: %v", err)
		}
	})
	w.bus = bus.Address
	var err error
	if w.client, err = api.Connect(w.t.Context(), bus.Address); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.client.Close() })
}

// plug brings what the recording plugs in.
func (w *world) plug() { w.replay("plugged") }

// replay brings what a section of the recording has, and udev's events for it.
func (w *world) replay(section string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bed.Replay(w.t, w.sections[section])
	for line := range strings.Lines(w.sections[section]) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "P: "); ok {
			w.paths[filepath.Base(path)] = "/sys" + path
			w.bed.Emit("/sys"+path, "add")
		}
	}
}

// add brings a device that no recording has, and returns its path.
func (w *world) add(name, modalias string) string {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	path := w.bed.Add("pci", name, "modalias", modalias+"\n", "class", "0x020000\n", "vendor", "0x8086\n", "device", "0x10c9\n",
		"subsystem_vendor", "0x0000\n", "subsystem_device", "0x0000\n", "driver_override", "(null)\n")
	w.paths[name] = path
	w.bed.Emit(path, "add")
	return path
}

// settled waits until the service has nothing more to do, and shows these slots, and
// returns all devices by their slots.
func (w *world) settled(slots ...string) map[string]api.Device {
	w.t.Helper()
	for end := time.Now().Add(deadline); ; time.Sleep(20 * time.Millisecond) {
		m, err := w.client.Manager(w.t.Context())
		all := make(map[string]api.Device)
		if err == nil {
			var devices []api.Device
			devices, err = w.client.Devices(w.t.Context())
			for _, d := range devices {
				all[d.Slot] = d
			}
		}
		shown := err == nil && m.Status == "ready"
		for _, slot := range slots {
			if _, ok := all[slot]; !ok || slices.Contains([]string{"pending", "installing", "loading"}, all[slot].State) {
				shown = false
			}
		}
		if shown {
			return all
		}
		if time.Now().After(end) {
			w.t.Fatalf("the service does not come to rest: %+v %v %+v", m, err, all)
		}
	}
}

// giving is settled for one device, once it gives the guest these functions: its driver makes
// them one by one after it has taken the device.
func (w *world) giving(slot string, functions []string) api.Device {
	w.t.Helper()
	for end := time.Now().Add(deadline); ; time.Sleep(20 * time.Millisecond) {
		d := w.settled(slot)[slot]
		if slices.Equal(d.Functions, append([]string{}, functions...)) || time.Now().After(end) {
			return d
		}
	}
}

// installed are the packages that the service has installed.
func (w *world) installed() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.packages)
}

// recorded sees that a record of the guest says what the guest does of a device.
func (w *world) recorded(slot string, functions []string) {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "record")
	source := report.Source{Version: "test", Root: w.bed.Root(), Bus: w.bus, Gate: func() error { return nil }}
	if _, err := source.Record(w.t.Context(), dir); err != nil {
		w.t.Fatal(err)
	}
	parsed, err := hwdetect.ParseSlot(slot)
	if err != nil {
		w.t.Fatal(err)
	}
	if parts, err := sysfs.New(dir).Parts(parsed); err != nil || parts.Problem != nil || !slices.Equal(parts.Functions, functions) {
		w.t.Errorf("the record says that it gives %q, want %q: %v %v", parts.Functions, functions, err, parts.Problem)
	}
}

// backend plays DNF.
type backend struct{ *world }

func (backend) Name() string { return "fake" }

func (b backend) KernelPackages(context.Context, string, bool) (dnfbridge.Listing, error) {
	packages := []dnfbridge.Package{{NEVRA: "kernel-core-" + version, Name: "kernel-core", Installed: true, Provides: []string{"kernel-core-uname-r = " + release}}}
	for group, modules := range drivers {
		if group == "" {
			continue
		}
		p := dnfbridge.Package{NEVRA: "kernel-modules-" + group + "-" + version, Name: "kernel-modules-" + group, RepoID: "lab", DownloadSize: 1e6, InstallSize: 1e6,
			Provides: []string{"kernel-modules-" + group + "-uname-r = " + release}}
		for module, pattern := range modules {
			p.Provides = append(p.Provides, "kmod("+module+".ko)", "modalias("+pattern+")")
		}
		slices.Sort(p.Provides)
		p.Installed = slices.Contains(b.installed(), p.NEVRA)
		packages = append(packages, p)
	}
	return dnfbridge.Listing{Packages: packages}, nil
}

func (b backend) Find(_ context.Context, what []string, _ bool) (found []dnfbridge.Package, err error) {
	for file, p := range firmwarePackages {
		if slices.Contains(what, p.Name) || slices.ContainsFunc(firmware.Paths(file), func(path string) bool { return slices.Contains(what, path) }) {
			p.Installed = slices.Contains(b.installed(), p.NEVRA)
			found = append(found, p)
		}
	}
	return found, nil
}

// VendorPackages finds none.
func (backend) VendorPackages(context.Context, string, dnfbridge.Vendor, bool) (dnfbridge.VendorListing, error) {
	return dnfbridge.VendorListing{}, nil
}

func (backend) InstalledEarlier(context.Context) ([]string, error) { return nil, nil }

func (backend) StopIfUnused(context.Context) (bool, error) { return true, nil }

func (b backend) Resolve(ctx context.Context, t dnfbridge.Transaction) ([]dnfbridge.Package, error) {
	all, err := b.KernelPackages(ctx, release, false)
	packages := slices.AppendSeq(all.Packages, maps.Values(firmwarePackages))
	return slices.DeleteFunc(packages, func(p dnfbridge.Package) bool { return p.Installed || !slices.Contains(t.Install, p.NEVRA) }), err
}

// Install makes the packages' modules those that depmod knows, and their firmware be there.
func (b backend) Install(_ context.Context, t dnfbridge.Transaction, _ func(dnfbridge.Progress)) error {
	if t.DownloadOnly {
		return nil
	}
	if err := t.Commit(t.Install); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	index := aliases("")
	b.packages = append(b.packages, t.Install...)
	for group := range drivers {
		if slices.Contains(b.packages, "kernel-modules-"+group+"-"+version) {
			index += aliases(group)
		}
	}
	for file, p := range firmwarePackages {
		if slices.Contains(t.Install, p.NEVRA) {
			testtree.Write(b.t, b.path("lib/firmware", file+".xz"), "")
		}
	}
	name := b.path("lib/modules", release, "modules.alias")
	if err := os.WriteFile(name+".new", []byte(index), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// loader plays systemd, which runs the load step: the driver that depmod knows takes the
// device, and what it makes of it in the recording is there.
type loader struct{ *world }

func (loader) Loaded(string) bool { return false }

func (loader) Prepare(context.Context, hwdetect.Slot) {}

func (l loader) Load(_ context.Context, slot hwdetect.Slot) error {
	index, err := os.ReadFile(l.path("lib/modules", release, "modules.alias"))
	if err != nil {
		return err
	}
	identity, err := os.ReadFile(l.path("sys/bus/pci/devices", slot.String(), "modalias"))
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(index), "\n") {
		fields := strings.Fields(line)
		if len(fields) != 3 || !matches(fields[1], strings.TrimSpace(string(identity))) {
			continue
		}
		if file := firmwareOf[fields[2]]; file != "" {
			if len(firmware.Guest{Root: l.bed.Root(), Release: release}.Lacking([]string{file})) > 0 {
				return &firmware.MissingError{Files: []string{file}, Err: reason.With(reason.FirmwareMissing, fmt.Errorf("its driver lacks the firmware %s", file))}
			}
		}
		l.mu.Lock()
		path := l.paths[slot.String()]
		if _, err := os.Lstat(l.path(path, "driver")); err != nil {
			l.bed.Link(path, "driver", "../../../bus/pci/drivers/"+fields[2])
			l.bed.Emit(path, "bind")
		}
		l.mu.Unlock()
		if l.isPlugged(path) {
			l.replay("bound")
		}
		return nil
	}
	return nil
}

// isPlugged says whether the recording plugs in what is at that path.
func (w *world) isPlugged(path string) bool {
	return strings.Contains(w.sections["plugged"], "P: "+strings.TrimPrefix(path, "/sys")+"\n")
}

// matches is fnmatch(3), as far as the patterns here need it.
func matches(pattern, text string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	text, ok := strings.CutPrefix(text, first)
	if !ok || !star {
		return ok && text == ""
	}
	for i := range len(text) + 1 {
		if matches(rest, text[i:]) {
			return true
		}
	}
	return false
}
