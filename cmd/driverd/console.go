// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"driverd/api"
	"driverd/internal/printable"
	"driverd/internal/report"
)

// console is where a command talks to.
type console struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	root           string // of the system's files; "/", but for tests
	terminal       bool   // stdout is one on which a line can be drawn again
	color          bool
	person         bool         // somebody can be asked for a password
	bus            string       // address of the bus, empty for the system's
	gate           func() error // why nothing can be done in this guest, nil if something can
}

// The colours of a terminal: "select graphic rendition" of ECMA-48.
const (
	bold   = "1"
	red    = "1;31"
	green  = "32"
	yellow = "33"
)

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// paint colours s, which must not be one cell of a table: escape sequences
// have no width.
func (c console) paint(color, s string) string {
	if !c.color {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[m"
}

// with connects to the service for the time of do.
func (c console) with(ctx context.Context, do func(*api.Client) error) error {
	client, err := api.Connect(ctx, c.bus)
	if err != nil {
		return failure(err)
	}
	defer func() { _ = client.Close() }()
	return failure(do(client))
}

// asAdministrator is with for a call that polkit guards: where a person sits
// at a terminal, polkit may ask for a password there.
func (c console) asAdministrator(ctx context.Context, do func(*api.Client) error) error {
	return c.with(ctx, func(client *api.Client) error {
		if c.person {
			client.Interactive = true
			defer startAgent(ctx)()
		}
		return do(client)
	})
}

// print writes to standard output.
func (c console) print(text string) error {
	if _, err := io.WriteString(c.stdout, text); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	return nil
}

// printJSON writes v to standard output, readable for people too.
func (c console) printJSON(v any) error {
	if err := report.WriteJSON(c.stdout, v); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	return nil
}

// shorten cuts a line that is too long for the console.
func shorten(line string) string {
	if r := []rune(line); len(r) > printable.Columns {
		return string(r[:printable.Columns-3]) + "..."
	}
	return line
}

// size is a size for people.
func size(bytes uint64) string {
	amount, unit := inUnit(bytes, bytes)
	return amount + " " + unit
}

// inUnit is an amount in the unit that suits a size: MB with one digit, kB below that.
func inUnit(bytes, size uint64) (amount, unit string) {
	if size < 1e6 {
		return fmt.Sprintf("%.0f", math.Ceil(float64(bytes)/1e3)), "kB"
	}
	return fmt.Sprintf("%.1f", float64(bytes)/1e6), "MB"
}
