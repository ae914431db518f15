// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"driverd/api"
	"driverd/daemon"
	"driverd/internal/guest"
	"driverd/internal/printable"
	"driverd/internal/report"
)

// statusText puts what somebody has to act upon at the top, and what is as it
// should be into as few lines as it needs.
func (c console) statusText(m report.Status) string {
	by := make(map[concern][]api.Device)
	for _, d := range m.Devices {
		by[concernOf(d)] = append(by[concernOf(d)], d)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "driverd %s is %s", printable.Text(m.Version), c.serviceText(m.Manager))
	if m.Status != string(daemon.Inactive) || len(m.Devices) > 0 { // else it has not looked
		fmt.Fprintf(&b, ": %s", c.summary(by))
	}
	b.WriteString("\n")
	fmt.Fprintf(&b, "%s\n", c.shorten(printable.Text(fmt.Sprintf("kernel %s, platform %s, %s, mode %s", m.KernelRelease, m.Platform, m.Backend, m.Mode))))
	if m.NextKernel != nil {
		fmt.Fprintf(&b, "%s\n", c.wrapped(nextKernelText(*m.NextKernel), 0))
	}
	switch {
	case m.Message != "":
		fmt.Fprintf(&b, "%s\n", c.wrapped(m.Message, 0))
	case m.Mode == "observe":
		b.WriteString("driverd only reports what it would do. To let it act:\n  driverd mode auto\n")
	}
	if help := needHelp(m.Devices); len(help) > 0 {
		fmt.Fprintf(&b, "\n%s\n", c.paint(red, "Need help"))
		b.WriteString(c.entries(help))
		b.WriteString("  For details:\n    driverd explain SLOT\n  To retry now:\n    driverd rescan\n")
	}
	if busy := by[inProgress]; len(busy) > 0 {
		fmt.Fprintf(&b, "\n%s\n", c.paint(yellow, "In progress"))
		b.WriteString(c.entries(busy))
	}
	c.jobs(&b, m.Jobs)
	if bound := by[settled]; len(bound) > 0 {
		fmt.Fprintf(&b, "\n%s\n%s%s", c.paint(green, "Bound"), c.boundTable(bound), c.boundNotes(bound))
	}
	if left := by[leftAlone]; len(left) > 0 {
		fmt.Fprintf(&b, "\nLeft alone\n%s", c.plain().entries(left)) // as it should be
	}
	if parts := by[chipset]; len(parts) > 0 {
		var names []string
		for _, d := range parts {
			names = append(names, cmp.Or(d.Driver, "none"))
		}
		slices.Sort(names)
		text := fmt.Sprintf("Chipset: %d devices, which need no help (drivers: %s).", len(parts), strings.Join(slices.Compact(names), ", "))
		fmt.Fprintf(&b, "\n%s\n", c.wrapped(text, 0))
	}
	return b.String()
}

// nextKernelText says whether the next kernel is ready.
func nextKernelText(k api.NextKernel) string {
	text := "next kernel " + k.Release + ": "
	if !k.Ready {
		return text + k.Message
	}
	return text + strings.TrimSuffix("ready. "+k.Message, ". ")
}

// serviceText is the status of the service, with the reason for one that is
// not as it should be.
func (c console) serviceText(m api.Manager) string {
	text, color := printable.Text(m.Status), bold
	if m.Reason != "" {
		text += " (" + printable.Text(m.Reason) + ")"
	}
	if m.Status != "ready" && m.Status != "busy" {
		color = red
	}
	return c.paint(color, text)
}

// jobs adds how far the work is.
func (c console) jobs(b *strings.Builder, jobs []api.Job) {
	running := slices.DeleteFunc(slices.Clone(jobs), func(j api.Job) bool { return j.State != api.JobRunning })
	if len(running) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", c.paint(yellow, "Jobs"))
	for _, j := range running {
		text := fmt.Sprintf("%s %3.0f %%", bar(j.Progress), 100*j.Progress)
		if j.BytesTotal > 0 {
			text += "  " + transferred(j)
		}
		fmt.Fprintf(b, "  %s  %s\n", cmp.Or(doing[j.Phase], printable.Text(j.Phase)), text)
		for _, text := range []string{strings.Join(j.Packages, " "), strings.Join(j.Devices, " ")} {
			if text != "" {
				fmt.Fprintf(b, "    %s\n", c.wrapped(text, 4))
			}
		}
	}
}

