// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"maps"
	"slices"
)

// IDs returns the MESSAGE_IDs, by event, state and reason.
func IDs() map[string]string { return maps.Clone(ids) }

// Fields returns the names of the fields that an entry may have.
func Fields() []string { return slices.Clone(fields) }
