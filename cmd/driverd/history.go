// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/internal/printable"
)

func historyCommand(c console) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show what was done, the newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(client *api.Client) error {
				entries, err := client.History(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(historyReport{entries})
				}
				if len(entries) == 0 {
					return c.print("Nothing has been done yet.\n")
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
	return cmd
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
			fmt.Fprintf(&b, "    %s\n", strings.Join(printable.Wrap(text, 4), "\n    "))
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
