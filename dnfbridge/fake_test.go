// SPDX-License-Identifier: Apache-2.0

package dnfbridge_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/rs/zerolog"

	"driverd/dnfbridge"
	"driverd/internal/testbus"
)

const (
	fakeManager = dbus.ObjectPath("/org/rpm/dnf/v0")
	fakeSession = fakeManager + "/0123456789abcdef0123456789abcdef"
)

// fakeItem is an item as Goal.resolve returns it.
type fakeItem struct {
	Type, Action, Reason string
	Attrs, Object        map[string]dbus.Variant
}

// fakeServer stands where dnf5daemon-server does, for what the real one cannot
// be brought to do. Its fields are what it answers; a nil function answers well.
// Once it serves, they are used under lock only.
type fakeServer struct {
	conn *dbus.Conn
	mu   sync.Mutex

	items     []fakeItem
	result    uint32
	installed []string // NEVRAs
	available []map[string]dbus.Variant
	owners    []map[string]dbus.Variant // installed packages that have the image of the kernel
	hidden    []map[string]dbus.Variant // packages that DNF's configuration excludes
	repos     []map[string]dbus.Variant
	open      func() *dbus.Error
	download  func(client string) *dbus.Error
	do        func(client string) *dbus.Error

	fetched  int                       // calls of do_transaction that only download
	done     int                       // other calls of do_transaction
	resolved time.Time                 // when it has resolved last
	verified []string                  // files
	unsigned error                     // what is wrong with their signatures
	answered []bool                    // what confirm_key was told
	asked    []map[string]dbus.Variant // the options of every Rpm.list
	config   map[string]string         // of the last session with one, but for those that ask what is installed
	cleaned  []string                  // what Base.clean was told
	all      bool                      // whether the last session disables excludes
}

func (f *fakeServer) OpenSession(options map[string]dbus.Variant) (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	config, _ := options["config"].Value().(map[string]string)
	f.all = config["disable_excludes"] != ""
	if config != nil && !f.all {
		f.config = config
	}
	open := f.open
	f.mu.Unlock()
	if open != nil {
		if err := open(); err != nil {
			return "/", err
		}
	}
	return fakeSession, nil
}

func (f *fakeServer) List(options map[string]dbus.Variant) ([]map[string]dbus.Variant, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, options)
	if options["scope"].Value() != "installed" || options["whatprovides"].Value() != nil {
		installed := options["scope"].Value() == "installed"
		all := f.available
		if f.all {
			all = slices.Concat(all, f.hidden)
		}
		return slices.DeleteFunc(slices.Clone(all), func(p map[string]dbus.Variant) bool {
			return options["scope"].Value() != nil && p["is_installed"].Value() != installed
		}), nil
	}
	if options["patterns"].Value() != nil {
		return f.owners, nil
	}
	found := []map[string]dbus.Variant{}
	for _, nevra := range f.installed {
		found = append(found, map[string]dbus.Variant{"nevra": dbus.MakeVariant(nevra)})
	}
	return found, nil
}

func (f *fakeServer) Clean(what string) (bool, string, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cleaned = append(f.cleaned, what)
	return true, "", nil
}

func (f *fakeServer) Repos(map[string]dbus.Variant) ([]map[string]dbus.Variant, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.repos, nil
}

func (f *fakeServer) Problems() ([]map[string]dbus.Variant, *dbus.Error) { return nil, nil }

func (f *fakeServer) Install([]string, map[string]dbus.Variant) *dbus.Error { return nil }

func (f *fakeServer) ConfirmKey(_ string, answer bool) *dbus.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answered = append(f.answered, answer)
	return nil
}

func (f *fakeServer) Resolve(map[string]dbus.Variant) ([]fakeItem, uint32, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resolved = time.Now()
	return f.items, f.result, nil
}

func (f *fakeServer) DoTransaction(sender dbus.Sender, options map[string]dbus.Variant) *dbus.Error {
	f.mu.Lock()
	do := f.do
	if options["downloadonly"].Value() == true {
		f.fetched++
		do = f.download
	} else {
		f.done++
	}
	f.mu.Unlock()
	if do == nil {
		return nil
	}
	return do(string(sender))
}

