// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"encoding/xml"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"

	"driverd/api"
)

// ours is what api.XML describes; it cannot fail to parse, as a test shows. Of the
// program's other commands none needs it.
var ours = sync.OnceValue(func() map[string]introspect.Interface {
	var node introspect.Node
	if err := xml.Unmarshal([]byte(api.XML), &node); err != nil {
		panic("api.XML: " + err.Error())
	}
	all := make(map[string]introspect.Interface)
	for _, i := range node.Interfaces {
		all[i.Name] = i
	}
	return all
})

const objectManager = "org.freedesktop.DBus.ObjectManager"

var objectManagerDescription = introspect.Interface{
	Name: objectManager,
	Methods: []introspect.Method{{Name: "GetManagedObjects", Args: []introspect.Arg{
		{Name: "objects", Type: "a{oa{sa{sv}}}", Direction: "out"},
	}}},
	Signals: []introspect.Signal{
		{Name: "InterfacesAdded", Args: []introspect.Arg{{Name: "path", Type: "o"}, {Name: "interfaces", Type: "a{sa{sv}}"}}},
		{Name: "InterfacesRemoved", Args: []introspect.Arg{{Name: "path", Type: "o"}, {Name: "interfaces", Type: "as"}}},
	},
}

var peerDescription = introspect.Interface{
	Name: peerInterface,
	Methods: []introspect.Method{
		{Name: "Ping"},
		{Name: "GetMachineId", Args: []introspect.Arg{{Name: "machine_uuid", Type: "s", Direction: "out"}}},
	},
}

var propertiesDescription = introspect.Interface{
	Name: "org.freedesktop.DBus.Properties",
	Methods: []introspect.Method{
		{Name: "Get", Args: []introspect.Arg{
			{Name: "interface", Type: "s", Direction: "in"},
			{Name: "property", Type: "s", Direction: "in"},
			{Name: "value", Type: "v", Direction: "out"},
		}},
		{Name: "GetAll", Args: []introspect.Arg{
			{Name: "interface", Type: "s", Direction: "in"},
			{Name: "properties", Type: "a{sv}", Direction: "out"},
		}},
		{Name: "Set", Args: []introspect.Arg{
			{Name: "interface", Type: "s", Direction: "in"},
			{Name: "property", Type: "s", Direction: "in"},
			{Name: "value", Type: "v", Direction: "in"},
		}},
	},
	Signals: []introspect.Signal{{Name: "PropertiesChanged", Args: []introspect.Arg{
		{Name: "interface", Type: "s"},
		{Name: "changed", Type: "a{sv}"},
		{Name: "invalidated", Type: "as"},
	}}},
}

// has says whether path is an object or leads to one.
func (t tree) has(path dbus.ObjectPath) bool {
	_, ok := t[path]
	return ok || len(t.children(path)) > 0 || path == api.DevicesPath || path == api.JobsPath
}

// serves says whether path, which is there, has the interface.
func (t tree) serves(path dbus.ObjectPath, name string) bool {
	object, isObject := t[path]
	_, ours := object[name]
	switch name {
	case introspectable:
		return true
	case propertiesInterface:
		return isObject
	case objectManager:
		return path == rootPath
	default:
		return ours
	}
}

// children returns the names directly below path, sorted.
func (t tree) children(path dbus.ObjectPath) []string {
	prefix := strings.TrimSuffix(string(path), "/") + "/"
	names := make(map[string]bool)
	for p := range t {
		if rest, ok := strings.CutPrefix(string(p), prefix); ok && rest != "" {
			name, _, _ := strings.Cut(rest, "/")
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// introspect describes path as the D-Bus specification asks for.
func (t tree) introspect(path dbus.ObjectPath) string {
	node := introspect.Node{Interfaces: []introspect.Interface{introspect.IntrospectData, peerDescription}}
	if o, ok := t[path]; ok {
		node.Interfaces = append(node.Interfaces, propertiesDescription)
		for _, name := range slices.Sorted(maps.Keys(o)) {
			node.Interfaces = append(node.Interfaces, ours()[name])
		}
	}
	if path == api.RootPath {
		node.Interfaces = append(node.Interfaces, objectManagerDescription)
	}
	for _, name := range t.children(path) {
		node.Children = append(node.Children, introspect.Node{Name: name})
	}
	text, err := xml.MarshalIndent(node, "", "  ")
	if err != nil {
		panic("introspection data: " + err.Error()) // plain structs: cannot happen
	}
	return introspect.IntrospectDeclarationString + string(text) + "\n"
}
