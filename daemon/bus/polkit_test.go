// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"

	"driverd/api"
)

// authority answers in polkit's place what a test wants to hear: the real one
// is asked in the lab, where there are users.
type authority struct {
	authorized, challenge bool
	agent                 bool // somebody is there to type a password, if interaction is allowed

	mu    sync.Mutex
	asked []question
}

type question struct {
	action string
	flags  uint32
}

type subject struct {
	Kind    string
	Details map[string]dbus.Variant
}

type verdict struct {
	Authorized, Challenge bool
	Details               map[string]string
}

func (a *authority) CheckAuthorization(_ subject, action string, _ map[string]string, flags uint32, _ string) (verdict, *dbus.Error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, question{action, flags})
	return verdict{a.authorized || a.agent && flags != 0, a.challenge, map[string]string{}}, nil
}

// polkit puts an authority on the bus.
func (s service) polkit(t *testing.T, a *authority) {
	t.Helper()
	conn := s.bus.Connect(t)
	if err := conn.Export(a, "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName("org.freedesktop.PolicyKit1", dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
}

// rescan calls Rescan.
func (s service) rescan(flags dbus.Flags, options map[string]dbus.Variant) error {
	return s.send(flags, api.RootPath, api.ManagerInterface, "Rescan", options)
}

// send sends a call by hand: godbus's Call drops the flag that allows interaction.
func (s service) send(flags dbus.Flags, path dbus.ObjectPath, iface, method string, args ...any) error {
	done := make(chan *dbus.Call, 1)
	s.client.Send(&dbus.Message{
		Type:  dbus.TypeMethodCall,
		Flags: flags,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(api.BusName),
			dbus.FieldPath:        dbus.MakeVariant(path),
			dbus.FieldInterface:   dbus.MakeVariant(iface),
			dbus.FieldMember:      dbus.MakeVariant(method),
			dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(args...)),
		},
		Body: args,
	}, done)
	return (<-done).Err
}

func TestRescanAsksPolkit(t *testing.T) {
	t.Parallel()
	const denied = "org.freedesktop.DBus.Error.AccessDenied"
	for name, test := range map[string]struct {
		polkit  *authority // nil: not on the bus
		flags   dbus.Flags
		want    string
		rescans int32
	}{
		"allowed":                  {&authority{authorized: true}, 0, "", 1},
		"denied":                   {&authority{}, 0, denied, 0},
		"denied, may interact":     {&authority{}, dbus.FlagAllowInteractiveAuthorization, denied, 0},
		"challenge":                {&authority{challenge: true}, 0, "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", 0},
		"challenge, not answered":  {&authority{challenge: true}, dbus.FlagAllowInteractiveAuthorization, denied, 0},
		"nobody there to be asked": {nil, 0, denied, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			if test.polkit != nil {
				s.polkit(t, test.polkit)
			}
			err := s.rescan(test.flags, map[string]dbus.Variant{})
			if got := errorName(err); got != test.want {
				t.Errorf("%v, want %q", err, test.want)
			}
			if got := s.engine.rescans.Load(); got != test.rescans {
				t.Errorf("%d rescans, want %d", got, test.rescans)
			}
			if test.polkit == nil {
				return
			}
			test.polkit.mu.Lock()
			defer test.polkit.mu.Unlock()
			if len(test.polkit.asked) != 1 || test.polkit.asked[0].action != api.ActionRescan ||
				(test.polkit.asked[0].flags != 0) != (test.flags != 0) {
				t.Errorf("polkit was asked %v", test.polkit.asked)
			}
		})
	}
}

func TestRescanRefusesUnknownOptions(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.polkit(t, &authority{authorized: true})
	err := s.rescan(0, map[string]dbus.Variant{"force": dbus.MakeVariant(true)})
	if errorName(err) != "org.freedesktop.DBus.Error.InvalidArgs" || s.engine.rescans.Load() != 0 {
		t.Errorf("%v", err)
	}
}
