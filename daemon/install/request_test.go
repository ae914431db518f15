// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"driverd/daemon/install"
)

const sriov = "kernel-modules-sriov-7.2.12-200.fc44.x86_64"

func TestJobIsANumber(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "..", "../7", "7/../8", "/etc/passwd", "-1", "+1", "07", " 7", "7\n", "1e3", "4294967296", strings.Repeat("9", 1000)} {
		if job, err := install.ParseJob(text); err == nil {
			t.Errorf("%.40q is job %d", text, job)
		} else if len(err.Error()) > 200 {
			t.Errorf("it takes %d characters to say that %.40q is no job", len(err.Error()), text)
		}
	}
	if job, err := install.ParseJob("7"); job != 7 || err != nil {
		t.Errorf("7 is job %d, %v", job, err)
	}
}

// Whoever has taken the service over can leave anything as a request. It is refused in
// a sentence, and nothing is waited for.
func TestHostileRequest(t *testing.T) {
	t.Parallel()
	write := func(text string) func(path string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o644) }
	}
	secret := filepath.Join(t.TempDir(), "shadow")
	if err := os.WriteFile(secret, []byte(`{"install":["`+sriov+`"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	me := uint32(os.Getuid())
	many := make([]string, 1000)
	for n := range many {
		many[n] = fmt.Sprintf("a%d-1-1.noarch", n)
	}
	for name, test := range map[string]struct {
		make  func(path string) error
		owner uint32
		says  string // empty if it is good
	}{
		"good":                    {write(`{"install":["` + sriov + `"],"asked":true}`), me, ""},
		"not there":               {func(string) error { return nil }, me, "it is not there"},
		"empty":                   {write(""), me, "it is no request"},
		"a link":                  {func(path string) error { return os.Symlink(secret, path) }, me, "it is a link"},
		"a FIFO":                  {func(path string) error { return unix.Mkfifo(path, 0o644) }, me, "not a regular file"},
		"a folder":                {func(path string) error { return os.Mkdir(path, 0o755) }, me, "not a regular file"},
		"of another owner":        {write(`{"install":["` + sriov + `"]}`), me + 1, "it belongs to user"},
		"10 MB":                   {write(`{"install":["` + strings.Repeat("a", 10<<20) + `"]}`), me, "larger than 256 kB"},
		"10 MB of nothing":        {func(path string) error { return sparse(path, 10<<20) }, me, "larger than 256 kB"},
		"two of them":             {write(`{"stop":":1.1"}{"stop":":1.1"}`), me, "something follows"},
		"a new word":              {write(`{"install":["` + sriov + `"],"root":"/"}`), me, "it is no request"},
		"a long word":             {write(`{"` + strings.Repeat("a", 100<<10) + `":1}`), me, "it is no request"},
		"a path":                  {write(`{"install":["/tmp/evil-1-1.x86_64"]}`), me, "is not the name"},
		"a path that climbs":      {write(`{"install":["../../../tmp/evil-1-1.x86_64"]}`), me, "is not the name"},
		"a pattern":               {write(`{"install":["kernel-*-1-1.x86_64"]}`), me, "is not the name"},
		"two packages in one":     {write(`{"install":["` + sriov + `,*"]}`), me, "is not the name"},
		"a name alone":            {write(`{"install":["bash"]}`), me, "is not the name"},
		"an option":               {write(`{"install":["--setopt=x-1-1.x86_64"]}`), me, "is not the name"},
		"a pattern along":         {write(`{"install":["` + sriov + `"],"allowed":["*"]}`), me, "is not the name"},
		"a thousand and one":      {write(`{"install":["` + strings.Join(many, `","`) + `"],"allowed":["` + sriov + `"]}`), me, "1001 packages"},
		"a thousand":              {write(`{"install":["` + strings.Join(many, `","`) + `"],"others":["` + strings.Join(many, `","`) + `"]}`), me, ""},
		"nothing":                 {write(`{}`), me, "it has to name packages"},
		"both":                    {write(`{"install":["` + sriov + `"],"stop":":1.1"}`), me, "it has to name packages"},
		"a service of the system": {write(`{"stop":"org.freedesktop.systemd1"}`), me, "not a unique name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := test.make(filepath.Join(dir, "7")); err != nil {
				t.Fatal(err)
			}
			_, err := install.ReadRequest(dir, 7, test.owner)
			switch {
			case test.says == "" && err != nil:
				t.Error(err)
			case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
				t.Errorf("it says %v, want %q", err, test.says)
			case err != nil && (len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\n")):
				t.Errorf("it is no sentence: %d characters", len(err.Error()))
			}
		})
	}
}

func sparse(path string, size int64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return file.Truncate(size)
}

// What is removed, cut and written anew while it is read is a request or an error.
func TestRequestChangesWhileItIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			path := filepath.Join(dir, "7")
			switch n % 3 {
			case 0:
				_ = os.Remove(path)
			case 1:
				_ = os.WriteFile(path, []byte(`{"install":["`+sriov+`"]}`), 0o644)
			case 2:
				_ = os.Truncate(path, int64(n%30))
			}
		}
	}()
	for range 1000 {
		r, err := install.ReadRequest(dir, 7, uint32(os.Getuid()))
		if err == nil && !cmp.Equal(r, install.Request{Install: []string{sriov}}) {
			t.Fatalf("it is %+v", r)
		}
	}
}

func TestRequestIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := install.Request{Install: []string{sriov}, Allowed: []string{"a-1:1-1.noarch"}, Others: []string{"a-1:1-1.noarch"}, Reinstall: true}
	if err := install.WriteRequest(dir, 3, want); err != nil {
		t.Fatal(err)
	}
	got, err := install.ReadRequest(dir, 3, uint32(os.Getuid()))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// No text is a request that names what is no package.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"install":["` + sriov + `"],"allowed":["a-1-1.noarch"],"others":["b-1-1.noarch"]}`))
	f.Add([]byte(`{"stop":":1.7"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "1"), text, 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := install.ReadRequest(dir, 1, uint32(os.Getuid()))
		if err != nil {
			return
		}
		for _, list := range [][]string{r.Install, r.Allowed, r.Others} {
			for _, nevra := range list {
				if strings.ContainsAny(nevra, "/*?[]{}, \t\n\x00=<>()") || strings.HasPrefix(nevra, "-") {
					t.Errorf("%q passes for a package", nevra)
				}
			}
		}
		if bytes.ContainsAny([]byte(fmt.Sprint(r.Stop)), "/ \n") {
			t.Errorf("%q passes for a name", r.Stop)
		}
	})
}

// A step calls no socket but one that the service has made: the folder is the
// service's, and whoever has taken it over can put a link there.
func TestStepCallsTheServiceOnly(t *testing.T) {
	t.Parallel()
	dir, me := t.TempDir(), uint32(os.Getuid())
	own := filepath.Join(dir, "own")
	socket, err := net.Listen("unix", own)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	link, file := filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := errors.Join(os.Symlink(own, link), os.WriteFile(file, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path   string
		user   uint32
		called bool
	}{{own, me, true}, {own, me + 1, false}, {link, me, false}, {file, me, false}, {dir, me, false}, {filepath.Join(dir, "nothing"), me, false}} {
		conn, err := install.Call(test.path, test.user)
		if err == nil {
			_ = conn.Close()
		}
		if (err == nil) != test.called {
			t.Errorf("%s of user %d: %v", test.path, test.user, err)
		}
	}
}
