// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"driverd/daemon/install"
	"driverd/reason"
)

// steps run for a while, and end as their outcomes say; they call nobody.
type steps struct {
	*stage
	until time.Time
}

func (s steps) Running(context.Context, uint64) bool { return time.Now().Before(s.until) }

// What a step has installed whose service has ended is known when it has ended, and nothing
// is said of one that has failed, or has left nothing.
func TestInstalledEarlier(t *testing.T) {
	const dependency = "kernel-modules-core-1-1.x86_64"
	for name, test := range map[string]struct {
		outcome *install.Outcome
		runs    time.Duration
		want    []string
	}{
		"it has ended well":           {&install.Outcome{Coming: []string{sriov, dependency}}, 0, []string{sriov, dependency}},
		"it ends well":                {&install.Outcome{Coming: []string{sriov, dependency}}, time.Minute, []string{sriov, dependency}},
		"it has failed":               {&install.Outcome{Coming: []string{sriov}, Reason: reason.TransactionFailed, Message: "no"}, 0, nil},
		"nothing was to be done":      {&install.Outcome{}, 0, nil},
		"it was killed":               {nil, 0, nil},
		"there is none, nor ever was": {nil, -1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, nil)
				if test.runs >= 0 {
					if err := install.WriteRequest(s.jobs, 1, install.Request{Install: []string{sriov}}); err != nil {
						t.Fatal(err)
					}
				}
				if test.outcome != nil {
					s.leave(1, *test.outcome)
				}
				b := s.backendOf(steps{s, time.Now().Add(test.runs)})
				began := time.Now()
				got, err := b.InstalledEarlier(t.Context())
				if took := time.Since(began); err != nil || !slices.Equal(got, test.want) || took < test.runs {
					t.Errorf("after %s: %q, %v, want %q", took, got, err, test.want)
				}
			})
		})
	}
}

// A service that ends leaves the steps of the last one to the next.
func TestInstalledEarlierWithoutTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		if err := install.WriteRequest(s.jobs, 1, install.Request{Install: []string{sriov}}); err != nil {
			t.Fatal(err)
		}
		s.leave(1, install.Outcome{Coming: []string{sriov}})
		b := s.backendOf(steps{s, time.Now().Add(time.Hour)})
		ctx, end := context.WithTimeout(t.Context(), time.Minute)
		defer end()
		if got, err := b.InstalledEarlier(ctx); got != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q, %v", got, err)
		}
		b = s.backendOf(steps{stage: s})
		if got, err := b.InstalledEarlier(t.Context()); err != nil || !slices.Equal(got, []string{sriov}) {
			t.Errorf("then %q, %v", got, err)
		}
	})
}
