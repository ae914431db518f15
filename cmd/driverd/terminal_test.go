// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// onTerminal runs driverd at a terminal of its own.
func (s testService) onTerminal(t *testing.T, env []string, args ...string) *terminal {
	t.Helper()
	this, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), this, args...)
	command.Args[0] = "driverd"
	command.Env = append([]string{"DBUS_SYSTEM_BUS_ADDRESS=" + s.bus.Address, "ROOT=" + s.root, "TERM=xterm"}, env...)
	return startOnTerminal(t, command)
}

func TestInstallOnATerminal(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.polkit(t, "yes")
	s.await(t, settledAll)
	const drawn = "downloading [#########.....................]  28 %  0.6 of 1.2 MB"

	s.backend.set("download")
	term := s.onTerminal(t, nil, "install", "0000:01:00.0")
	term.typed("", drawn)
	if strings.Contains(term.shown, "\n") || !strings.Contains(term.shown, "\r\x1b[K") {
		t.Errorf("not drawn in one line: %q", term.shown)
	}
	term.typed("\x03", ": nothing was changed") // Ctrl-C

	term = s.onTerminal(t, nil, "install", "0000:01:00.0")
	term.typed("", drawn)
	s.backend.set("work")
	term.typed("", "0000:01:00.0 is bound to")

	// A terminal that cannot draw.
	term = s.onTerminal(t, []string{"TERM=dumb"}, "install", "sriov")
	term.typed("", "is installed already.")
	if strings.Contains(term.shown, "\x1b") {
		t.Errorf("%q", term.shown)
	}
}

// Without a selector somebody at a terminal is told what it comes to, and asked.
func TestInstallAsksOnATerminal(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.polkit(t, "yes")
	s.await(t, settledAll)
	s.backend.set("work")
	const question = "in all      1.2 MB to download, 3.4 MB on disk\r\nInstall this? [y/N] "
	for answer, shows := range map[string]string{
		"\r": "not confirmed: nothing was changed", "n\r": "not confirmed", "\x04": "not confirmed", "nonsense\r": "not confirmed",
		"\x03": "cannot read the answer: ", // Ctrl-C
	} {
		term := s.onTerminal(t, nil, "install")
		term.typed("", question)
		term.typed(answer, shows)
	}
	term := s.onTerminal(t, nil, "install")
	term.typed("", question)
	term.typed("y\r", "0000:01:00.0 is bound to")
	// There is nothing to install any more, so there is no question.
	s.onTerminal(t, nil, "install").typed("", "blacklisted")
	s.onTerminal(t, nil, "install", "--yes").typed("", "blacklisted")
}

func TestColorsOnATerminal(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.await(t, settledAll)
	for _, test := range []struct {
		env     []string
		colored bool
	}{{nil, true}, {[]string{"NO_COLOR=1"}, false}, {[]string{"NO_COLOR="}, true}, {[]string{"TERM=dumb"}, false}} {
		term := s.onTerminal(t, test.env, "status", "--color", "auto")
		term.typed("", "Chipset: ")
		if got := strings.Contains(term.shown, "\x1b["+red+"mNeed help\x1b[m"); got != test.colored {
			t.Errorf("%v: colours are %v: %q", test.env, got, term.shown)
		}
	}
}

// Colours can be asked for, and forbidden.
func TestColorFlag(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.await(t, settledAll)
	term := s.onTerminal(t, nil, "--color=never")
	term.typed("", "Chipset: ")
	if strings.Contains(term.shown, "\x1b[") {
		t.Errorf("never: %q", term.shown)
	}
	var out bytes.Buffer
	run(t.Context(), []string{"status", "--color", "always"}, console{stdout: &out, stderr: io.Discard, bus: s.bus.Address, gate: open})
	if !strings.Contains(out.String(), "\x1b["+red+"mNeed help\x1b[m") {
		t.Errorf("always: %q", &out)
	}
	code, _, complaints := driverd(t, s.bus.Address, "--color", "sometimes")
	if code != exitUsage || !strings.Contains(complaints, `cannot use colours "sometimes": want auto, always, never`) {
		t.Errorf("%d %s", code, complaints)
	}
}

// unbreakable is a line with one word behind its indent or label, with a command, or that
// ends with what belongs together: a state and its reason, a moment.
var unbreakable = regexp.MustCompile(`^( *|[a-z ]{1,10} +)\S+$|^ *(driverd|journalctl|systemctl) |\(\S+\)(, \S+)?$|\d:\d\d$|[0-9.]+ s$`)

// All text fits the terminal, however narrow, but for words and commands that are wider.
func TestNarrowTerminal(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.await(t, settledAll)
	for _, columns := range []int{1, 3, 20, 80, 200} {
		for _, args := range [][]string{{"status"}, {"explain", "0000:00:1f.0"}, {"explain", "0000:01:00.0"}, {"plan"}, {"history"}, {"explain", "nonsense"}} {
			var out, complaints bytes.Buffer
			run(t.Context(), args, console{stdout: &out, stderr: &complaints, bus: s.bus.Address, columns: columns, gate: open})
			for line := range strings.Lines(out.String() + complaints.String()) {
				line = strings.TrimRight(line, "\n")
				if columns >= 20 && len([]rune(line)) > columns && !unbreakable.MatchString(line) {
					t.Errorf("driverd %v: wider than %d columns: %q", args, columns, line)
				}
			}
			if out.Len()+complaints.Len() == 0 {
				t.Errorf("driverd %v says nothing in %d columns", args, columns)
			}
		}
	}
	// A command is whole.
	var out bytes.Buffer
	run(t.Context(), []string{"explain", "0000:00:1f.0"}, console{stdout: &out, stderr: io.Discard, bus: s.bus.Address, columns: 20, gate: open})
	if !strings.Contains(out.String(), "\n              driverd install 0000:00:1f.0\n") {
		t.Errorf("the command is broken:\n%s", &out)
	}
}

// What a script file cannot hold.
func TestWordsOutOfBounds(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.polkit(t, "yes")
	many := make([]string, 10_000)
	for i := range many {
		many[i] = "8086:10c9"
	}
	for _, test := range []struct {
		words []string
		want  string
	}{
		{many, "10000 selectors are too many: want 256 at most"},
		{[]string{"\x1b[2J\xff"}, `cannot understand "\x1b[2J\xff"`},
		{[]string{strings.Repeat("x", 100_000)}, "cannot understand"},
		{[]string{"pci:v" + strings.Repeat("0", 100_000)}, "cannot understand"},
	} {
		for _, command := range []string{"plan", "install", "explain"} {
			words := test.words
			if command == "explain" {
				words = words[:1]
				if len(test.words) > 1 {
					continue // it takes one
				}
			}
			code, out, complaints := driverd(t, s.bus.Address, append([]string{command}, words...)...)
			if code != exitUsage || out != "" || !strings.Contains(complaints, test.want) || len(complaints) > 400 {
				t.Errorf("driverd %s %.80q: %d %q %.400q", command, words, code, out, complaints)
			}
		}
	}
	if code, out, _ := driverd(t, s.bus.Address); code != 0 || !strings.Contains(out, "driverd 1.0 is ") {
		t.Errorf("the service is harmed: %d %s", code, out)
	}
}
