// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"driverd/api"
)

func statusCommand(c console) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the devices, those that need help first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(client *api.Client) error {
				manager, err := client.Manager(cmd.Context())
				if err != nil {
					return err
				}
				devices, err := client.Devices(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(statusReport{manager, devices})
				}
				return c.print(c.statusText(manager, devices))
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs; see driverd(1)")
	return cmd
}

// statusReport is the JSON of driverd status.
type statusReport struct {
	api.Manager
	Devices []api.Device `json:"devices"`
}

// concern is how much a device wants to be looked at, the most urgent first.
type concern int

const (
	needsHelp concern = iota
	inProgress
	settled
	chipset // whose parts nobody plugged in, and nobody misses a driver of
)

func concernOf(d api.Device) concern {
	switch d.State {
	case "pending", "installing", "loading":
		return inProgress
	case "bound":
		if !isChipset(d) {
			return settled
		}
		return chipset
	case "unsupported", "unavailable":
		if isChipset(d) {
			return chipset
		}
	case "blocked":
		if isChipset(d) && d.Reason == "policy" {
			return chipset
		}
	}
	return needsHelp
}

// isChipset says whether a device is a part of the mainboard that the
// hypervisor emulates: a bridge or an SMBus controller whose driver is in no
// package for devices that are passed through.
func isChipset(d api.Device) bool {
	return (d.Class>>16 == 0x06 || d.Class>>8 == 0x0c05) && (d.Group == "" || d.Group == "base" || d.Group == "hardware")
}

// statusText puts what somebody has to act upon at the top, and what is as it
// should be into as few lines as it needs.
func (c console) statusText(m api.Manager, devices []api.Device) string {
	by := make(map[concern][]api.Device)
	for _, d := range devices {
		by[concernOf(d)] = append(by[concernOf(d)], d)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "driverd %s is %s: %s\n", printable(m.Version), c.paint(bold, printable(m.Status)), c.summary(by))
	fmt.Fprintf(&b, "%s\n", shorten(printable(fmt.Sprintf("kernel %s, platform %s, %s, mode %s", m.KernelRelease, m.Platform, m.Backend, m.Mode))))
	if m.Message != "" {
		fmt.Fprintf(&b, "%s\n", strings.Join(wrap(m.Message, 0), "\n"))
	}
	if help := by[needsHelp]; len(help) > 0 {
		slices.SortStableFunc(help, func(x, y api.Device) int { return cmp.Compare(urgency(x), urgency(y)) })
		fmt.Fprintf(&b, "\n%s\n", c.paint(red, "Need help"))
		for _, d := range help {
			b.WriteString(c.entry(d))
		}
		b.WriteString("  The whole story: driverd explain SLOT; to try again: driverd rescan\n")
	}
	if busy := by[inProgress]; len(busy) > 0 {
		fmt.Fprintf(&b, "\n%s\n", c.paint(yellow, "In progress"))
		for _, d := range busy {
			b.WriteString(c.entry(d))
		}
	}
	if bound := by[settled]; len(bound) > 0 {
		fmt.Fprintf(&b, "\n%s\n%s", c.paint(green, "Bound"), boundTable(bound))
	}
	if parts := by[chipset]; len(parts) > 0 {
		var names []string
		for _, d := range parts {
			names = append(names, cmp.Or(d.Driver, "none"))
		}
		slices.Sort(names)
		text := fmt.Sprintf("Chipset: %d parts, which need no help (drivers: %s).", len(parts), strings.Join(slices.Compact(names), " "))
		fmt.Fprintf(&b, "\n%s\n", strings.Join(wrap(text, 0), "\n"))
	}
	return b.String()
}

// summary answers the question whether one can go back to bed.
func (c console) summary(by map[concern][]api.Device) string {
	var parts []string
	if n := len(by[needsHelp]); n > 0 {
		parts = append(parts, c.paint(red, fmt.Sprintf("%d need help", n)))
	}
	if n := len(by[inProgress]); n > 0 {
		parts = append(parts, fmt.Sprintf("%d in progress", n))
	}
	if n := len(by[settled]); n > 0 {
		parts = append(parts, fmt.Sprintf("%d bound", n))
	}
	if len(parts) == 0 {
		return "no devices but the chipset"
	}
	return strings.Join(parts, ", ")
}

// urgency orders the states that need help: what broke before what was never
// going to work.
func urgency(d api.Device) int {
	return slices.Index([]string{"failed", "blocked", "unavailable", "unsupported"}, d.State)
}

// entry is a device with what is to be said about it.
func (c console) entry(d api.Device) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s  %s\n", printable(d.Slot), c.stateText(d.State, d.Reason, d.Driver))
	for _, text := range []string{nameOf(d), strings.Join(d.Packages, " "), d.Message} {
		if text != "" {
			fmt.Fprintf(&b, "    %s\n", strings.Join(wrap(text, 4), "\n    "))
		}
	}
	return b.String()
}

// stateText is a state with what belongs to it, coloured.
func (c console) stateText(state, reason, driver string) string {
	text, color := printable(state), red
	switch {
	case state == "bound":
		text, color = text+" to "+printable(driver), green
	case state == "pending", state == "installing", state == "loading":
		color = yellow
	case reason != "":
		text += " (" + printable(reason) + ")"
	}
	return c.paint(color, text)
}

func boundTable(devices []api.Device) string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, d := range devices {
		_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\n", printable(d.Slot), printable(d.Driver), printable(nameOf(d)))
	}
	_ = table.Flush() // to memory
	var lines strings.Builder
	for line := range strings.Lines(b.String()) {
		lines.WriteString(shorten(strings.TrimRight(line, " \n")) + "\n")
	}
	return lines.String()
}

// nameOf is what a person calls the device.
func nameOf(d api.Device) string {
	if d.Vendor == "" {
		return d.Modalias
	}
	return d.Vendor + " " + cmp.Or(d.Product, d.Modalias)
}
