// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"driverd/lab/stage"
)

// said collects what is said.
type said struct {
	sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.Lock()
	defer s.Unlock()
	return s.text.Write(p)
}

func (s *said) has(words string) bool {
	s.Lock()
	defer s.Unlock()
	return strings.Contains(s.text.String(), words)
}

// cache is an empty cache, what is said being collected.
func cache(t *testing.T) (dir string, progress *said) {
	t.Helper()
	dir, progress = t.TempDir(), new(said)
	t.Setenv("DRIVERD_LAB", dir)
	stage.NeedRoom(t, 1)
	was := stage.Progress
	stage.Progress = progress
	t.Cleanup(func() {
		stage.Forget()
		stage.Progress = was
	})
	return dir, progress
}

// builds counts how often it builds.
type builds int

func (b *builds) build(_ context.Context, dir string) error {
	*b++
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o644),
		os.Mkdir(filepath.Join(dir, "folder"), 0o755),
		os.WriteFile(filepath.Join(dir, "folder", "file"), []byte("more"), 0o644))
}

// get gets a stage, as a process of its own does.
func get(t *testing.T, name, input string, b *builds) string {
	t.Helper()
	stage.Forget()
	dir, err := stage.Get(t.Context(), name, []string{input}, b.build)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStageIsBuiltOnce(t *testing.T) {
	cache(t)
	var b builds
	first := get(t, "disk", "a", &b)
	if again := get(t, "disk", "a", &b); again != first || b != 1 {
		t.Errorf("the second is %s, the first %s, built %d times", again, first, b)
	}
	if other := get(t, "disk", "b", &b); other == first || b != 2 {
		t.Errorf("with other inputs it is %s, built %d times", other, b)
	}
}

func TestStageThatWasCutShortIsBuiltAgain(t *testing.T) {
	for name, cut := range map[string]func(dir string) error{
		"a file is gone":           func(dir string) error { return os.Remove(filepath.Join(dir, "folder", "file")) },
		"a file is shorter":        func(dir string) error { return os.Truncate(filepath.Join(dir, "file"), 2) },
		"the folder is gone":       os.RemoveAll,
		"the inventory is gone":    func(dir string) error { return os.Remove(dir + ".inventory") },
		"the inventory is empty":   func(dir string) error { return os.Truncate(dir+".inventory", 0) },
		"half of one beside it":    func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir+".half", 0o755)) },
		"half, and not of a stage": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir+".half", nil, 0o644)) },
	} {
		t.Run(name, func(t *testing.T) {
			cache(t)
			var b builds
			if err := cut(get(t, "disk", "a", &b)); err != nil {
				t.Fatal(err)
			}
			dir := get(t, "disk", "a", &b)
			if text, err := os.ReadFile(filepath.Join(dir, "folder", "file")); string(text) != "more" || b != 2 {
				t.Errorf("built %d times, and holds %q: %v", b, text, err)
			}
			if get(t, "disk", "a", &b); b != 2 {
				t.Error("it is built each time")
			}
		})
	}
}

func TestBuildThatFailsLeavesNothing(t *testing.T) {
	dir, _ := cache(t)
	cause := errors.New("no network")
	_, err := stage.Get(t.Context(), "disk", nil, func(_ context.Context, dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "file"), nil, 0o644), cause)
	})
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "cannot build the disk: ") {
		t.Errorf("the error is %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 1 || filepath.Ext(left[0]) != ".lock" {
		t.Errorf("left are %v: %v", left, err)
	}
	var b builds
	if get(t, "disk", "a", &b); b != 1 {
		t.Error("the next run does not build it")
	}
}

func TestFullDisk(t *testing.T) {
	dir, _ := cache(t)
	stage.NeedRoom(t, math.MaxUint64)
	var b builds
	_, err := stage.Get(t.Context(), "disk", nil, b.build)
	if err == nil || b != 0 || !strings.Contains(err.Error(), dir+" has ") || !strings.Contains(err.Error(), "set DRIVERD_LAB") {
		t.Errorf("built %d times, and the error is %v", b, err)
	}
}

