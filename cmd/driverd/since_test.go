// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"
)

func TestParseSince(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 2*60*60)
	now := time.Date(2026, 3, 1, 12, 30, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"today":                time.Date(2026, 3, 1, 0, 0, 0, 0, zone),
		"yesterday":            time.Date(2026, 2, 28, 0, 0, 0, 0, zone),
		"90m":                  time.Date(2026, 3, 1, 11, 0, 0, 0, zone),
		"0s":                   now,
		"7d":                   time.Date(2026, 2, 22, 12, 30, 0, 0, zone),
		"2026-01-31":           time.Date(2026, 1, 31, 0, 0, 0, 0, zone),
		"2026-01-31 15:04":     time.Date(2026, 1, 31, 15, 4, 0, 0, zone),
		"2026-01-31 15:04:05":  time.Date(2026, 1, 31, 15, 4, 5, 0, zone),
		"2026-01-31T15:04:05Z": time.Date(2026, 1, 31, 17, 4, 5, 0, zone),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", "d", "-1d", "-1h", "99999999d", "tomorrow", "2026-13-01", "2026", "\xff", "12:30"} {
		if got, err := parseSince(text, now); err == nil {
			t.Errorf("%q is taken for %s", text, got)
		}
	}
}
