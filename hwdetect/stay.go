// SPDX-License-Identifier: Apache-2.0

package hwdetect

// Stay is one stay of one device in a slot. The generation tells it from the stays
// before and after it, of the same card or of another one: it is the number of the inode of
// the device's folder in sysfs, which the kernel does not use again before it is restarted
// (Linux: kernfs_new_node in fs/kernfs/dir.c).
type Stay struct {
	Slot       Slot
	Generation uint64
}
