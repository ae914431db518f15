// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	stdcmp "cmp"
	"encoding/xml"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"
	"github.com/google/go-cmp/cmp"

	"driverd/api"
	"driverd/daemon"
)

// action is one of our polkit actions, as units/ has it.
type action struct {
	ID       string `xml:"id,attr"`
	Message  string `xml:"message"`
	Defaults struct {
		Any      string `xml:"allow_any"`
		Inactive string `xml:"allow_inactive"`
		Active   string `xml:"allow_active"`
	} `xml:"defaults"`
	Annotate []struct {
		Key   string `xml:"key,attr"`
		Value string `xml:",chardata"`
	} `xml:"annotate"`
}

func policyFile(t *testing.T) map[string]action {
	t.Helper()
	text, err := os.ReadFile("../../units/org.fedoraproject.driverd1.policy")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Actions []action `xml:"action"`
	}
	if err := xml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]action)
	for _, a := range file.Actions {
		all[a.ID] = a
	}
	return all
}

// Every action asks for an administrator, tells them what for, and can be asked
// about by the user that the service runs as.
func TestPolicyFile(t *testing.T) {
	t.Parallel()
	all := policyFile(t)
	if len(all) != 3 {
		t.Errorf("%d actions", len(all))
	}
	for id, a := range all {
		if a.Defaults.Any != "auth_admin" || a.Defaults.Inactive != "auth_admin" || a.Defaults.Active != "auth_admin_keep" {
			t.Errorf("%s: %+v", id, a.Defaults)
		}
		if !strings.HasPrefix(a.Message, "Authentication is required to ") || len(a.Annotate) != 1 ||
			a.Annotate[0].Key != "org.freedesktop.policykit.owner" || a.Annotate[0].Value != "unix-user:driverd" {
			t.Errorf("%s: %+v", id, a)
		}
	}
}

// TestWhoMayCallWhat prints each method of the interfaces with its action, and
// what three callers get, without and with leave to ask for a password.
func TestWhoMayCallWhat(t *testing.T) {
	t.Parallel()
	args := map[string][]any{
		"Explain": {"8086:10c9", noOptions}, "Plan": {[]string{}, noOptions}, "Install": {[]string{}, noOptions},
		"Rescan": {noOptions}, "SetMode": {"auto", noOptions}, "History": {noOptions}, "Cancel": {noOptions},
	}
	const needsPassword, denied = "InteractiveAuthorizationRequired", "AccessDenied"
	want := map[string]string{
		"Explain": "", "History": "", "Plan": "",
		"Rescan": api.ActionRescan, "Install": api.ActionInstall, "Cancel": api.ActionInstall, "SetMode": api.ActionConfigure,
	}
	policy := policyFile(t)
	var described introspect.Node
	if err := xml.Unmarshal([]byte(api.XML), &described); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	table := []string{fmt.Sprintf("%-8s %-38s %-5s %-44s %s", "method", "polkit action", "root", "an administrator", "nobody")}
	for _, i := range described.Interfaces {
		path := map[string]dbus.ObjectPath{api.ManagerInterface: api.RootPath, api.JobInterface: job}[i.Name]
		for _, m := range i.Methods {
			row := []string{}
			for _, who := range []*authority{{authorized: true}, {challenge: true, agent: true}, {challenge: true}} {
				s := start(t)
				s.Publish(working(7))
				s.polkit(t, who)
				s.engine.answers(daemon.Explanation{})
				var answers []string
				for _, flags := range []dbus.Flags{0, dbus.FlagAllowInteractiveAuthorization} {
					name := strings.TrimPrefix(errorName(s.send(flags, path, i.Name, m.Name, args[m.Name]...)), "org.freedesktop.DBus.Error.")
					if name == "" {
						name = "yes"
					}
					answers = append(answers, name)
				}
				row = append(row, strings.Join(slices.Compact(answers), ", then "))
				got[m.Name] = ""
				who.mu.Lock()
				for _, q := range who.asked {
					got[m.Name] = q.action
				}
				who.mu.Unlock()
			}
			table = append(table, fmt.Sprintf("%-8s %-38s %-5s %-44s %s", m.Name, stdcmp.Or(got[m.Name], "-"), row[0], row[1], row[2]))
			expected := []string{"yes", "yes", "yes"}
			if want[m.Name] != "" {
				expected = []string{"yes", needsPassword + ", then yes", needsPassword + ", then " + denied}
				if _, ok := policy[want[m.Name]]; !ok {
					t.Errorf("polkit does not know %s", want[m.Name])
				}
			}
			if diff := cmp.Diff(expected, row); diff != "" {
				t.Errorf("%s: %s", m.Name, diff)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	fmt.Printf("\ntable: who may call what, without and then with leave to ask for a password\n") // make test shows it
	for _, row := range table {
		fmt.Println("table: " + row)
	}
}
