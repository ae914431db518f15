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

// New returns the logger of a process: to the journal if standard error is
// connected to it, else to standard error.
func New(level zerolog.Level) zerolog.Logger {
	if ours, err := journal.StderrIsJournalStream(); err == nil && ours {
		return zerolog.New(writer{}).Level(level)
	}
	console := zerolog.ConsoleWriter{Out: os.Stderr, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != ""}
	return zerolog.New(console).Level(level).With().Timestamp().Logger()
}

// writer sends zerolog's events to the journal, each field as DRIVERD_FIELD.
// zerolog's own journald writer adds the whole event once more as JSON.
type writer struct{}

func (writer) Write(event []byte) (int, error) { return writer{}.WriteLevel(zerolog.NoLevel, event) }

// WriteLevel implements zerolog.LevelWriter.
func (writer) WriteLevel(level zerolog.Level, event []byte) (int, error) {
	var fields map[string]any
	if err := json.Unmarshal(event, &fields); err != nil {
		return 0, fmt.Errorf("cannot read a log event: %w", err)
	}
	message, _ := fields[zerolog.MessageFieldName].(string)
	delete(fields, zerolog.MessageFieldName)
	delete(fields, zerolog.LevelFieldName)
	variables := make(map[string]string)
	for name, value := range fields {
		if text := valueText(value); text != "" {
			variables["DRIVERD_"+strings.ToUpper(name)] = text
		}
	}
	if err := journal.Send(message, priority(level), variables); err != nil {
		return 0, err
	}
	return len(event), nil
}

func valueText(value any) string {
	list, ok := value.([]any)
	if !ok {
		return fmt.Sprint(value)
	}
	var texts []string
	for _, v := range list {
		texts = append(texts, fmt.Sprint(v))
	}
	return strings.Join(texts, " ")
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
