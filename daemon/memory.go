// SPDX-License-Identifier: Apache-2.0

package daemon

import "runtime/debug"

// giveBack returns the memory to the kernel that a piece of work has left
// behind. The service rests for days after a moment's work, and Go would keep
// half of what it has then: docs/performance.md.
func giveBack() { go debug.FreeOSMemory() }