func TestOldStagesGo(t *testing.T) {
	dir, _ := cache(t)
	var b builds
	names := func() (names []string) {
		for _, name := range []string{"a", "b", "c", "d", "other"} {
			found, err := filepath.Glob(filepath.Join(dir, "*-*", "is-"+name))
			if err != nil {
				t.Fatal(err)
			}
			if len(found) > 0 {
				names = append(names, name)
			}
		}
		return names
	}
	build := func(name, input string, age time.Duration) string {
		stage.Forget()
		got, err := stage.Get(t.Context(), name, []string{input}, func(_ context.Context, dir string) error {
			b++
			return os.WriteFile(filepath.Join(dir, "is-"+input), nil, 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		for _, suffix := range []string{"", ".lock", ".inventory"} {
			if err := os.Chtimes(got+suffix, then, then); err != nil {
				t.Fatal(err)
			}
		}
		return got
	}
	build("root", "other", 8*24*time.Hour) // nobody's any more
	build("disk", "a", 3*time.Hour)
	build("disk", "b", 2*time.Hour)
	if got := fmt.Sprint(names()); got != "[a b]" {
		t.Errorf("kept are %s", got)
	}
	build("disk", "c", time.Hour)
	if got := fmt.Sprint(names()); got != "[b c]" {
		t.Errorf("kept are %s", got)
	}
}

// TestMain is also the other process of the tests below: it builds or uses a stage,
// says so, and goes on until its standard input ends.
func TestMain(m *testing.M) {
	what := os.Getenv("STAGE_TEST_PROCESS")
	if what == "" {
		os.Exit(m.Run())
	}
	wait := func() {
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
	var b builds
	_, err := stage.Get(context.Background(), "disk", []string{"a"}, func(ctx context.Context, dir string) error {
		if what == "builds" {
			wait()
		}
		return b.build(ctx, dir)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if what == "uses" {
		wait()
	}
}

// process starts one, and returns when it does what it is to do.
func process(t *testing.T, what string) (cmd *exec.Cmd, end func()) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "STAGE_TEST_PROCESS="+what)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for text := ""; !strings.Contains(text, "ready"); {
		buffer := make([]byte, 100)
		n, err := out.Read(buffer)
		if err != nil {
			t.Fatalf("it says %q: %v", text, err)
		}
		text += string(buffer[:n])
	}
	return cmd, func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other process: %v", err)
		}
	}
}

func TestTwoRunsBuildOnce(t *testing.T) {
	_, progress := cache(t)
	other, end := process(t, "builds")
	var b builds
	done := make(chan error, 1)
	go func() {
		_, err := stage.Get(t.Context(), "disk", []string{"a"}, b.build)
		done <- err
	}()
	for holder := fmt.Sprintf("process %d (", other.Process.Pid); !progress.has(holder); {
		select {
		case err := <-done:
			t.Fatalf("it did not wait, or not for %s: %v", holder, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	end()
	if err := <-done; err != nil || b != 0 {
		t.Errorf("built once more: %v", err)
	}
}

func TestKilledBuildIsBuiltAgain(t *testing.T) {
	dir, _ := cache(t)
	other, _ := process(t, "builds")
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // it was killed
	if half, err := filepath.Glob(filepath.Join(dir, "*.half")); err != nil || len(half) != 1 {
		t.Fatalf("it has left %v: %v", half, err)
	}
	var b builds
	if get(t, "disk", "a", &b); b != 1 {
		t.Error("it is not built")
	}
	if half, err := filepath.Glob(filepath.Join(dir, "*.half")); err != nil || len(half) != 0 {
		t.Errorf("left is %v: %v", half, err)
	}
}

func TestStageInUseStays(t *testing.T) {
	dir, _ := cache(t)
	_, end := process(t, "uses")
	var b builds
	for _, input := range []string{"b", "c", "d"} {
		get(t, "disk", input, &b)
	}
	if kept, err := filepath.Glob(filepath.Join(dir, "disk-*[0-9a-f]")); err != nil || len(kept) != 3 {
		t.Errorf("kept are %v: %v", kept, err)
	}
	end()
	get(t, "disk", "e", &b)
	if kept, err := filepath.Glob(filepath.Join(dir, "disk-*[0-9a-f]")); err != nil || len(kept) != 2 {
		t.Errorf("kept are %v: %v", kept, err)
	}
}
