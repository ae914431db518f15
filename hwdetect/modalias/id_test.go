// SPDX-License-Identifier: Apache-2.0

package modalias_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"driverd/hwdetect/modalias"
)

func TestParse(t *testing.T) {
	want := modalias.ID{Vendor: 0x8086, Product: 0x10C9, SubVendor: 0x8086, SubProduct: 0xA03C, Class: 2}
	got, err := modalias.Parse(igb)
	if err != nil || got != want {
		t.Errorf("Parse(%q) = %+v, %v, want %+v", igb, got, err, want)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, s := range map[string]string{
		"empty":        "",
		"lower case":   strings.ToLower(igb),
		"cut short":    igb[:len(igb)-1],
		"trailing":     igb + "\n",
		"other bus":    strings.Replace(igb, "pci:", "usb:", 1),
		"pattern":      "pci:v00008086d000010C9sv*sd*bc*sc*i*",
		"signed":       strings.Replace(igb, "v00008086", "v+0008086", 1),
		"short vendor": strings.Replace(igb, "v00008086", "v8086", 1),
		"huge":         strings.Repeat("pci:v", 1000),
	} {
		if id, err := modalias.Parse(s); err == nil {
			t.Errorf("%s: Parse(%.80q) = %+v, want an error", name, s, id)
		} else if len(err.Error()) > 300 {
			t.Errorf("%s: the error repeats all of its input", name)
		}
	}
}

func TestParseStringRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := modalias.ID{
			Vendor:     rapid.Uint32().Draw(t, "vendor"),
			Product:    rapid.Uint32().Draw(t, "product"),
			SubVendor:  rapid.Uint32().Draw(t, "subvendor"),
			SubProduct: rapid.Uint32().Draw(t, "subproduct"),
			Class:      rapid.Uint8().Draw(t, "class"),
			SubClass:   rapid.Uint8().Draw(t, "subclass"),
			Interface:  rapid.Uint8().Draw(t, "interface"),
		}
		if got, err := modalias.Parse(id.String()); err != nil || got != id {
			t.Fatalf("Parse(%q) = %+v, %v", id, got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(igb)
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := modalias.Parse(s); err == nil && id.String() != s {
			t.Errorf("Parse(%q) reads as %q", s, id)
		}
	})
}
