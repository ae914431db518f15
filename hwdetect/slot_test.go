// SPDX-License-Identifier: Apache-2.0

package hwdetect_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"driverd/hwdetect"
)

func TestParseSlot(t *testing.T) {
	for text, want := range map[string]hwdetect.Slot{
		"0000:01:00.0":     {Bus: 1},
		"0000:ff:1f.7":     {Bus: 0xFF, Device: 31, Function: 7},
		"10000:e1:00.0":    {Domain: 0x10000, Bus: 0xE1},
		"ffffffff:00:02.0": {Domain: 0xFFFFFFFF, Device: 2},
	} {
		if got, err := hwdetect.ParseSlot(text); err != nil || got != want {
			t.Errorf("ParseSlot(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestParseSlotRefuses(t *testing.T) {
	for _, text := range []string{
		"", "01:00.0", "0000:01:00", "0000:01:00.8", "0000:01:20.0", "0000:1:00.0", "0000:01:00.00",
		"0000:FF:00.0", "00000:01:00.0", "100000000:01:00.0", "0000:01:00.0\n", " 0000:01:00.0",
		"+000:01:00.0", "0000:01:00.0/..", "0000-01-00.0", "0000:01:0x.0",
	} {
		if got, err := hwdetect.ParseSlot(text); err == nil {
			t.Errorf("ParseSlot(%q) = %v, want an error", text, got)
		}
	}
}

func slots() *rapid.Generator[hwdetect.Slot] {
	return rapid.Custom(func(t *rapid.T) hwdetect.Slot {
		return hwdetect.Slot{
			Domain:   rapid.Uint32().Draw(t, "domain"),
			Bus:      rapid.Uint8().Draw(t, "bus"),
			Device:   rapid.Uint8Max(31).Draw(t, "device"),
			Function: rapid.Uint8Max(7).Draw(t, "function"),
		}
	})
}

func TestSlotRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slot := slots().Draw(t, "slot")
		if got, err := hwdetect.ParseSlot(slot.String()); err != nil || got != slot {
			t.Fatalf("ParseSlot(%q) = %+v, %v", slot, got, err)
		}
	})
}

func TestSlotOrder(t *testing.T) {
	want := []hwdetect.Slot{
		{}, {Function: 1}, {Device: 1}, {Bus: 1}, {Bus: 1, Function: 1}, {Domain: 1}, {Domain: 0x10000, Bus: 2},
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, hwdetect.Slot.Compare)
	if !slices.Equal(got, want) {
		t.Errorf("sorted slots = %v, want %v", got, want)
	}
}
