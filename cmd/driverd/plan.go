// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/internal/printable"
	"driverd/kernelbuild"
)

// selectors is what plan and install take, and say of it.
var selectors = "A SELECTOR is a slot (0000:01:00.0), a modalias, vendor and product (8086:10c9),\n" +
	"a group (" + strings.Join(kernelbuild.OptionalGroups(), ", ") + "), a module (igb, or\n" +
	"kmod(igb.ko)), or a firmware file, firmware(qed/init.bin).\n" +
	"Without a SELECTOR: everything that this guest's devices need now."

func planCommand(c console) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "plan [SELECTOR...]",
		Short:             "Show what driverd install would do, and the sizes",
		Long:              "Show what driverd install would do: packages, sizes and devices. The package\nmanager resolves the transaction and changes nothing.\n\n" + selectors,
		Example:           "  driverd plan\n  driverd plan sriov\n  driverd plan 8086:10c9",
		ValidArgsFunction: c.completeSelectors,
		RunE: func(cmd *cobra.Command, args []string) error {
			selectors, err := parseSelectors(args)
			if err != nil {
				return err
			}
			return c.with(cmd.Context(), func(client *api.Client) error {
				selectors, err := inDomains(cmd.Context(), client, selectors)
				if err != nil {
					return err
				}
				p, err := client.Plan(cmd.Context(), selectors)
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(p)
				}
				return c.print(c.planText(p, args))
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs; see driverd(1)")
	return cmd
}

func (c console) planText(p api.Plan, selectors []string) string {
	f := fields{console: c}
	if f.cost(p) {
		f.add("to do it", "driverd install"+typed(selectors))
	} else {
		f.add("", "Nothing needs to be installed.")
	}
	return f.String()
}

// costText is a plan without what one types to have it done.
func (c console) costText(p api.Plan) string {
	f := fields{console: c}
	f.cost(p)
	return f.String()
}

// cost adds a plan, and says whether anything has to be installed.
func (f *fields) cost(p api.Plan) bool {
	var missing, present []api.Package
	for _, p := range p.Packages {
		if p.Installed {
			present = append(present, p)
		} else {
			missing = append(missing, p)
		}
	}
	f.planned("install", missing)
	f.planned("is there", present)
	if len(p.Devices) > 0 {
		f.add("for", strings.Join(p.Devices, " "))
	}
	if len(missing) == 0 {
		return false
	}
	f.add("in all", fmt.Sprintf("%s to download, %s on disk", size(p.DownloadSize), size(p.InstallSize)))
	return true
}

// planned lists packages with what they cost.
func (f *fields) planned(label string, packages []api.Package) {
	for _, p := range packages {
		f.add(label, p.NEVRA)
		if !p.Installed {
			f.add("", fmt.Sprintf("from %s, %s to download, %s on disk", p.Repository, size(p.DownloadSize), size(p.InstallSize)))
		}
		label = ""
	}
}

// groupSummaries says in a few words what a group holds.
var groupSummaries = map[string]string{
	kernelbuild.SRIOV:       "drivers of SR-IOV network cards",
	kernelbuild.GPU:         "drivers of GPUs",
	kernelbuild.Passthrough: "drivers of other passed-through devices",
	kernelbuild.Hardware:    "drivers of all other hardware",
}

// completeSelectors offers the slots of the devices, and the groups.
func (c console) completeSelectors(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return append(c.slots(cmd.Context(), args), offeredGroups()...), cobra.ShellCompDirectiveNoFileComp
}

func offeredGroups() []string {
	var offered []string
	for _, group := range kernelbuild.OptionalGroups() {
		offered = append(offered, group+"\t"+groupSummaries[group])
	}
	return offered
}

// completeSlots offers the slots of the devices.
func (c console) completeSlots(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return c.slots(cmd.Context(), args), cobra.ShellCompDirectiveNoFileComp
}

// slots offers the slots of the devices, with their names, but for those given.
func (c console) slots(ctx context.Context, given []string) []string {
	var slots []string
	_ = c.with(ctx, func(client *api.Client) error { // no service, nothing to offer
		devices, err := client.Devices(ctx)
		for _, d := range devices {
			if !slices.Contains(given, d.Slot) {
				slots = append(slots, d.Slot+"\t"+strings.TrimSpace(d.State+" "+printable.Text(nameOf(d))))
			}
		}
		return err
	})
	return slots
}

// typed are words as one types them to a shell.
func typed(words []string) string {
	var b strings.Builder
	for _, word := range words {
		if strings.ContainsFunc(word, func(r rune) bool {
			return !strings.ContainsRune(":._-", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
		}) {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		b.WriteString(" " + word)
	}
	return b.String()
}
