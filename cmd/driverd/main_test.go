// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"testing"
)

func TestExitStatuses(t *testing.T) {
	for _, test := range []struct {
		args []string
		want int
	}{
		{[]string{"--version"}, 0},
		{[]string{"--help"}, 0},
		{[]string{"nonsense"}, exitUsage},
		{[]string{"--nonsense"}, exitUsage},
		{[]string{"daemon", "nonsense"}, exitUsage},
		{[]string{"load"}, exitUsage},
		{[]string{"load", "01:00.0"}, exitUsage},
		{[]string{"load", "../../etc"}, exitUsage},
		{[]string{"load", "ffff:ff:1f.7"}, 0}, // gone: nothing to do
	} {
		if got := run(t.Context(), test.args, console{stdout: io.Discard, stderr: io.Discard, gate: open}); got != test.want {
			t.Errorf("driverd %v exits with %d, want %d", test.args, got, test.want)
		}
	}
}
