// SPDX-License-Identifier: Apache-2.0

// Package journal writes the log: structured fields for the journal, lines for
// a person elsewhere.
package journal

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/rs/zerolog"
)

// fields are those that an entry may have beside its message, which says it all
// to a person: what a program searches by, DRIVERD_SLOT and so on.
var fields = []string{"event", "slot", "modalias", "driver", "state", "reason", "packages"}

// New returns the logger of a process: to the journal if standard error is
// connected to it, else to standard error.
func New(level zerolog.Level) zerolog.Logger {
	return logger(output(), level)
}

// NewQueued is New for the service, which must not wait for the journal. Before the
// process ends, end writes what is still to be written.
func NewQueued(level zerolog.Level) (log zerolog.Logger, end func()) {
	q := NewQueue(output())
	return logger(q, level), q.Close
}

func logger(to zerolog.LevelWriter, level zerolog.Level) zerolog.Logger {
	return zerolog.New(to).Level(level).With().Timestamp().Logger()
}

func output() zerolog.LevelWriter {
	if ours, err := journal.StderrIsJournalStream(); err == nil && ours {
		return Writer{Send: journal.Send}
	}
	return zerolog.LevelWriterAdapter{Writer: zerolog.ConsoleWriter{
		Out: os.Stderr, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != "", FieldsExclude: fields,
	}}
}

// Writer sends zerolog's events to the journal: the fields that an entry may
// have, each as DRIVERD_FIELD, with the MESSAGE_ID that they ask for. zerolog's
// own journald writer adds the whole event once more as JSON.
type Writer struct {
	Send func(message string, priority journal.Priority, variables map[string]string) error
}

func (w Writer) Write(event []byte) (int, error) { return w.WriteLevel(zerolog.NoLevel, event) }

// WriteLevel implements zerolog.LevelWriter.
func (w Writer) WriteLevel(level zerolog.Level, event []byte) (int, error) {
	var values map[string]any
	if err := json.Unmarshal(event, &values); err != nil {
		return 0, fmt.Errorf("cannot read a log event: %w", err)
	}
	message, _ := values[zerolog.MessageFieldName].(string)
	variables := map[string]string{"SYSLOG_IDENTIFIER": "driverd"}
	if id := idOf(values); id != "" {
		variables["MESSAGE_ID"] = id
	}
	for _, name := range fields {
		if text := valueText(values[name]); text != "" {
			variables["DRIVERD_"+strings.ToUpper(name)] = text
		}
	}
	if err := w.Send(message, priority(level), variables); err != nil {
		return 0, err
	}
	return len(event), nil
}

func valueText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case []any:
		var texts []string
		for _, one := range v {
			texts = append(texts, fmt.Sprint(one))
		}
		return strings.Join(texts, " ")
	default:
		return fmt.Sprint(v)
	}
}

func priority(level zerolog.Level) journal.Priority {
	switch level {
	case zerolog.DebugLevel, zerolog.TraceLevel:
		return journal.PriDebug
	case zerolog.WarnLevel:
		return journal.PriWarning
	case zerolog.ErrorLevel:
		return journal.PriErr
	case zerolog.FatalLevel, zerolog.PanicLevel:
		return journal.PriCrit
	default:
		return journal.PriInfo
	}
}
