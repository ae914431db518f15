// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"testing"

	"driverd/internal/report"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"mac 52:54:00:12:34:56, ip 192.0.2.7.":                                     "mac ADDRESS, ip ADDRESS.",
		"from fe80::5054:ff:fe12:3456%eth0":                                        "from ADDRESS%eth0",
		"[2001:db8::1]:443 and ::1":                                                "[ADDRESS]:443 and ADDRESS",
		"dial tcp 10.0.0.1:8080: connection refused":                               "dial tcp ADDRESS: connection refused",
		"00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01 (InfiniBand)": "ADDRESS (InfiniBand)",
		"https://me:secret@mirror.example/f44?token=abc&x=1: 404":                  "https://REMOVED@mirror.example/f44?REMOVED 404",

		// What only looks like one.
		"0000:01:00.0 10000:e1:00.0 8086:10c9 16:30:01 2026-11-25T16:30:01.123456+0000": "",
		"kernel-modules-6.1.0.23-1.x86_64 5.14.0-427.13.1.el9_4 6.1.0.23-cloud":         "",
		`"time": 1764089151123456, "class": 131072, "name": "deadbeefdead"`:             "",
		"pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00 std::string":             "",
	} {
		if want == "" {
			want = text
		}
		if got := string(report.Redact([]byte(text))); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
