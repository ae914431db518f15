// SPDX-License-Identifier: Apache-2.0

package hwdetect

// Stay is one stay of one device in a slot. The generation tells it from the stays
// before and after it, of the same card or of another one.
type Stay struct {
	Slot       Slot
	Generation uint64
}
