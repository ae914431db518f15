// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/internal/guest"
	"driverd/plan"
)

func explainCommand(c console) *cobra.Command {
	var asJSON bool
	var root string
	cmd := &cobra.Command{
		Use:   "explain SLOT | MODALIAS | VENDOR:PRODUCT",
		Short: "Show what a device needs, and why",
		Long: "Show what a device needs, and why: which modules claim it, which package holds\n" +
			"them, what driverd decided, and what happened.",
		Example: "  driverd explain 0000:01:00.0\n  driverd explain 8086:10c9",
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return c.slots(cmd.Context(), nil), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			x, refused, err := c.explanation(cmd.Context(), args[0], root)
			if err != nil {
				return err
			}
			if asJSON {
				err = c.printJSON(x)
			} else {
				of := c
				of.root = cmp.Or(root, c.root)
				err = c.print(of.explanationText(x))
			}
			if err != nil {
				return status{exitFailed, err}
			}
			if code := explanationStatus(x); code != 0 {
				return status{code: code}
			}
			if refused {
				return status{code: exitBlocked}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs; see driverd(1)")
	cmd.Flags().StringVar(&root, "root", "", "read the record in `DIR` instead of asking the service")
	return cmd
}

// explanation asks the service, or where none runs, works it out. What a product needs it
// works out as well where the service refuses, as nothing can be done for it.
func (c console) explanation(ctx context.Context, what, root string) (x api.Explanation, refused bool, err error) {
	defer func() {
		if x.Device != nil {
			guest.AddKernelLog(&x, cmp.Or(root, c.root))
		}
	}()
	subject, err := plan.ParseSubject(what)
	if err != nil && !isShortSlot(what) {
		return x, false, status{exitUsage, err}
	}
	if root != "" {
		x, err = explainLocally(ctx, what, root)
		return x, false, err
	}
	err = c.with(ctx, func(client *api.Client) error {
		words, err := inDomains(ctx, client, []string{what})
		if err == nil {
			x, err = client.Explain(ctx, words[0])
		}
		return err
	})
	local := func() (api.Explanation, error) {
		_, _ = fmt.Fprintf(c.stderr, "driverd: %v: this is what the service would decide\n", err)
		return explainLocally(ctx, what, c.root)
	}
	switch {
	case errors.Is(err, api.ErrNoService):
		x, err = local()
	case errors.Is(err, api.ErrRefused) && !subject.BySlot && !isShortSlot(what):
		if x, problem := local(); problem == nil {
			return x, true, nil
		}
	}
	return x, false, err
}

// explainLocally is what the service would decide about the guest under root.
func explainLocally(ctx context.Context, what, root string) (api.Explanation, error) {
	x, err := interruptible(ctx, func() (api.Explanation, error) {
		if isShortSlot(what) {
			slots, err := guest.Slots(root)
			if err == nil {
				what, err = inDomain(what, slots)
			}
			if err != nil {
				return api.Explanation{}, err
			}
		}
		subject, err := plan.ParseSubject(what)
		if err != nil {
			return api.Explanation{}, err
		}
		return guest.Explain(what, subject, root)
	})
	switch {
	case errors.Is(err, guest.ErrNoDevice):
		err = status{exitUnknown, err}
	case err != nil && !errors.As(err, new(status)):
		err = status{exitFailed, err}
	}
	return x, err
}

// explanationStatus is the exit status that tells a script how it stands.
func explanationStatus(x api.Explanation) int {
	switch {
	case x.State == "unsupported", x.Action == plan.Learn.String() && len(x.Claims) == 0:
		return exitUnknown
	case x.State == "blocked", x.State == "unavailable":
		return exitBlocked
	case x.State == "failed":
		return exitFailed
	}
	return 0
}
