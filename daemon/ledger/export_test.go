// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"
	"slices"

	"driverd/reason"
)

// Retried lists the reasons that the policy names.
func Retried() []reason.Reason { return slices.Sorted(maps.Keys(retries)) }
