// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"

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
	columns        int    // of the terminal that stdout is; 0 for a pipe or a file
	color          bool   // if colorFlag is auto
	colorFlag      *string
	person         bool         // somebody can be asked for a password
	bus            string       // address of the bus, empty for the system's
	gate           func() error // why nothing can be done in this guest, nil if something can
}

// columns is how wide a terminal is.
func columns(f *os.File) int {
	if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
		return int(size.Col)
	}
	return printable.Columns
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
	if !c.colored() {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[m"
}

// colorWhen are the values of --color.
var colorWhen = []string{"auto", "always", "never"}

// colored says whether text is to have colours.
func (c console) colored() bool {
	if c.colorFlag == nil || *c.colorFlag == colorWhen[0] {
		return c.color
	}
	return *c.colorFlag == "always"
}

// plain is the console without colours.
func (c console) plain() console {
	c.color, c.colorFlag = false, nil
	return c
}

// atRest says whether the service does not run because it has nothing to do.
func (c console) atRest() bool {
	_, err := os.Stat(filepath.Join(c.root, api.RestFile))
	return err == nil
}

// with connects to the service for the time of do.
func (c console) with(ctx context.Context, do func(*api.Client) error) error {
	client, err := api.Connect(ctx, c.bus)
	if err != nil {
		return failure(err)
	}
	defer func() { _ = client.Close() }()
	client.Wake = func() bool { return c.atRest() || c.gate() != nil } // it has ended by itself
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

// shorten cuts a line that is too long for the terminal.
func (c console) shorten(line string) string {
	const cut = "..."
	if r := []rune(line); c.columns > len(cut) && len(r) > c.columns {
		return string(r[:c.columns-len(cut)]) + cut
	}
	return line
}

// wrapped is text that is broken behind an indent to fit the terminal.
func (c console) wrapped(text string, indent int) string {
	return strings.Join(c.lines(text, indent), "\n"+strings.Repeat(" ", indent))
}

// command matches what a message tells the reader to type. Others wrote the message, for
// one line.
var command = regexp.MustCompile(`: ((?:driverd (?:daemon|explain|history|image|install|mode|plan|preinstall|rescan|status|vendor|watch)|echo \S+ \| tee)` +
	`(?: [^;,]*?)?)(?:[;,:.] |$)`)

// lines breaks text into lines that fit the terminal behind an indent. A command that the
// reader is to type has a line of its own, and is never broken.
func (c console) lines(text string, indent int) []string {
	var lines []string
	text = printable.Text(text)
	for at := command.FindStringSubmatchIndex(text); at != nil; at = command.FindStringSubmatchIndex(text) {
		lines = append(lines, printable.Wrap(text[:at[0]+1], indent, c.columns)...)
		lines = append(lines, "  "+text[at[2]:at[3]])
		text = text[at[1]:]
	}
	if text == "" && lines != nil {
		return lines
	}
	return append(lines, printable.Wrap(text, indent, c.columns)...)
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
