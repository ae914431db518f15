// SPDX-License-Identifier: Apache-2.0

package filtermods_test

import (
	"maps"
	"strings"
	"testing"

	"driverd/internal/filtermods"
)

const rules = `# a comment
packages:
  - name: modules-core
    depends-on: []
  - name: modules
    depends-on:
    - modules-core
  - name: modules-internal
    depends-on:
    - modules-core
    - modules

rules:
  - .*kunit.*: modules-internal
    exact_pkg: True
  - drivers/net/veth\.ko: modules-core
  - drivers/net/.*: modules
  - lib/test[^/]*.ko: modules-internal
    ignore_deps: True
  - default: modules
`

func TestPlace(t *testing.T) {
	parsed, err := filtermods.Parse(rules)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parsed.Place(map[string][]string{
		"kernel/drivers/net/veth.ko.xz":  {"kernel/lib/one.ko"},
		"kernel/drivers/net/tun.ko":      {"kernel/lib/two.ko"},
		"kernel/lib/one.ko":              nil, // drawn into core
		"kernel/lib/two.ko":              nil, // the default
		"extra/lib/test_x.ko":            {"kernel/lib/kunit.ko"},
		"kernel/lib/kunit.ko":            nil,
		"kernel/drivers/net/xdrivers.ko": nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{
		"kernel/drivers/net/veth.ko.xz":  "modules-core",
		"kernel/drivers/net/tun.ko":      "modules",
		"kernel/lib/one.ko":              "modules-core",
		"kernel/lib/two.ko":              "modules",
		"extra/lib/test_x.ko":            "modules-internal",
		"kernel/lib/kunit.ko":            "modules-internal",
		"kernel/drivers/net/xdrivers.ko": "modules",
	}; !maps.Equal(want, got) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := parsed.Place(map[string][]string{"kernel/drivers/net/veth.ko": {"kernel/lib/kunit.ko"}, "kernel/lib/kunit.ko": nil}); err == nil {
		t.Error("a dependency in a package that is out of reach is no error")
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"rules:\n  - a.*: nowhere\n": "which is no package",
		"rules:\n  - a(: b\n":        "line 2",
		"rules:\n    colour: red\n":  "line 2",
	} {
		if _, err := filtermods.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}
