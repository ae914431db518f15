// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon"
	"driverd/daemon/state"
)

// folder is where a test that runs itself again, in another process, finds what
// it is to work in.
const folder = "DRIVERD_TEST_FOLDER"

// itself is the test, to be run in a process of its own.
func itself(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), folder+"="+dir)
	return cmd
}

// history has entries that say who made them.
func history(who string, n int) daemon.KeptHistory {
	entries := make([]daemon.Entry, n)
	for i := range entries {
		entries[i] = daemon.Entry{
			Time: time.Unix(2, 0).UTC(), Began: time.Unix(1, 0).UTC(), Action: "install", Origin: who,
			State: daemon.JobDone, Packages: []string{"kernel-modules-sriov-1-1.x86_64"},
		}
	}
	return daemon.KeptHistory{Entries: entries, Vendors: []string{who}}
}

// On a disk that is full, nothing is written, and nothing that was written is
// lost: in a mount namespace of its own, with a file system of 16 kB.
func TestFullDisk(t *testing.T) {
	dir := os.Getenv(folder)
	if dir == "" {
		cmd := itself(t, t.TempDir())
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestFullDisk") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Fatal(err)
	}
	kept, mode := state.History{Dir: dir}, state.Mode{Dir: dir}
	want := history("before", 10)
	if err := errors.Join(kept.Save(want), mode.Save(daemon.Observe)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 16<<10), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	for _, err := range []error{kept.Save(history("after", 1000)), mode.Save(daemon.Auto), state.Catalogs{Dir: dir}.Save("1", daemon.Learned{}), state.Unfinished{Dir: dir}.Save(nil)} {
		if !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "cannot keep the ") {
			t.Errorf("saved on a full disk: %v", err)
		}
	}
	got, err := kept.Load()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if m, err := mode.Load(); m != daemon.Observe || err != nil {
		t.Errorf("the mode is %q, %v", m, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	if err := os.Remove(filepath.Join(dir, "fill")); err != nil {
		t.Fatal(err)
	}
	if err := kept.Save(history("after", 20)); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// Killed in the middle of a save, again and again: what is read is always what
// was there before, or after.
func TestKilledWhileItSaves(t *testing.T) {
	if dir := os.Getenv(folder); dir != "" {
		for n := 0; ; n++ {
			if err := (state.History{Dir: dir}).Save(history(fmt.Sprint(n), 1000)); err != nil {
				t.Fatal(err)
			}
			fmt.Println("saved")
		}
	}
	dir := t.TempDir()
	for range 10 {
		cmd := itself(t, dir)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() && !strings.Contains(lines.Text(), "saved") {
		}
		_ = cmd.Process.Kill() // at work on the next
		_ = cmd.Wait()
		kept, err := (state.History{Dir: dir}).Load()
		if err != nil || len(kept.Entries) != 1000 || len(kept.Vendors) != 1 {
			t.Fatalf("%d entries, vendors %q, %v", len(kept.Entries), kept.Vendors, err)
		}
		for _, e := range kept.Entries {
			if e.Origin != kept.Vendors[0] {
				t.Fatalf("half of %s, half of %s", kept.Vendors[0], e.Origin)
			}
		}
	}
}
