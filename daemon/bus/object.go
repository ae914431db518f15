// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"maps"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"driverd/api"
	"driverd/daemon"
)

// properties are those of one interface, by name.
type properties map[string]dbus.Variant

// object is one node of the tree: its interfaces with their properties.
type object map[string]properties

// tree is every object that there is, by path. A tree is never changed: each
// view of the engine makes a new one.
type tree map[dbus.ObjectPath]object

// shown is what a view comes to. It never changes.
type shown struct {
	tree    tree
	of      map[dbus.ObjectPath]any // what of the view an object shows
	renewed []dbus.ObjectPath       // objects that the view before had not, or that showed something else

	once    sync.Once
	managed reply
}

// objects is the reply to GetManagedObjects, made once.
func (s *shown) objects() reply {
	s.once.Do(func() {
		objects := maps.Clone(s.tree)
		delete(objects, rootPath)
		s.managed = encode([]any{map[dbus.ObjectPath]object(objects)})
	})
	return s.managed
}

// next is what the next view comes to. Of most devices it shows nothing new.
func (s *shown) next(v daemon.View) *shown {
	n := &shown{tree: make(tree), of: make(map[dbus.ObjectPath]any)}
	add := func(path dbus.ObjectPath, of any, name string, show func() properties) {
		if last, ok := s.of[path]; ok && reflect.DeepEqual(last, of) {
			n.of[path], n.tree[path] = last, s.tree[path]
			return
		}
		n.of[path], n.tree[path] = of, object{name: show()}
		n.renewed = append(n.renewed, path)
	}
	counts := make(map[string]uint32)
	for _, d := range v.Devices {
		counts[string(d.State)]++
		add(dbus.ObjectPath(api.DevicePath(d.Slot.String())), d, api.DeviceInterface, func() properties { return deviceProperties(d) })
	}
	for _, j := range v.Jobs {
		add(dbus.ObjectPath(api.JobPath(j.Number)), j, api.JobInterface, func() properties { return jobProperties(j) })
	}
	v.Devices, v.Jobs = nil, nil
	add(api.RootPath, []any{v, counts}, api.ManagerInterface, func() properties { return managerProperties(v, counts) })
	return n
}

func managerProperties(v daemon.View, counts map[string]uint32) properties {
	return properties{
		"Version":       dbus.MakeVariant(v.Version),
		"KernelRelease": dbus.MakeVariant(v.Release),
		"Platform":      dbus.MakeVariant(v.Platform),
		"Backend":       dbus.MakeVariant(v.Backend),
		"Status":        dbus.MakeVariant(string(v.Status)),
		"Reason":        dbus.MakeVariant(string(v.Reason)),
		"Message":       dbus.MakeVariant(v.Message),
		"Mode":          dbus.MakeVariant(string(v.Mode)),
		"Counts":        dbus.MakeVariant(counts),
		"NextKernel":    dbus.MakeVariant(nextKernel(v.NextKernel)),
	}
}

// nextKernel is empty if the next boot brings the running kernel.
func nextKernel(k daemon.NextKernel) map[string]dbus.Variant {
	if k.Release == "" {
		return map[string]dbus.Variant{}
	}
	return map[string]dbus.Variant{
		"Release":  dbus.MakeVariant(text(k.Release)),
		"Ready":    dbus.MakeVariant(k.Ready),
		"Message":  dbus.MakeVariant(text(k.Message)),
		"Packages": dbus.MakeVariant(texts(k.Packages)),
	}
}

func deviceProperties(d daemon.Device) properties {
	timeline := []api.Step{}
	for _, m := range d.Timeline {
		timeline = append(timeline, api.Step{Name: m.Step, Time: micros(m.Time)})
	}
	children := []api.Child{}
	for _, c := range d.Children {
		children = append(children, api.Child{Path: text(c.Path), Modalias: text(c.Modalias), Driver: text(c.Driver)})
	}
	return properties{
		"Slot":     dbus.MakeVariant(d.Slot.String()),
		"Modalias": dbus.MakeVariant(text(d.Modalias)),
		"Vendor":   dbus.MakeVariant(text(d.Vendor)),
		"Product":  dbus.MakeVariant(text(d.Product)),
		"Class":    dbus.MakeVariant(d.Class),
		"Group":    dbus.MakeVariant(d.Group),
		"State":    dbus.MakeVariant(string(d.State)),
		"Reason":   dbus.MakeVariant(string(d.Reason)),
		"Message":  dbus.MakeVariant(text(d.Message)),
		"Driver":   dbus.MakeVariant(text(d.Driver)),
		"Modules":  dbus.MakeVariant(texts(d.Modules)),
		"Packages": dbus.MakeVariant(texts(d.Packages)),
		"Job":      dbus.MakeVariant(dbus.ObjectPath(api.JobPath(d.Job))),
		"Timeline": dbus.MakeVariant(timeline),

		"Functions": dbus.MakeVariant(texts(d.Functions)),
		"Children":  dbus.MakeVariant(children),
	}
}

// micros is a moment as the bus shows it; 0 is none.
func micros(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixMicro())
}

// text makes s fit for the bus, which breaks a connection that sends anything
// but UTF-8 without NUL; sysfs and repositories promise neither.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func texts(list []string) []string {
	out := []string{}
	for _, s := range list {
		out = append(out, text(s))
	}
	return out
}

// changed returns what is different in next, nil if nothing is.
func (p properties) changed(next properties) properties {
	var diff properties
	for name, value := range next {
		if old, ok := p[name]; !ok || !reflect.DeepEqual(old.Value(), value.Value()) {
			if diff == nil {
				diff = make(properties)
			}
			diff[name] = value
		}
	}
	return diff
}
