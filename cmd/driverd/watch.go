// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/internal/printable"
)

func watchCommand(c console) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show the devices, and every change until interrupted",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(client *api.Client) error {
				return (&watcher{console: c, asJSON: asJSON}).run(cmd.Context(), client)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object per line; see driverd(1)")
	return cmd
}

// change is one line of driverd watch --json.
type change struct {
	Time   int64       `json:"time"`  // realtime microseconds
	Event  string      `json:"event"` // "present", "added", "changed", "removed", "stopped"
	Device *api.Device `json:"device,omitempty"`
}

// watcher tells what is different each time it looks.
type watcher struct {
	console
	asJSON bool
	known  map[string]api.Device // by slot; nil before the first look
	alone  bool                  // the service is gone, and that was told
}

func (w *watcher) run(ctx context.Context, client *api.Client) error {
	for devices, err := range client.Look(ctx) {
		switch {
		case err == nil:
			w.alone = false
			err = w.compare(devices)
		case errors.Is(err, api.ErrNoService) && w.alone:
			err = nil
		case errors.Is(err, api.ErrNoService) && w.known != nil:
			w.alone = true // a restart is no reason to go
			err = w.tell("stopped", nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *watcher) compare(devices []api.Device) error {
	event := "added"
	if w.known == nil {
		event = "present"
	}
	before := w.known
	w.known = make(map[string]api.Device, len(devices))
	for _, d := range devices {
		w.known[d.Slot] = d
		last, was := before[d.Slot]
		delete(before, d.Slot)
		switch {
		case !was:
			if err := w.tell(event, &d); err != nil {
				return err
			}
		case !reflect.DeepEqual(last, d) && (w.asJSON || news(last, d)):
			if err := w.tell("changed", &d); err != nil {
				return err
			}
		}
	}
	for _, d := range before {
		if err := w.tell("removed", &d); err != nil {
			return err
		}
	}
	return nil
}

// news says whether a person wants to know of a change: steps on the timeline
// are many.
func news(last, now api.Device) bool {
	return last.State != now.State || last.Reason != now.Reason || last.Message != now.Message || last.Driver != now.Driver
}

func (w *watcher) tell(event string, d *api.Device) error {
	now := time.Now()
	if w.asJSON {
		line, err := json.Marshal(change{now.UnixMicro(), event, d})
		if err != nil {
			return fmt.Errorf("cannot write: %w", err)
		}
		return w.print(string(line) + "\n")
	}
	text := "driverd has stopped; waiting until it is back\n"
	switch {
	case d != nil && event == "removed":
		text = printable.Text(d.Slot) + "  is gone\n"
	case d != nil:
		text = printable.Text(d.Slot) + "  " + w.stateText(d.State, d.Reason, d.Driver) + "\n"
		if d.Message != "" {
			const indent = len(time.TimeOnly) + 2
			for _, line := range w.lines(d.Message, indent) {
				text += strings.Repeat(" ", indent) + line + "\n"
			}
		}
	}
	return w.print(now.Format(time.TimeOnly) + "  " + text)
}
