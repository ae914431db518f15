// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// event is one line of go test -json: see go doc test2json.
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64 // seconds
	Output  string
}

// tally runs tests, the converter reading their output if there is one, and counts and
// shows what becomes of them. A failure that the tests tell of is no error.
func (r *run) tally(tests, converter *exec.Cmd) error {
	reader, writer := io.Pipe()
	last := tests
	if converter != nil {
		out, err := tests.StdoutPipe()
		if err != nil {
			return err
		}
		tests.Stderr = tests.Stdout
		converter.Stdin = out
		last = converter
	}
	last.Stdout, last.Stderr = writer, writer
	if converter != nil {
		if err := converter.Start(); err != nil {
			return err
		}
	}
	if err := tests.Start(); err != nil {
		return err
	}
	var converted error
	ended := make(chan error, 1)
	go func() {
		if converter != nil {
			converted = converter.Wait() // it reads to the end of what the tests say
		}
		err := tests.Wait()
		_ = writer.Close()
		ended <- err
	}()
	unfinished, told, err := r.read(reader)
	testsErr := <-ended
	switch {
	case told:
		testsErr = nil // it has been counted
	case testsErr != nil:
		testsErr = fmt.Errorf("%w\n%s", testsErr, unfinished)
	}
	return errors.Join(err, converted, testsErr)
}

// read reads the output of go test -json. It returns what the tests have said that
// did not come to their end, and whether a failure was counted.
func (r *run) read(in io.Reader) (unfinished string, failed bool, err error) {
	said := make(map[string][]string) // by package and test
	below := make(map[string]bool)    // the packages of which a test has failed
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return saidBy(said, ""), failed, nil
		}
		if err != nil {
			return "", failed, fmt.Errorf("cannot read the tests' output: %w", err)
		}
		var e event
		if json.Unmarshal([]byte(line), &e) != nil {
			r.print("%s", line) // the compiler's, or a program's that a test ran
			continue
		}
		name := e.Package + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			r.output(e)
			said[name] = append(said[name], e.Output)
		case "pass", "fail", "skip":
			top := e.Test != "" && !strings.Contains(e.Test, "/")
			switch {
			case e.Action == "fail" && (e.Test != "" || !below[e.Package]):
				failed = true
				r.count(false)
				text := strings.Join(said[name], "")
				if e.Test == "" {
					text = saidBy(said, name) // with what the test said in which the process died
				}
				r.print("FAIL  %s (%.1f s)\n%s", name, e.Elapsed, text)
			case e.Action == "skip" && e.Test != "":
				failed = true
				r.count(false) // what is not run proves nothing
				r.print("SKIP  %s\n", name)
			case e.Action == "pass" && e.Test != "":
				r.count(true)
				if top {
					r.print("ok    %s (%.1f s)\n", name, e.Elapsed)
				}
			}
			if top {
				r.result(e.Test, e.Action == "pass")
				r.note(name, time.Duration(e.Elapsed*float64(time.Second)))
			}
			delete(said, name)
			below[e.Package] = below[e.Package] || e.Action == "fail"
		}
	}
}

// saidBy returns what has been said by those of which the name begins with this.
func saidBy(said map[string][]string, name string) (text string) {
	for _, each := range slices.Sorted(maps.Keys(said)) {
		if strings.HasPrefix(each, name) {
			text += strings.Join(said[each], "")
		}
	}
	return text
}

// output shows what a test is to show, and progress: a first build takes minutes.
func (r *run) output(e event) {
	if strings.HasPrefix(e.Output, "lab: ") || strings.HasPrefix(e.Output, "table: ") || e.Action == "build-output" {
		r.print("%s", e.Output)
	}
	var stage string
	var seconds float64
	if n, _ := fmt.Sscanf(e.Output, "lab: built the %s in %f s", &stage, &seconds); n == 2 {
		r.note("building the lab's "+stage, time.Duration(seconds*float64(time.Second)))
	}
}
