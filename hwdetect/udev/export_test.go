// SPDX-License-Identifier: Apache-2.0

package udev

import (
	"testing"
	"time"
)

// ListenFor makes monitors of the test follow each other faster.
func ListenFor(t *testing.T, d time.Duration) {
	was := listenTime
	listenTime = d
	t.Cleanup(func() { listenTime = was })
}
