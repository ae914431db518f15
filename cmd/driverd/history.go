// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/internal/printable"
)

func historyCommand(c console) *cobra.Command {
	var asJSON bool
	var most int
	var since string
	cmd := &cobra.Command{
		Use:     "history [SLOT]",
		Short:   "Show what was done, the newest first",
		Args:    cobra.MaximumNArgs(1),
		Example: "  driverd history -n 3\n  driverd history --since yesterday 0000:01:00.0",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return c.slots(cmd.Context(), nil), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var slot string
			var from time.Time
			var err error
			if len(args) > 0 {
				if slot, err = parseSlot(args[0]); err != nil {
					return err
				}
			}
			if since != "" || cmd.Flags().Changed("since") {
				if from, err = parseSince(since, time.Now()); err != nil {
					return status{exitUsage, err}
				}
			}
			if most < 1 && cmd.Flags().Changed("lines") {
				return status{exitUsage, fmt.Errorf("cannot show %d entries: want 1 or more", most)}
			}
			return c.with(cmd.Context(), func(client *api.Client) error {
				all, err := client.History(cmd.Context())
				if err != nil {
					return err
				}
				entries, err := chosenEntries(all, slot, from, most)
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(historyReport{entries})
				}
				switch {
				case len(all) == 0:
					return c.print("Nothing has been done yet.\n")
				case len(entries) == 0:
					return c.print("Nothing of that kind has been done.\n")
				}
				var b strings.Builder
				for _, e := range entries {
					b.WriteString(c.entryText(e))
				}
				return c.print(b.String())
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs; see driverd(1)")
	cmd.Flags().IntVarP(&most, "lines", "n", 0, "show the newest `N` entries")
	cmd.Flags().StringVar(&since, "since", "", "show what ended since `WHEN` (yesterday, 2006-01-31, 12h)")
	return cmd
}

// chosenEntries are those about a slot, since a moment, and no more than so many. What is
// empty or 0 does not count.
func chosenEntries(all []api.Entry, slot string, since time.Time, most int) ([]api.Entry, error) {
	if slot != "" {
		var known []string
		for _, e := range all {
			known = append(known, e.Slots...)
		}
		var err error
		if slot, err = inDomain(slot, known); err != nil {
			return nil, err
		}
	}
	entries := []api.Entry{} // a list in JSON, never null
	for _, e := range all {
		if (slot == "" || slices.Contains(e.Slots, slot)) && !time.UnixMicro(int64(e.Time)).Before(since) && (most == 0 || len(entries) < most) {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// historyReport is the JSON of driverd history.
type historyReport struct {
	Entries []api.Entry `json:"entries"`
}

func (c console) entryText(e api.Entry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", moment(e.Time), c.outcome(e))
	for _, text := range []string{strings.Join(e.Slots, " "), strings.Join(e.Packages, " "), e.Message} {
		if text != "" {
			fmt.Fprintf(&b, "    %s\n", c.wrapped(text, 4))
		}
	}
	return b.String()
}

// outcome says in a few words what was done, for whom, and how it ended.
func (c console) outcome(e api.Entry) string {
	state := c.paint(cmp.Or(map[string]string{api.JobDone: green, api.JobFailed: red}[e.State], yellow), printable.Text(e.State))
	if e.Reason != "" {
		state += " (" + printable.Text(e.Reason) + ")"
	}
	return fmt.Sprintf("%s, %s, %s", printable.Text(e.Action), state, printable.Text(e.Origin))
}
