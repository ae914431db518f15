// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"

	"github.com/godbus/dbus/v5"
)

// reader takes values out of a dictionary and keeps the first problem. A key
// that is missing leaves its value alone: the service may be older than its
// client.
type reader struct {
	from map[string]dbus.Variant
	err  error
}

func (r *reader) read(name string, into any) {
	v, ok := r.from[name]
	if !ok {
		return
	}
	if err := v.Store(into); err != nil && r.err == nil {
		r.err = fmt.Errorf("cannot read %s: %w", name, err)
	}
}

// path reads an object path; "/", which stands for none, becomes empty.
func (r *reader) path(name string, into *string) {
	var path dbus.ObjectPath
	r.read(name, &path)
	if path != "/" {
		*into = string(path)
	}
}

// dictionary calls read with a reader of the dictionary of this name, if there
// is anything in it.
func (r *reader) dictionary(name string, read func(*reader)) {
	v, ok := r.from[name]
	if !ok {
		return
	}
	from, ok := v.Value().(map[string]dbus.Variant)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("cannot read %s: its type is %s", name, v.Signature())
	}
	if len(from) > 0 {
		r.enter(from, read)
	}
}

// list calls read with a reader of each dictionary in the list of this name.
func (r *reader) list(name string, read func(*reader)) {
	v, ok := r.from[name]
	if !ok {
		return
	}
	all, ok := v.Value().([]map[string]dbus.Variant)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("cannot read %s: its type is %s", name, v.Signature())
	}
	for _, from := range all {
		r.enter(from, read)
	}
}

func (r *reader) enter(from map[string]dbus.Variant, read func(*reader)) {
	entry := reader{from: from}
	read(&entry)
	if r.err == nil {
		r.err = entry.err
	}
}
