// SPDX-License-Identifier: Apache-2.0

package phase

import (
	"fmt"
	"strings"
)

// Table is the table of the phases as ARCHITECTURE.md has it.
func Table() string {
	var rows []string
	for _, name := range []Name{
		Settling, Decided, Learning, AwaitingBuiltIn, WaitingForJob, Installing, InstallFailed, Cancelled, Reinstalling,
		WaitingToLoad, LoadingDriver, AwaitingDriver, LoadFailed, WaitingToBring, Bringing, FirmwareFailed,
	} {
		shows := "what the error says"
		switch {
		case name == Decided:
			shows = "what the want says"
		case phases[name].Shows != "":
			shows = "`" + string(phases[name].Shows) + "`"
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s |", name, shows, phases[name].Until))
	}
	if len(rows) != len(phases) {
		rows = append(rows, fmt.Sprintf("%d phases are missing", len(phases)-len(rows)))
	}
	return strings.Join(rows, "\n")
}
