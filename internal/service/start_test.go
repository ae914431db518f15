// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"os"
	"testing"
	"time"

	"driverd/api"
	"driverd/internal/testtree"
)

// TestStartOfAServiceAtRest asks while a service starts that was at rest. Whoever asks before it
// has its name must find it at rest, and so wait for it.
func TestStartOfAServiceAtRest(t *testing.T) {
	w := replay(t, "aws-ena")
	file := w.path(api.RestFile)
	testtree.Write(t, file, `{"version":1,"devices":[]}`)
	w.start()
	for end := time.Now().Add(deadline); ; {
		_, atRest := os.Stat(file)
		_, answers := w.client.Manager(t.Context())
		switch {
		case answers == nil && atRest != nil:
			return
		case answers != nil && atRest != nil:
			t.Fatalf("it is no longer at rest, and does not answer: %v", answers)
		case time.Now().After(end):
			t.Fatal("it runs, and is still said to be at rest")
		}
	}
}
