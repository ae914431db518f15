// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"io"
	"os"
	"os/exec"
	"regexp"
	"testing"

	sent "github.com/coreos/go-systemd/v22/journal"
	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"driverd/daemon/journal"
	"driverd/reason"
)

// entry is what reaches the journal.
type entry struct {
	Message   string
	Priority  sent.Priority
	Variables map[string]string
}

// written returns what the journal gets of an event.
func written(t *testing.T, log func(zerolog.Logger)) entry {
	t.Helper()
	var got []entry
	log(zerolog.New(journal.Writer{Send: func(message string, priority sent.Priority, variables map[string]string) error {
		got = append(got, entry{message, priority, variables})
		return nil
	}}))
	if len(got) != 1 {
		t.Fatalf("the journal gets %d entries: %v", len(got), got)
	}
	return got[0]
}

func TestEntries(t *testing.T) {
	t.Parallel()
	ids := journal.IDs()
	for name, test := range map[string]struct {
		log  func(zerolog.Logger)
		want entry
	}{
		"a state": {
			func(l zerolog.Logger) {
				l.Info().Str("slot", "0000:01:00.0").Str("state", "bound").Str("reason", "").Str("driver", "igb").Msg("m")
			},
			entry{"m", sent.PriInfo, map[string]string{
				"MESSAGE_ID": ids["bound"], "DRIVERD_SLOT": "0000:01:00.0", "DRIVERD_STATE": "bound", "DRIVERD_DRIVER": "igb",
			}},
		},
		"a reason says more than the event": {
			func(l zerolog.Logger) {
				l.Warn().Str("event", "job-failed").Str("reason", "no-space").Strs("packages", []string{"a-1", "b-1"}).Msg("m")
			},
			entry{"m", sent.PriWarning, map[string]string{
				"MESSAGE_ID": ids[string(reason.NoSpace)], "DRIVERD_EVENT": "job-failed", "DRIVERD_REASON": "no-space",
				"DRIVERD_PACKAGES": "a-1 b-1",
			}},
		},
		"a failure without a reason": {
			func(l zerolog.Logger) { l.Error().Str("event", "job-failed").Str("reason", "").Msg("m") },
			entry{"m", sent.PriErr, map[string]string{"MESSAGE_ID": ids["job-failed"], "DRIVERD_EVENT": "job-failed"}},
		},
		"what nobody searches by is left out, and a newline is no new field": {
			func(l zerolog.Logger) { l.Debug().Err(io.EOF).Str("MESSAGE_ID", "x").Int("n", 1).Msg("a\nPRIORITY=0") },
			entry{"a\nPRIORITY=0", sent.PriDebug, map[string]string{}},
		},
	} {
		test.want.Variables["SYSLOG_IDENTIFIER"] = "driverd"
		if diff := cmp.Diff(test.want, written(t, test.log)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestConsole sees that whoever starts the service by hand reads lines, each
// thing said once.
func TestConsole(t *testing.T) {
	if os.Getenv("DRIVERD_TEST_CONSOLE") != "" {
		log := journal.New(zerolog.InfoLevel)
		log.Debug().Msg("too much")
		log.Warn().Str("event", "job-failed").Str("reason", "no-space").Msg("cannot install a: the disk is full")
		return
	}
	t.Parallel()
	command := exec.Command(os.Args[0], "-test.run=^TestConsole$")
	command.Env = append(os.Environ(), "DRIVERD_TEST_CONSOLE=1", "NO_COLOR=1")
	stderr, err := command.StderrPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(stderr)
	if err == nil {
		err = command.Wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^\d\d:\d\d:\d\d WRN cannot install a: the disk is full\n$`).Match(got) {
		t.Errorf("the console shows %q", got)
	}
}
