// SPDX-License-Identifier: Apache-2.0

package stage

import "testing"

// NeedRoom makes so many bytes be needed free, for the time of a test.
func NeedRoom(t *testing.T, bytes uint64) {
	was := room
	room = bytes
	t.Cleanup(func() { room = was })
}

// Forget makes this process use no stage any more, as its end does.
func Forget() {
	held.Lock()
	defer held.Unlock()
	for _, u := range held.stages {
		if u.lock != nil {
			u.lock.release()
		}
	}
	held.stages = nil
}
