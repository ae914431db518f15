// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/daemon/config"
	"driverd/internal/guest"
	"driverd/internal/printable"
	"driverd/plan"
)

func vendorCommand(c console) *cobra.Command {
	var root string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "vendor [enable | disable | prove NAME]",
		Short: "List drivers from outside the kernel's build, or enable one",
		Long: "List drivers from outside the kernel's build, such as NVIDIA's, or enable one.\n" +
			"Its packages may then be installed for its devices, if they are made for the\n" +
			"running kernel. See driverd.toml(5).",
		Args: cobra.MaximumNArgs(2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return vendorCompletions(root, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return c.listVendors(root, asJSON)
			case len(args) == 2 && !asJSON && args[0] == proveVerb:
				return c.proveVendor(cmd.Context(), root, args[1])
			case len(args) == 2 && !asJSON && slices.Contains(vendorVerbs, args[0]):
				return c.setVendor(cmd.Context(), root, args[0], args[1])
			}
			return status{exitUsage, errors.New("want driverd vendor, or driverd vendor enable NAME; or disable, or prove")}
		},
	}
	cmd.Flags().StringVar(&root, "root", c.root, "of the tree in `DIR`, such as an image")
	cmd.Flags().Lookup("root").DefValue = "" // this system, which goes without saying
	cmd.Flags().BoolVar(&asJSON, "json", false, "list them for programs; see driverd(1)")
	return cmd
}

// vendorVerbs are what changes a vendor's driver; proveVerb tries one.
var vendorVerbs = []string{"enable", "disable"}

const proveVerb = "prove"

func vendorCompletions(root string, args []string) []string {
	if len(args) == 0 {
		return append(vendorVerbs[:2:2], proveVerb)
	}
	known, _ := config.Vendors(root)
	var names []string
	for _, v := range known {
		if len(args) == 1 {
			names = append(names, v.Name+"\t"+v.Description)
		}
	}
	return names
}

// vendorStepCommand is what driverd-vendor@.service runs, for a user whom polkit lets.
func vendorStepCommand(c console) *cobra.Command {
	return &cobra.Command{
		Use:    "vendor-step VERB-NAME",
		Short:  "Enable or disable a vendor's driver (what driverd-vendor@.service does)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			verb, name, _ := strings.Cut(args[0], "-")
			if !slices.Contains(vendorVerbs, verb) {
				return status{exitUsage, fmt.Errorf("cannot understand %.60q: want enable-NAME or disable-NAME", args[0])}
			}
			return c.changeVendor(cmd.Context(), c.root, verb, name)
		},
	}
}

// listedVendor is the JSON of a vendor's driver.
type listedVendor struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Licence     string   `json:"licence"`
	Enabled     bool     `json:"enabled"`
	File        string   `json:"file"`    // the drop-in
	Devices     []string `json:"devices"` // slots of those here that it is for
}

func (c console) listVendors(root string, asJSON bool) error {
	found, err := config.Load(root)
	if err != nil {
		return status{exitFailed, err}
	}
	devices, err := guest.Devices(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // an image has none
		return status{exitFailed, err}
	}
	list := []listedVendor{}
	for _, v := range found.Vendors {
		l := listedVendor{Name: v.Name, Description: v.Description, Licence: v.Licence, Enabled: v.Enabled, File: v.Origin.File, Devices: []string{}}
		for _, d := range devices {
			if v.Drives(d) {
				l.Devices = append(l.Devices, d.Slot.String())
			}
		}
		list = append(list, l)
	}
	if asJSON {
		err = c.printJSON(list)
	} else {
		err = c.print(c.vendorsText(list))
	}
	if err != nil {
		return status{exitFailed, err}
	}
	return nil
}

func (c console) vendorsText(list []listedVendor) string {
	if len(list) == 0 {
		return "No driver from outside the kernel's build is known here.\n"
	}
	width := 0
	for _, v := range list {
		width = max(width, len(v.Name))
	}
	var b strings.Builder
	for _, v := range list {
		state := "disabled"
		if v.Enabled {
			state = "enabled"
		}
		text := v.Description
		if len(v.Devices) > 0 {
			text += ", for " + strings.Join(v.Devices, ", ")
		}
		fmt.Fprintf(&b, "%-*s  %-8s  %s\n", width, v.Name, state, c.wrapped(text, width+12))
	}
	return b.String()
}

// setVendor enables or disables a vendor's driver: root by itself, and who is not by a unit,
// about which systemd asks polkit. The service cannot have that unit started.
func (c console) setVendor(ctx context.Context, root, verb, name string) error {
	if filepath.Clean(root) != "/" || os.Geteuid() == 0 {
		return c.changeVendor(ctx, root, verb, name)
	}
	v, err := knownVendor(root, name)
	if err != nil {
		return err
	}
	systemctl := exec.CommandContext(ctx, "systemctl", "start", "driverd-vendor@"+verb+"-"+name+".service")
	systemctl.Stdin, systemctl.Stdout, systemctl.Stderr = c.stdin, c.stdout, c.stderr // it may ask for a password
	if err := systemctl.Run(); err != nil {
		return status{exitFailed, fmt.Errorf("cannot %s %s: %w: call it as root (sudo driverd ...), or see journalctl -u driverd-vendor@%s-%s", verb, name, err, verb, name)}
	}
	return c.printVendor(verb, v)
}

