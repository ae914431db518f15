// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/daemon/config"
	"driverd/internal/guest"
	"driverd/internal/image"
)

// imageCommand is for builders of images: no service, bus or device takes part.
func imageCommand(c console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Install or store drivers in an image, for image builders",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return status{exitUsage, errors.New("cannot tell what to do with the image: want install or download")}
		},
	}
	cmd.AddCommand(
		imageVerb(c, image.Image{}, "install", "Install drivers in an image", "  driverd image install --root /mnt passthrough"),
		imageVerb(c, image.Image{DownloadOnly: true}, "download",
			"Store packages in an image, for the instances that need them", "  driverd image download --root /mnt sriov"),
	)
	return cmd
}

func imageVerb(c console, i image.Image, name, short, example string) *cobra.Command {
	p := preinstall{console: c, name: "image " + name}
	cmd := &cobra.Command{
		Use:   name + " [SELECTOR...]",
		Short: short,
		Long: short + ". They are those of\nthe kernel in the image; dnf5 fetches them. Run it as root.\n" +
			"A SELECTOR is what driverd install takes, except a slot. The files in\n/etc/driverd/preinstall.d of the image can ask for more.",
		Example: example,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return offeredGroups(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if i.Selectors, err = parseSelectors(args); err != nil {
				return err
			}
			return p.reported(func(p preinstall) error { return p.image(cmd.Context(), i) })
		},
	}
	p.outputFlags(cmd)
	imageFlags(cmd, &i, c.root)
	return cmd
}

// imageFlags are the flags that say which image.
func imageFlags(cmd *cobra.Command, i *image.Image, root string) {
	cmd.Flags().StringVar(&i.Root, "root", root, "the root of the image is `DIR`")
	cmd.Flags().Lookup("root").DefValue = "" // this system, which goes without saying
	cmd.Flags().StringVar(&i.Release, "for", "", "the release of its `KERNEL` (default: the only one)")
}

// image installs into an image, or stores packages in it.
func (p preinstall) image(ctx context.Context, i image.Image) error {
	p.root = i.Root
	if client := p.service(ctx, i); client != nil {
		defer func() { _ = client.Close() }()
		return p.selected(ctx, client, i.Selectors)
	}
	return p.build(ctx, i)
}

// service is a client of the service if what is asked for is the business of one that
// runs, or is at rest: for the running kernel of this very system. Else it is nil: where an
// image is made, in a chroot, there is none.
func (p preinstall) service(ctx context.Context, i image.Image) *api.Client {
	release, err := guest.RunningKernel()
	if err != nil || filepath.Clean(i.Root) != "/" || i.DownloadOnly || i.Release != "" && i.Release != release {
		return nil
	}
	client, err := api.Connect(ctx, p.bus)
	if err != nil {
		return nil
	}
	client.Wake = p.atRest
	if _, err := client.Manager(ctx); err != nil {
		_ = client.Close()
		return nil
	}
	return client
}

// selected has the service install what is selected, and what files ask for.
func (p preinstall) selected(ctx context.Context, client *api.Client, selectors []string) error {
	wish, err := config.LoadPreinstall(p.root)
	if err != nil {
		return p.failed(exitUsage, err)
	}
	selectors = append(selectors, wish.Selectors...)
	if len(selectors) == 0 {
		return p.failed(exitUsage, image.ErrNothing)
	}
	if code := p.ask(ctx, client, selectors); code != 0 {
		return status{code: code}
	}
	return nil
}

// build installs into an image, and gives the result its exit status.
func (p preinstall) build(ctx context.Context, i image.Image) error {
	i.Say = p.say
	result, err := i.Install(ctx)
	code := map[image.Result]int{image.Failed: exitFailed, image.Misused: exitUsage, image.NotKnown: exitUnknown}[result]
	switch {
	case err != nil:
		return p.failed(code, err)
	case code != 0:
		return status{code: code}
	}
	return nil
}