// summary answers the question whether one can go back to bed.
func (c console) summary(by map[concern][]api.Device) string {
	var parts []string
	if n := len(by[needsHelp]); n > 0 {
		verb := "need"
		if n == 1 {
			verb = "needs"
		}
		parts = append(parts, c.paint(red, fmt.Sprintf("%d %s help", n, verb)))
	}
	if n := len(by[inProgress]); n > 0 {
		parts = append(parts, fmt.Sprintf("%d in progress", n))
	}
	if n := len(by[settled]); n > 0 {
		parts = append(parts, fmt.Sprintf("%d bound", n))
	}
	if n := len(by[leftAlone]); n > 0 {
		parts = append(parts, fmt.Sprintf("%d left alone", n))
	}
	if len(parts) == 0 {
		return "no devices but the chipset"
	}
	return strings.Join(parts, ", ")
}

// entries are devices with what is to be said about them. What is to be said
// about many of them (the virtual functions of a card, say) is said once.
func (c console) entries(devices []api.Device) string {
	var order []string
	slots := make(map[string][]string)
	for _, d := range devices {
		var b strings.Builder
		for _, text := range []string{nameOf(d), strings.Join(d.Packages, " "), d.Message} {
			if text != "" {
				fmt.Fprintf(&b, "    %s\n", c.wrapped(text, 4))
			}
		}
		about := c.stateText(d.State, d.Reason, d.Driver) + "\n" + b.String()
		if slots[about] == nil {
			order = append(order, about)
		}
		slots[about] = append(slots[about], d.Slot)
	}
	var b strings.Builder
	for _, about := range order {
		if all := slots[about]; len(all) == 1 {
			fmt.Fprintf(&b, "  %s  %s", printable.Text(all[0]), about)
		} else {
			fmt.Fprintf(&b, "  %s\n    %s", c.wrapped(strings.Join(all, " "), 2), about)
		}
	}
	return b.String()
}

// stateText is a state with what belongs to it, coloured.
func (c console) stateText(state, reason, driver string) string {
	text, color := printable.Text(state), red
	switch {
	case state == "bound":
		text, color = text+" to "+printable.Text(driver), green
	case state == "pending", state == "installing", state == "loading":
		color = yellow
	case reason != "":
		text += " (" + printable.Text(reason) + ")"
	}
	return c.paint(color, text)
}

// crowd is how many devices of one kind get a line together.
const crowd = 5

func (c console) boundTable(devices []api.Device) string {
	kind := func(d api.Device) [2]string { return [2]string{d.Driver, nameOf(d)} }
	counts := make(map[[2]string]int)
	for _, d := range devices {
		counts[kind(d)]++
	}
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, d := range devices {
		name, driver := nameOf(d), d.Driver
		switch n := counts[kind(d)]; {
		case n < 0: // was shown
			continue
		case n >= crowd:
			name = fmt.Sprintf("and %d more: %s", n-1, name)
			counts[kind(d)] = -1
		case len(d.Functions) > 0:
			driver += ": " + strings.Join(c.functionsOf(d.Functions), ", ")
		}
		_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\n", printable.Text(d.Slot), printable.Text(driver), printable.Text(name))
	}
	_ = table.Flush() // to memory
	var lines strings.Builder
	for line := range strings.Lines(b.String()) {
		lines.WriteString(c.shorten(strings.TrimRight(line, " \n")) + "\n")
	}
	return lines.String()
}

// boundNotes are what is to be said about bound devices that are not all they could be.
func (c console) boundNotes(devices []api.Device) string {
	var b strings.Builder
	for _, d := range devices {
		if d.Message != "" {
			fmt.Fprintf(&b, "  %s  %s\n", printable.Text(d.Slot), strings.Join(c.lines(d.Message, len(d.Slot)+4), "\n    "))
		}
	}
	return b.String()
}

// functionsOf are functions of a device as people read them, the first few: with the
// state of a network interface.
func (c console) functionsOf(functions []string) []string {
	var texts []string
	for _, function := range functions[:min(len(functions), maxShown)] {
		text := printable.Text(function)
		if state := guest.InterfaceState(c.root, function); state != "" {
			text += ", " + state
		}
		texts = append(texts, text)
	}
	if more := len(functions) - maxShown; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return texts
}

// nameOf is what a person calls the device.
func nameOf(d api.Device) string {
	if d.Vendor == "" {
		return d.Modalias
	}
	return d.Vendor + " " + cmp.Or(d.Product, d.Modalias)
}
