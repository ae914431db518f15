// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"driverd/internal/redact"
	"driverd/reason"
)

// item is one item of a resolved transaction, as Goal.resolve returns it.
type item struct {
	Type   string // "Package", "Group", ...
	Action string // "Install", "Remove", "Upgrade", "Reason Change", ...
	Reason string
	Attrs  map[string]dbus.Variant
	Object map[string]dbus.Variant
}

// nevra puts the package's name together, as rpm prints it: the object has no
// "nevra", and its "evr" leaves a zero epoch out.
func (i item) nevra() string {
	text := func(key string) string {
		s, _ := i.Object[key].Value().(string)
		return s
	}
	return fmt.Sprintf("%s-%s.%s", text("name"), text("evr"), text("arch"))
}

func (i item) downloadSize() int64 { return i.size("download_size") }

func (i item) size(of string) int64 {
	size, _ := i.Object[of].Value().(uint64)
	return int64(size)
}

// repo is the id of the repository that it comes from.
func (i item) repo() string {
	id, _ := i.Object["repo_id"].Value().(string)
	return id
}

func (i item) asPackage() Package {
	name, _ := i.Object["name"].Value().(string)
	return Package{
		NEVRA: i.nevra(), Name: name, RepoID: redact.Text(i.repo()),
		DownloadSize: i.downloadSize(), InstallSize: i.size("install_size"),
	}
}

// The actions of a package that comes new, and of one that is installed and
// comes once more, in the place of itself.
const (
	actionInstall   = "Install"
	actionReinstall = "Reinstall"
	actionReplaced  = "Replaced"
)

// comes says whether the item brings a package.
func (i item) comes() bool { return i.Action == actionInstall || i.Action == actionReinstall }

// coming are the NEVRAs of the packages that a transaction brings.
func coming(items []item) (nevras []string) {
	for _, i := range items {
		if i.comes() {
			nevras = append(nevras, i.nevra())
		}
	}
	return nevras
}

// origins are what a transaction brings, and from which repositories, sorted.
func origins(items []item) []string {
	var all []string
	for _, i := range items {
		if i.comes() {
			all = append(all, i.nevra()+" "+i.repo())
		}
	}
	slices.Sort(all)
	return all
}

// guard lets a transaction pass only if all it does is to install what was
// asked for or may come along, or once more if that was asked for, and from where it
// may come. The one exception changes no package: dnf notes that a wanted package,
// already installed, is wanted now.
func (a *attempt) guard(items []item) error {
	var refused []string
	for _, i := range items {
		nevra := i.nevra()
		wanted := slices.Contains(a.Install, nevra)
		why := ""
		if i.comes() {
			why = a.from.stranger(i)
		}
		switch {
		case i.Type != "Package":
			refused = append(refused, strings.ToLower(fmt.Sprintf("%s of a %s", i.Action, i.Type)))
		case why != "":
			refused = append(refused, fmt.Sprintf("%s %s, %s", strings.ToLower(i.Action), nevra, why))
		case i.Action == actionInstall && (wanted || slices.Contains(a.Allowed, nevra)):
		case i.Action == "Reason Change" && wanted:
		case (i.Action == actionReinstall || i.Action == actionReplaced) && wanted && a.Reinstall:
		default:
			refused = append(refused, fmt.Sprintf("%s %s", strings.ToLower(i.Action), nevra))
		}
	}
	if len(refused) == 0 {
		return nil
	}
	return reason.With(reason.TransactionRefused, errors.New("the transaction would also do this: "+strings.Join(refused, ", ")))
}
