// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"slices"

	"github.com/godbus/dbus/v5"

	"driverd/api"
	"driverd/daemon"
	"driverd/hwdetect/firmware"
	"driverd/plan"
)

func (s *Server) explain(c call) ([]any, *dbus.Error) {
	if refusal := noOptions(c.body[1]); refusal != nil {
		return nil, refusal
	}
	x, err := s.engine.Explain(s.ctx, c.body[0].(string))
	if err != nil {
		return nil, answerTo(err)
	}
	return []any{Explanation(x)}, nil
}

// Explanation is x in the form in which Manager.Explain returns it; see
// api.NewExplanation for the way back.
func Explanation(x daemon.Explanation) map[string]dbus.Variant {
	d := x.Want
	all := properties{
		"What":          dbus.MakeVariant(text(x.What)),
		"Modalias":      dbus.MakeVariant(text(x.Modalias)),
		"Vendor":        dbus.MakeVariant(text(x.Vendor)),
		"Product":       dbus.MakeVariant(text(x.Product)),
		"KernelRelease": dbus.MakeVariant(x.Release),
		"Claims":        dbus.MakeVariant(claims(x)),
		"Packages":      dbus.MakeVariant(packages(x.Packages)),
		"Firmware":      dbus.MakeVariant(firmwareFiles(x)),
		"Vendors":       dbus.MakeVariant(vendors(x.Vendors)),
		"Rule":          dbus.MakeVariant(rule(x)),
		"Action":        dbus.MakeVariant(d.Action.String()),
		"Group":         dbus.MakeVariant(d.Group),
		"State":         dbus.MakeVariant(string(d.State)),
		"Reason":        dbus.MakeVariant(string(d.Reason)),
		"Message":       dbus.MakeVariant(text(d.Message)),
	}
	if x.Device != nil {
		device := deviceProperties(*x.Device)
		all["Device"] = dbus.MakeVariant(map[string]dbus.Variant(device))
		all["Attempts"] = dbus.MakeVariant(attempts(x))
		all["History"] = dbus.MakeVariant(entries(x.History))
		// What became of it says more than what should.
		for _, name := range []string{"State", "Reason", "Message"} {
			all[name] = device[name]
		}
	}
	return all
}

func claims(x daemon.Explanation) []map[string]dbus.Variant {
	all := []map[string]dbus.Variant{}
	for _, c := range x.Claims {
		all = append(all, map[string]dbus.Variant{
			"Alias":   dbus.MakeVariant(text(c.Alias)),
			"Source":  dbus.MakeVariant(string(c.Source)),
			"Module":  dbus.MakeVariant(text(c.Module)),
			"Package": dbus.MakeVariant(text(c.Package)),
		})
	}
	return all
}

func packages(holders []plan.Holder) []map[string]dbus.Variant {
	all := []map[string]dbus.Variant{}
	for _, p := range holders {
		all = append(all, map[string]dbus.Variant{
			"NEVRA":        dbus.MakeVariant(text(p.NEVRA)),
			"Repository":   dbus.MakeVariant(text(p.Repo)),
			"Group":        dbus.MakeVariant(p.Group),
			"Installed":    dbus.MakeVariant(p.Installed),
			"DownloadSize": dbus.MakeVariant(uint64(p.DownloadSize)),
			"InstallSize":  dbus.MakeVariant(uint64(p.InstallSize)),
		})
	}
	return all
}

// firmwareFiles are what the modules may ask for. One that they name as a pattern
// is said to be there: who knows.
func firmwareFiles(x daemon.Explanation) []map[string]dbus.Variant {
	all := []map[string]dbus.Variant{}
	for _, file := range x.Firmware {
		lacking := slices.Contains(x.Lacking, file)
		var in string
		if lacking {
			in = firmware.Package(file)
		}
		all = append(all, map[string]dbus.Variant{
			"File":    dbus.MakeVariant(text(file)),
			"Lacking": dbus.MakeVariant(lacking),
			"Package": dbus.MakeVariant(in),
		})
	}
	return all
}

func vendors(notes []plan.VendorNote) []map[string]dbus.Variant {
	all := []map[string]dbus.Variant{}
	for _, n := range notes {
		all = append(all, map[string]dbus.Variant{
			"Name": dbus.MakeVariant(n.Name), "Enabled": dbus.MakeVariant(n.Enabled), "Texts": dbus.MakeVariant(texts(n.Texts)),
		})
	}
	return all
}

// rule is empty if none matches.
func rule(x daemon.Explanation) map[string]dbus.Variant {
	if x.Rule == nil {
		return map[string]dbus.Variant{}
	}
	action := "deny"
	if x.Rule.Allow {
		action = "allow"
	}
	return map[string]dbus.Variant{
		"Action": dbus.MakeVariant(action),
		"File":   dbus.MakeVariant(text(x.Rule.Origin.File)),
		"Line":   dbus.MakeVariant(uint32(x.Rule.Origin.Line)),
	}
}

func attempts(x daemon.Explanation) []map[string]dbus.Variant {
	all := []map[string]dbus.Variant{}
	for _, a := range x.Attempts {
		var problem string
		if a.Err != nil {
			problem = a.Err.Error()
		}
		all = append(all, map[string]dbus.Variant{
			"Step":    dbus.MakeVariant(a.Step),
			"Job":     dbus.MakeVariant(dbus.ObjectPath(api.JobPath(a.Job))),
			"Running": dbus.MakeVariant(a.Running),
			"Ended":   dbus.MakeVariant(micros(a.Ended)),
			"Tries":   dbus.MakeVariant(uint32(a.Tries)),
			"Error":   dbus.MakeVariant(text(problem)),
			"Retry":   dbus.MakeVariant(micros(a.RetryAt)),
		})
	}
	return all
}
