// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// programs is where the compiled tests lie.
const programs = "dist/tests"

// run is one run of some parts.
type run struct {
	until time.Time // no part begins that would end later; zero for no limit
	out   io.Writer // what happens is told there
	room  room

	mu             sync.Mutex // of what follows, and of what is printed
	passed, failed int
	results        map[string]bool // whether a test of the top level has passed
	took           []took
	leftOut        []part
}

func newRun() *run { return &run{out: os.Stdout, room: machine(), results: make(map[string]bool)} }

// compile compiles the tests that need the lab, once for all parts of a package.
func (r *run) compile(ctx context.Context, chosen []part) error {
	started := time.Now()
	var packages []string
	for _, p := range chosen {
		if p.pkg != "" && !slices.Contains(packages, p.pkg) {
			packages = append(packages, p.pkg)
		}
	}
	if len(packages) == 0 {
		return nil
	}
	if err := os.MkdirAll(programs, 0o755); err != nil {
		return fmt.Errorf("cannot compile the tests: %w", err)
	}
	r.print("== compiling the tests of %s\n", strings.Join(packages, ", "))
	for _, pkg := range packages {
		cmd := exec.CommandContext(ctx, "go", "test", "-race", "-tags", "lab,long", "-c", "-o", program(pkg), "./"+pkg)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("cannot compile the tests of %s: %w\n%s", pkg, err, out)
		}
	}
	r.note("compiling the tests", time.Since(started))
	return nil
}

func program(pkg string) string {
	return filepath.Join(programs, strings.ReplaceAll(pkg, "/", "-")+".test")
}

// all runs parts, in their order, as many at a time as have room.
func (r *run) all(ctx context.Context, parts []part) error {
	var running sync.WaitGroup
	defer running.Wait()
	for _, p := range parts {
		leave, err := r.room.take(ctx, max(1, p.guests))
		if err != nil {
			return err
		}
		running.Go(func() {
			defer leave()
			r.part(ctx, p)
		})
	}
	return nil
}

// part runs one part, if there is time for it.
func (r *run) part(ctx context.Context, p part) {
	started := time.Now()
	if ctx.Err() != nil {
		return
	}
	if !r.until.IsZero() && started.Add(p.takes).After(r.until) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.leftOut = append(r.leftOut, p)
		return
	}
	r.print("run   %s\n", p.name())
	if p.pkg == "" && !slices.Contains(p.command, "-json") {
		out, err := command(ctx, p.command...).CombinedOutput()
		r.note(p.name(), time.Since(started))
		if err != nil {
			r.count(false)
			r.print("FAIL  %s: %v\n%s", p.name(), err, out)
		} else {
			r.print("ok    %s (%.1f s)\n", p.name(), time.Since(started).Seconds())
		}
		return
	}
	tests, converter := r.command(ctx, p)
	if err := r.tally(tests, converter); err != nil && ctx.Err() == nil {
		r.count(false)
		r.print("FAIL  %s: %v\n", p.name(), err)
	}
}

// command returns the process of a part, and what makes go test's JSON of its output,
// which is nil if it does that itself.
func (r *run) command(ctx context.Context, p part) (tests, converter *exec.Cmd) {
	if p.pkg == "" {
		return command(ctx, p.command...), nil
	}
	file, err := filepath.Abs(program(p.pkg))
	if err != nil {
		file = program(p.pkg) // and starting it says why
	}
	argv := append([]string{file, "-test.v=test2json", "-test.timeout=2h",
		"-test.run=^(" + strings.Join(p.tests, "|") + ")$"}, p.args...)
	tests = command(ctx, argv...)
	tests.Dir = p.pkg
	return tests, command(context.WithoutCancel(ctx), "go", "tool", "test2json", "-t", "-p", "driverd/"+p.pkg)
}

// command is a process that ends with this one.
func command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// print prints a line, or some, at once.
func (r *run) print(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = fmt.Fprintf(r.out, format, args...)
}

// count counts one result.
func (r *run) count(passed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if passed {
		r.passed++
	} else {
		r.failed++
	}
}

// result notes how a test of the top level has ended.
func (r *run) result(test string, passed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[test] = passed
}
