// SPDX-License-Identifier: Apache-2.0

// Package report tells what driverd has to say about a guest: its status, and the
// record that a bug report needs.
package report

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"driverd/internal/printable"
)

// Source is the guest that a record is made of.
type Source struct {
	Version string       // of driverd
	Root    string       // of the guest's files
	Bus     string       // address of the bus, empty for the system's
	Gate    func() error // why nothing can be done in this guest, nil if something can
	AtRest  func() bool  // whether a service that does not run has nothing to do, and answers if asked
}

// Record writes a record into dir, which only who calls may read. It is whole, as far as
// it goes, when the file RECORD is there.
func (s Source) Record(ctx context.Context, dir string) (Summary, error) {
	var none Summary
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return none, err
	}
	// Nothing is written outside of it, whoever else may write into it.
	out, err := os.OpenRoot(dir)
	if err != nil {
		return none, err
	}
	defer func() { _ = out.Close() }()
	entries, err := fs.ReadDir(out.FS(), ".")
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty: name a new folder", dir)
	}
	if err != nil {
		return none, err
	}
	r := &recorder{Source: s, out: out}
	for _, part := range []func(context.Context) error{r.hardware, r.kernel, r.configuration, r.state, r.service, r.journal, r.kernelLog} {
		if err := errors.Join(part(ctx), context.Cause(ctx)); err != nil {
			return none, err
		}
	}
	return r.summary, r.write("RECORD", []byte(r.about()))
}

// Summary says what a record holds.
type Summary struct {
	Devices int
	Lacks   []string // what could not be had, and why
}

// Counted returns how many devices there are, in words.
func (s Summary) Counted() string {
	if s.Devices == 1 {
		return "1 device"
	}
	return fmt.Sprintf("%d devices", s.Devices)
}

// LacksText lists for people what the record lacks, in lines of so many columns, or
// unbroken with 0; it is empty if that is nothing.
func (s Summary) LacksText(columns int) string {
	if len(s.Lacks) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("It lacks:\n")
	for _, what := range s.Lacks {
		fmt.Fprintf(&b, "  %s\n", strings.Join(printable.Wrap(what, 2, columns), "\n  "))
	}
	return b.String()
}
