// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"driverd/api"
	"driverd/internal/printable"
)

// fields collects text in two columns: a label, and what is said about it.
type fields struct {
	strings.Builder
	console console
}

// labelWidth is that of the widest label, "claimed by", and a gap.
const labelWidth = 12

func (f *fields) add(label, text string) {
	for _, line := range f.console.lines(text, labelWidth) {
		f.line(label, line)
		label = ""
	}
}

// line adds one line of text that is fit to be printed as it is.
func (f *fields) line(label, text string) {
	f.WriteString(fmt.Sprintf("%-*s", labelWidth, label) + text + "\n")
}

// explanationText goes the way of the device: what it is, who claims it, where
// that is, what was decided, and what became of it.
func (c console) explanationText(x api.Explanation) string {
	f := fields{console: c}
	d := cmp.Or(x.Device, &api.Device{})
	if d.Slot != "" {
		f.add("slot", d.Slot)
	}
	if x.Vendor != "" {
		f.add("device", x.Vendor+" "+x.Product)
	}
	f.add("modalias", cmp.Or(x.Modalias, "none that could be read"))
	f.add("kernel", x.KernelRelease)
	f.claims(x)
	f.packages(x.Packages)
	f.firmware(x.Firmware)
	f.vendors(x.Vendors)
	if r := x.Rule; r != nil {
		f.add("rule", fmt.Sprintf("%s, by %s:%d", r.Action, r.File, r.Line))
	}
	f.add("decision", decision(x.Action, x.State))
	f.line("state", c.stateText(x.State, x.Reason, d.Driver))
	if x.Message != "" {
		f.add("", x.Message)
	}
	f.functions(c.functionsOf(d.Functions))
	f.children(d.Children)
	f.attempts(x)
	f.timeline(d.Timeline)
	label := "kernel log"
	for _, line := range x.KernelLog {
		f.add(label, printable.Text(line))
		label = ""
	}
	label = "history"
	for _, e := range x.History {
		f.add(label, moment(e.Time)+"  "+console{}.outcome(e))
		label = ""
	}
	return f.String()
}

func (f *fields) claims(x api.Explanation) {
	label := "claimed by"
	// Of what is installed, the catalog knows what was shown already.
	shown := make(map[[2]string]bool)
	for _, claim := range x.Claims {
		key := [2]string{claim.Alias, claim.Package}
		if claim.Source == "catalog" && shown[key] {
			continue
		}
		shown[key] = true
		text := claim.Module + ", " + claim.Source
		switch {
		case claim.Module == "":
			text = "a module in " + claim.Package
		case claim.Package != "" && len(x.Packages) > 1:
			text += ", in " + claim.Package
		}
		f.add(label, text)
		f.add("", "by "+claim.Alias)
		label = ""
	}
	if label != "" {
		f.add(label, "no module that is known here")
	}
}

func (f *fields) packages(packages []api.Package) {
	label := "package"
	for _, p := range packages {
		f.add(label, p.NEVRA)
		text := "group " + p.Group
		if p.Installed {
			text += ", installed"
		}
		if p.Repository != "" {
			text += ", in repository " + p.Repository
		}
		var sizes []string
		if p.DownloadSize > 0 {
			sizes = append(sizes, size(p.DownloadSize)+" to download")
		}
		f.add("", text)
		f.add("", strings.Join(append(sizes, size(p.InstallSize)+" on disk"), ", "))
		label = ""
	}
}

// maxShown is how many functions or children of a device are named.
const maxShown = 8

func (f *fields) functions(functions []string) {
	label := "functions"
	for _, function := range functions {
		f.add(label, function)
		label = ""
	}
}

func (f *fields) children(children []api.Child) {
	label := "children"
	for _, child := range children[:min(len(children), maxShown)] {
		f.add(label, child.Path+": "+cmp.Or(child.Driver, "no driver"))
		f.add("", "by "+child.Modalias)
		label = ""
	}
	if more := len(children) - maxShown; more > 0 {
		f.add("", fmt.Sprintf("and %d more", more))
	}
}

// maxLacking is how many files that are lacking are named: amdgpu has 646.
const maxLacking = 4

func (f *fields) firmware(files []api.File) {
	if len(files) == 0 {
		return
	}
	lacking := slices.DeleteFunc(slices.Clone(files), func(f api.File) bool { return !f.Lacking })
	if len(lacking) == 0 {
		f.add("firmware", "all files that its driver may ask for are there")
		return
	}
	label := "firmware"
	for _, file := range lacking[:min(len(lacking), maxLacking)] {
		text := "lacks " + file.File
		if file.Package != "" {
			text += ", which is in " + file.Package
		}
		f.add(label, text)
		label = ""
	}
	if more := len(lacking) - maxLacking; more > 0 {
		f.add("", fmt.Sprintf("and %d more", more))
	}
}

func (f *fields) vendors(vendors []api.Vendor) {
	for _, v := range vendors {
		state := ", disabled: "
		if v.Enabled {
			state = ", enabled: "
		}
		label, text := "vendor", v.Name+state
		for _, each := range v.Texts {
			f.add(label, text+each)
			label, text = "", ""
		}
	}
}

// decision puts an action into words.
func decision(action, state string) string {
	switch action {
	case "install":
		return "install the package, then load the module"
	case "load":
		return "load the module, which is installed"
	case "await":
		return "wait for the driver, which is built into the kernel"
	case "learn":
		return "first learn which packages this kernel has (the service does this when it runs)"
	}
	switch state {
	case "bound":
		return "nothing to do: it has a driver"
	case "blocked":
		return "leave it alone"
	}
	return "nothing can be done now"
}

func (f *fields) attempts(x api.Explanation) {
	label := "attempts"
	for _, a := range x.Attempts {
		text := a.Step
		if a.Job != "" {
			text += " (job " + path.Base(a.Job) + ")"
		}
		switch {
		case a.Running:
			text += ": running"
		case a.Error != "" && a.Error == x.Message:
			text += ": failed" // as was said above
		case a.Error != "":
			text += ": " + a.Error
		default:
			text += ": done"
		}
		if a.Ended > 0 {
			text += ", at " + moment(a.Ended)
		}
		f.add(label, text)
		label = ""
		if a.Retry > 0 {
			f.add("", fmt.Sprintf("tries so far: %d; next retry: %s", a.Tries, moment(a.Retry)))
		}
	}
}

func (f *fields) timeline(steps []api.Step) {
	label := "timeline"
	steps = slices.SortedStableFunc(slices.Values(steps), func(a, b api.Step) int { return cmp.Compare(a.Time, b.Time) })
	for _, s := range steps {
		since := time.Duration(s.Time-steps[0].Time) * time.Microsecond
		text := fmt.Sprintf("%-10s  + %.2f s", printable.Text(s.Name), since.Seconds())
		if label != "" {
			text = fmt.Sprintf("%-10s  %s", printable.Text(s.Name), moment(s.Time))
		}
		f.line(label, text)
		label = ""
	}
}

// moment is a time for people, in their own zone.
func moment(micros uint64) string { return time.UnixMicro(int64(micros)).Format(time.DateTime) }