// changeVendor writes, or removes, the files that enable a vendor's driver, and has the
// service look.
func (c console) changeVendor(ctx context.Context, root, verb, name string) error {
	v, err := knownVendor(root, name)
	if err != nil {
		return err
	}
	if err := writeVendor(root, verb, v); err != nil {
		return status{exitFailed, fmt.Errorf("cannot %s %s: %w", verb, name, err)}
	}
	if filepath.Clean(root) == filepath.Clean(c.root) {
		if text := signatureText(c.root, v); verb == "enable" && text != "" {
			if err := c.print(c.wrapped(text, 0) + "\n"); err != nil {
				return err
			}
		}
		// Without it, the service sees the files within a minute.
		_ = c.with(ctx, func(client *api.Client) error { return client.Rescan(ctx) })
	}
	return c.printVendor(verb, v)
}

// knownVendor returns the vendor's driver of a name.
func knownVendor(root, name string) (plan.Vendor, error) {
	if _, err := config.ParseVendor(name); err != nil {
		return plan.Vendor{}, status{exitUsage, err}
	}
	known, err := config.Vendors(root)
	if err != nil {
		return plan.Vendor{}, status{exitFailed, err}
	}
	i := slices.IndexFunc(known, func(v plan.Vendor) bool { return v.Name == name })
	if i < 0 {
		return plan.Vendor{}, status{exitUnknown, fmt.Errorf("there is no vendor's driver %q: driverd vendor lists those that are known", name)}
	}
	return known[i], nil
}

// writeVendor enables or disables a vendor's driver. What conflicts with it is kept away
// before it is enabled; what is installed of it is kept away when it is no more. Several
// drop-ins may have the same modules: they are not kept away while one of them is enabled.
func writeVendor(root, verb string, v plan.Vendor) error {
	enabled, away := filepath.Join(root, config.EnabledFile(v.Name)), filepath.Join(root, config.ConflictsFile(v.Name))
	head := writtenBy + verb + " " + v.Name + ".\n"
	if verb == "enable" {
		if err := blacklist(away, head, v.Conflicts); err != nil {
			return err
		}
		if err := takeBack(root, v.Modules); err != nil {
			return err
		}
		return writeConfig(enabled, head+fmt.Sprintf("vendors = [%q]\n", v.Name))
	}
	foreign, err := guest.Foreign(root, v.Modules)
	if err != nil {
		return err
	}
	if err := remove(enabled); err != nil {
		return err
	}
	found, err := config.Load(root)
	if slices.ContainsFunc(found.Vendors, func(known plan.Vendor) bool { return known.Name == v.Name && known.Enabled }) {
		return errors.New("another file of driverd.toml(5) enables it: driverd check-config lists them")
	}
	foreign = slices.DeleteFunc(foreign, func(m string) bool {
		return slices.ContainsFunc(found.Vendors, func(other plan.Vendor) bool { return other.Enabled && slices.Contains(other.Modules, m) })
	})
	return errors.Join(err, blacklist(away, head+fmt.Sprintf("# Its packages are installed; driverd vendor enable %s takes this away.\n", v.Name), foreign))
}

// writtenBy begins the files that are written for vendors' drivers.
const writtenBy = "# Written by driverd vendor "

// takeBack has no module kept away any more for a vendor's driver that was disabled and has it
// as well.
func takeBack(root string, modules []string) error {
	names, err := fs.Glob(os.DirFS(root), config.ConflictsFile("*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		file := filepath.Join(root, name)
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(string(text), writtenBy+"disable ") {
			continue
		}
		var head string
		var left []string
		for line := range strings.Lines(string(text)) {
			switch module, ok := strings.CutPrefix(strings.TrimSpace(line), "blacklist "); {
			case !ok:
				head += line
			case !slices.Contains(modules, module):
				left = append(left, module)
			}
		}
		if err := blacklist(file, head, left); err != nil {
			return err
		}
	}
	return nil
}

// blacklist has a file of modprobe.d(5) keep modules away; there is no file for none.
func blacklist(file, head string, modules []string) error {
	if len(modules) == 0 {
		return remove(file)
	}
	return writeConfig(file, head+"blacklist "+strings.Join(modules, "\nblacklist ")+"\n")
}

// remove removes a file that need not be there.
func remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writeConfig writes a file that everybody can read.
func writeConfig(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return renameio.WriteFile(file, []byte(text), 0o644)
}

// signatureText says, before anything is fetched, whether the kernel would load the modules of
// a vendor's driver; it is empty if it loads all.
func signatureText(root string, v plan.Vendor) string {
	enforced := guest.EnforcesSignatures(root)
	if enforced == "" {
		return ""
	}
	const enrol = "To enrol its certificate, and confirm that at the next boot: mokutil --import FILE"
	text := "Modules must be signed by a key that the kernel has (" + enforced + "). "
	if v.Key == "" {
		return text + "Which key has signed these is not known. " + enrol
	}
	switch has, err := guest.HasKey(root, v.Key); {
	case err != nil:
		return text + "Whether it has " + v.Key + " is not known: " + err.Error() + ". " + enrol
	case has:
		return text + "It has " + v.Key + "."
	}
	return text + "It does not have " + v.Key + ". " + enrol
}

func (c console) printVendor(verb string, v plan.Vendor) error {
	text := fmt.Sprintf("%s is %sd: %s.", v.Name, verb, v.Description)
	if verb == "enable" && v.Licence != "" {
		text += " Its licence: " + v.Licence + "."
	}
	if verb == "disable" {
		text += " What is loaded of it stays until the next boot; its packages stay installed."
	}
	return c.print(c.wrapped(printable.Text(text), 0) + "\n")
}
