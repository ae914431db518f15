// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"

	"driverd/api"
	"driverd/internal/guest"
	"driverd/internal/printable"
)

// TestScripts runs testdata/script: every command, as it is typed, against the
// service on a bus of its own. $ROOT is the guest's tree, see guestTree.
//
//	service start|stop       the service over that tree
//	dnf WORD                 what its package manager does from now on, see backendDoes
//	polkit yes|no|password   what everybody may do
//	await SLOT STATE         wait for the state of a device
//	await settled            wait until nothing is in progress
//	await history            wait until the service keeps it in a file
//	await job PHASE          wait until a job is in that phase
//	exits CODE COMMAND...    run it: it exits with CODE, and its help fits the console
//	scrub                    take what depends on the moment out of stdout
func TestScripts(t *testing.T) {
	t.Parallel()
	this, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			tb := env.T().(testing.TB)
			bin := filepath.Join(tb.TempDir(), "driverd")
			if err := os.Symlink(this, bin); err != nil {
				return err
			}
			root := filepath.Join(env.WorkDir, "root")
			env.Setenv("PATH", filepath.Dir(bin)+":"+env.Getenv("PATH"))
			env.Setenv("ROOT", guestTree(tb, root))
			env.Setenv("IGB", igbModalias)
			env.Setenv("TERM", "xterm")
			env.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+env.WorkDir+"/none")
			env.Values[scriptKey{}] = &script{TB: tb, root: root}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"service": of((*script).serviceCommand), "dnf": of((*script).dnf), "polkit": of((*script).polkitCommand),
			"await": of((*script).awaitCommand), "exits": of((*script).exits), "scrub": of((*script).scrub),
		},
	})
}

type scriptKey struct{}

// script is what belongs to one script.
type script struct {
	testing.TB
	root    string
	service testService
}

func of(command func(*script, *testscript.TestScript, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("there is no ! of this command")
		}
		command(ts.Value(scriptKey{}).(*script), ts, args)
	}
}

func (s *script) serviceCommand(ts *testscript.TestScript, args []string) {
	switch strings.Join(args, " ") {
	case "start":
		s.service = serveTree(s, s.root, nil)
		ts.Setenv("DBUS_SYSTEM_BUS_ADDRESS", s.service.bus.Address)
	case "stop":
		s.service.stop()
	default:
		ts.Fatalf("service start|stop")
	}
}

func (s *script) dnf(ts *testscript.TestScript, args []string) {
	if len(args) != 1 || !slices.Contains(backendDoes, args[0]) {
		ts.Fatalf("dnf %s", strings.Join(backendDoes, "|"))
	}
	s.service.backend.set(args[0])
}

func (s *script) polkitCommand(_ *testscript.TestScript, args []string) {
	s.service.polkit(s, authority(args[0]))
}

func (s *script) awaitCommand(ts *testscript.TestScript, args []string) {
	switch {
	case len(args) == 1 && args[0] == "settled":
		s.service.await(s, settledAll)
	case len(args) == 1 && args[0] == "history":
		kept := filepath.Join(s.root, guest.StateDir, "history.json") // written beside all else: no signal tells
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(kept); err == nil {
				return
			} else if time.Now().After(deadline) {
				ts.Fatalf("no history is kept: %v", err)
			}
		}
	case len(args) == 2 && args[0] == "job":
		s.service.await(s, func([]api.Device) bool {
			jobs, err := s.service.client.Jobs(context.Background())
			ts.Check(err)
			return slices.ContainsFunc(jobs, func(j api.Job) bool { return j.State == api.JobRunning && j.Phase == args[1] })
		})
	case len(args) == 2:
		s.service.await(s, func(devices []api.Device) bool {
			return slices.ContainsFunc(devices, func(d api.Device) bool { return d.Slot == args[0] && d.State == args[1] })
		})
	default:
		ts.Fatalf("await settled|history|job PHASE|SLOT STATE")
	}
}

func (s *script) exits(ts *testscript.TestScript, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if want, err := strconv.Atoi(args[0]); err != nil || code != want {
		ts.Fatalf("exits with %d, want %s", code, args[0])
	}
	out := ts.ReadFile("stdout")
	if strings.Contains(out+ts.ReadFile("stderr"), "\x1b") {
		ts.Fatalf("sends escape sequences to what is no terminal")
	}
	if !slices.Contains(args, "--help") {
		return
	}
	for line := range strings.Lines(out) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > printable.Columns {
			ts.Fatalf("wider than %d columns: %s", printable.Columns, line)
		}
	}
}

// ofTheMoment is what is different each time.
var ofTheMoment = []struct {
	is      *regexp.Regexp
	becomes string
}{
	{regexp.MustCompile(`\b\d{16}\b`), "1"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`), "DATE"},
	{regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d`), "TIME    "},
	{regexp.MustCompile(`\+ \d+\.\d\d s`), "+ T s"},
	// Names are from this machine's list, where no service has another one.
	{regexp.MustCompile(`(?m)^device  .*\n(?: {12}.*\n)*`), ""},
	{regexp.MustCompile(`"(vendor|product)": ".*"`), `"$1": "NAME"`},
}

func (s *script) scrub(ts *testscript.TestScript, _ []string) {
	text := ts.ReadFile("stdout")
	for _, part := range ofTheMoment {
		text = part.is.ReplaceAllString(text, part.becomes)
	}
	_, err := ts.Stdout().Write([]byte(strings.ReplaceAll(text, s.root, "ROOT")))
	ts.Check(err)
}

// await waits until the devices are as wanted.
func (s testService) await(t testing.TB, wanted func([]api.Device) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	kicks, err := s.client.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for {
		devices, err := s.client.Devices(ctx)
		if err != nil {
			t.Fatalf("%v; last: %+v", err, devices)
		}
		if wanted(devices) {
			return
		}
		if _, ok := <-kicks; !ok {
			t.Fatalf("not as wanted: %+v", devices)
		}
	}
}
