// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"slices"
	"time"
)

// took is what a part of the run took: a test, a command, something that was built.
type took struct {
	what string
	time time.Duration
}

func (r *run) note(what string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took = append(r.took, took{what, d})
}

// closing says where the time went, what was left out and what was never asked for,
// and how many tests passed.
func (r *run) closing(others []part) {
	slices.SortStableFunc(r.took, func(a, b took) int { return cmp.Compare(b.time, a.time) })
	r.print("== the ten slowest parts\n")
	for _, t := range r.took[:min(10, len(r.took))] {
		r.print("%7.1f s  %s\n", t.time.Seconds(), t.what)
	}
	for _, p := range r.leftOut {
		r.print("left out, as it takes %.0f s and the time is up: %s\n", p.takes.Seconds(), p.name())
	}
	elsewhere := map[tier]int{}
	for _, p := range others {
		elsewhere[p.tier] += max(1, len(p.tests))
	}
	for _, t := range []struct {
		tier   tier
		target string
	}{{everyday, "make test"}, {rest, "make test-all"}, {long, "make test-long"}, {manyGuests, "make test-guests"}} {
		if n := elsewhere[t.tier]; n > 0 {
			r.print("not asked for: %d more in %s\n", n, t.target)
		}
	}
	r.print("%d passed, %d failed\n", r.passed, r.failed)
}