// verify checks signatures in the place of rpmkeys.
func (f *fakeServer) verify(_ context.Context, files []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.verified = append(f.verified, files...)
	return f.unsigned
}

// cache is a root in whose cache packages lie that the tests install.
func cache(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "var/cache/dnf5daemon-server/lab-0/packages")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for called, holds := range map[string]string{
		"moved-sriov": "kernel-modules-sriov", "kernel-modules-core-1-1.x86_64": "kernel-modules-core", "kernel-modules-gpu-1-1.x86_64": "bash",
	} {
		if err := os.WriteFile(filepath.Join(dir, called+".rpm"), rpmOf(holds, 0, "1", "1", "x86_64"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// locked runs f with the fields of a serving fake locked.
func (f *fakeServer) locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// transactions is how many were started.
func (f *fakeServer) transactions() (n int) {
	f.locked(func() { n = f.done })
	return n
}

// send sends a signal of the fake's session to one client, as the server does.
func send(conn *dbus.Conn, client, name string, args ...any) {
	i := strings.LastIndexByte(name, '.')
	body := append([]any{fakeSession}, args...)
	conn.Send(&dbus.Message{
		Type: dbus.TypeSignal,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(client),
			dbus.FieldPath:        dbus.MakeVariant(fakeSession),
			dbus.FieldInterface:   dbus.MakeVariant("org.rpm.dnf.v0." + name[:i]),
			dbus.FieldMember:      dbus.MakeVariant(name[i+1:]),
			dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(body...)),
		},
		Body: body,
	}, nil)
}

// serve puts the fake on a bus of its own and returns a client of it.
func (f *fakeServer) serve(t *testing.T, options ...dnfbridge.Option) (*dnfbridge.DNF5, *testbus.Bus) {
	t.Helper()
	bus := testbus.Start(t)
	conn, err := dbus.Connect(bus.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	f.conn = conn
	for _, object := range []struct {
		path    dbus.ObjectPath
		iface   string
		methods map[string]any
	}{
		{fakeManager, "SessionManager", map[string]any{"open_session": f.OpenSession}},
		{fakeSession, "rpm.Rpm", map[string]any{"list": f.List, "install": f.Install}},
		{fakeSession, "Base", map[string]any{"clean": f.Clean}},
		{fakeSession, "rpm.Repo", map[string]any{"confirm_key": f.ConfirmKey, "list": f.Repos}},
		{fakeSession, "Goal", map[string]any{"resolve": f.Resolve, "do_transaction": f.DoTransaction, "get_transaction_problems": f.Problems}},
	} {
		if err := conn.ExportMethodTable(object.methods, object.path, "org.rpm.dnf.v0."+object.iface); err != nil {
			t.Fatal(err)
		}
	}
	if reply, err := conn.RequestName("org.rpm.dnf.v0", dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("cannot own the name: %v, %v", reply, err)
	}
	dial := func(ctx context.Context, opts ...dbus.ConnOption) (*dbus.Conn, error) {
		return dbus.Connect(bus.Address, append(opts, dbus.WithContext(ctx))...)
	}
	options = append([]dnfbridge.Option{dnfbridge.Retry(3, time.Millisecond), dnfbridge.Verify(cache(t), f.verify)}, options...)
	return dnfbridge.NewDNF5With(dial, zerolog.Nop(), options...), bus
}

// newItem is what Goal.resolve says of one package.
func newItem(action, name, evr string) fakeItem {
	return fakeItem{
		Type: "Package", Action: action, Reason: "User",
		Attrs: map[string]dbus.Variant{},
		Object: map[string]dbus.Variant{
			"name": dbus.MakeVariant(name), "evr": dbus.MakeVariant(evr), "arch": dbus.MakeVariant("x86_64"),
			"full_nevra":    dbus.MakeVariant(name + "-0:" + evr + ".x86_64"),
			"download_size": dbus.MakeVariant(uint64(1000)), "repo_id": dbus.MakeVariant("lab"),
		},
	}
}
