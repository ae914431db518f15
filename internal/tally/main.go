// SPDX-License-Identifier: Apache-2.0

// Command tally reads what go test -json prints and shows it to a person: each
// test of the top level as it ends, all that a failed one said, and at the end
// a line "N passed, N failed" that counts subtests too. It exits with 1 unless
// something passed and nothing failed.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of go test -json: see go doc test2json.
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64 // seconds
	Output  string
}

func main() {
	passed, failed, err := tally(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}

func tally(in io.Reader) (passed, failed int, err error) {
	said := make(map[string][]string) // by package and test
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return passed, failed, nil
		}
		if err != nil {
			return passed, failed, fmt.Errorf("cannot read the tests' output: %w", err)
		}
		var e event
		if json.Unmarshal([]byte(line), &e) != nil {
			fmt.Print(line) // the compiler's, or a program's that a test ran
			continue
		}
		name := e.Package + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			// Progress, as a first build takes minutes; and what a test is to show.
			if strings.HasPrefix(e.Output, "lab: ") || strings.HasPrefix(e.Output, "table: ") || e.Action == "build-output" {
				fmt.Print(e.Output)
			}
			said[name] = append(said[name], e.Output)
		case "pass", "fail", "skip":
			switch {
			case e.Action == "fail" && (e.Test != "" || !failedBelow(said, e.Package)):
				failed++
				fmt.Printf("FAIL  %s (%.1f s)\n%s", name, e.Elapsed, strings.Join(said[name], ""))
			case e.Action == "skip" && e.Test != "":
				failed++ // what is not run proves nothing
				fmt.Printf("SKIP  %s\n", name)
			case e.Action == "pass" && e.Test != "":
				passed++
				if !strings.Contains(e.Test, "/") {
					fmt.Printf("ok    %s (%.1f s)\n", name, e.Elapsed)
				}
			}
			delete(said, name)
			if e.Action == "fail" {
				said[e.Package+" failed"] = []string{}
			}
		}
	}
}

// failedBelow says whether a test of the package has been counted already, so
// that the package's own failure is nothing new.
func failedBelow(said map[string][]string, pkg string) bool {
	_, ok := said[pkg+" failed"]
	return ok
}
