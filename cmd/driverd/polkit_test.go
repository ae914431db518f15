// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/godbus/dbus/v5"
)

// authority answers for polkit: "yes", "no", or "password", which stands for yes
// to whoever can be asked for one.
type authority string

type subjectOf struct {
	Kind    string
	Details map[string]dbus.Variant
}

type verdict struct {
	Authorized, Challenge bool
	Details               map[string]string
}

func (a authority) CheckAuthorization(_ subjectOf, _ string, _ map[string]string, flags uint32, _ string) (verdict, *dbus.Error) {
	return verdict{Authorized: a == "yes" || a == "password" && flags == 1, Challenge: a == "password"}, nil
}

// polkit puts an authority on the bus.
func (s testService) polkit(t testing.TB, a authority) {
	t.Helper()
	conn := s.bus.Connect(t)
	if err := conn.Export(a, "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName("org.freedesktop.PolicyKit1", dbus.NameFlagReplaceExisting|dbus.NameFlagAllowReplacement); err != nil {
		t.Fatal(err)
	}
}
