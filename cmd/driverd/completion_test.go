// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"driverd/internal/testtree"
	"driverd/kernelbuild"
)

// init makes the test's own program serve as driverd where a shell or a script
// calls it by that name; the system's files are under $ROOT then, if it is set.
func init() {
	if filepath.Base(os.Args[0]) == "driverd" {
		os.Exit(begin(cmp.Or(os.Getenv("ROOT"), "/")))
	}
}

// shells are those that driverd has completions for, with what makes them ready
// for a person, and where the package puts the completions.
var shells = map[string]struct {
	command []string
	setup   string
	file    string
}{
	"bash": {
		[]string{"bash", "--norc", "--noprofile", "-i"},
		"source /usr/share/bash-completion/bash_completion", "bash-completion/completions/driverd",
	},
	"zsh": {
		[]string{"zsh", "--no-rcs", "-i"},
		"fpath=($XDG_DATA_DIRS/zsh/site-functions $fpath); autoload -U compinit; compinit -u -D", "zsh/site-functions/_driverd",
	},
	"fish": {
		[]string{"fish", "--no-config", "-i"},
		"set -p fish_complete_path $XDG_DATA_DIRS/fish/vendor_completions.d", "fish/vendor_completions.d/driverd.fish",
	},
}

// TestTab presses the key in real shells.
func TestTab(t *testing.T) {
	t.Parallel()
	s := serve(t)
	share, bin := t.TempDir(), t.TempDir()
	this, err := os.Executable()
	if err == nil {
		err = os.Symlink(this, filepath.Join(bin, "driverd"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, script, _ := driverd(t, "", "completion", name)
			if code != 0 {
				t.Fatalf("driverd completion %s: %d", name, code)
			}
			testtree.Write(t, filepath.Join(share, shell.file), script)
			command := exec.CommandContext(t.Context(), shell.command[0], shell.command[1:]...)
			command.Env = []string{
				"PATH=" + bin + ":/usr/bin:/bin", "HOME=" + t.TempDir(), "XDG_DATA_DIRS=" + share,
				"DBUS_SYSTEM_BUS_ADDRESS=" + s.bus.Address, "TERM=dumb", "LC_ALL=C.UTF-8",
			}
			term := startOnTerminal(t, command)
			term.typed(shell.setup+"; echo re''ady\r", "ready\r")
			for _, press := range []struct{ line, becomes string }{
				{"driverd resc", "driverd rescan "},
				{"driverd status --js", "driverd status --json"},
				{"driverd explain 0000:03", "driverd explain 0000:03:00.0"},
				{"driverd install sri", "driverd install sriov "},
				{"driverd install sriov 0000:03", "driverd install sriov 0000:03:00.0"},
				{"driverd wait 0000:03", "driverd wait 0000:03:00.0"},
				{"driverd --color alw", "driverd --color always "},
				{"driverd image install --root / sri", "driverd image install --root / sriov "},
				{"driverd plan gp", "driverd plan gpu "},
				{"driverd mode obs", "driverd mode observe "},
				{"driverd explain --root /etc/pas --js", "--json"},
			} {
				term.typed("\x15"+press.line+"\t", press.becomes) // ^U: in the place of the last one
			}
			term.typed("\x15echo d''one\r", "done\r")
		})
	}
}

// terminal is one that a person sits at.
type terminal struct {
	*testing.T
	side   *os.File
	chunks chan string
	shown  string
}

// startOnTerminal starts a program on a terminal of its own, until the end of
// the test. See pty(7).
func startOnTerminal(t *testing.T, command *exec.Cmd) *terminal {
	t.Helper()
	side, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(side.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0),
		unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}))
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	command.Stdin, command.Stdout, command.Stderr = other, other, other
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := errors.Join(command.Start(), other.Close()); err != nil {
		t.Fatal(err)
	}
	term := &terminal{T: t, side: side, chunks: make(chan string)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for buffer := make([]byte, 4096); ; {
			n, err := side.Read(buffer)
			if err != nil {
				return // nobody is at the other side any more
			}
			select {
			case term.chunks <- string(buffer[:n]):
			case <-t.Context().Done():
			}
		}
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // says that it was killed
		<-ended
		_ = side.Close()
	})
	return term
}

// escapes are a terminal's: of colours, and of the line's own editing.
var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]|\x1b[()=>][0-9A-B]?|[\x0e\x0f]")

// typed types keys, and waits until the terminal shows something.
func (t *terminal) typed(keys, shows string) {
	t.Helper()
	t.shown = ""
	if _, err := t.side.WriteString(keys); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(time.Minute)
	for !strings.Contains(escapes.ReplaceAllString(t.shown, ""), shows) {
		select {
		case chunk := <-t.chunks:
			t.shown += chunk
		case <-deadline:
			t.Fatalf("after %q the terminal shows %q, not %q", keys, t.shown, shows)
		}
	}
}

// Each group that can be installed is offered with a word about it.
func TestGroupSummaries(t *testing.T) {
	t.Parallel()
	described := slices.Sorted(maps.Keys(groupSummaries))
	if want := slices.Sorted(slices.Values(kernelbuild.OptionalGroups())); !slices.Equal(described, want) {
		t.Errorf("described are %q, want %q", described, want)
	}
}
