// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"slices"
	"time"
)

// Outside is what a try may fail for that is neither hardware nor of the
// service. It is looked at like the hardware: what tells of a change only kicks.
type Outside interface {
	// Ways returns by what something beyond the guest can be reached now.
	Ways() []string
	// Repositories returns a text that is another one when their configuration is.
	Repositories() string
}

// lookAtRepositories compares how the repositories are configured with how they were.
// What is there at the first look is no news.
func (e *Engine) lookAtRepositories(now time.Time) {
	first, repositories := e.rested.IsZero(), e.Outside.Repositories()
	if !first && repositories != e.repositories {
		e.changes.Repositories = now
		e.Log.Debug().Msg("the repositories are configured anew")
	}
	e.repositories = repositories
}

// network sees when there is a new way out of the guest. To read them may take as long
// as a driver holds the kernel's lock on the network (rtnl_lock), which can be minutes
// if its card does not answer: nobody waits for it.
type network struct {
	engine  *Engine
	ways    []string
	known   bool // whether ways has ever been read
	reading bool
	again   bool // something may have changed since the reading began
	read    time.Time
}

// waysGap is the least time between two readings: a job has many looks, and hardly a new way.
const waysGap = time.Second

// Step has the ways read. What is there the first time is no news.
func (n *network) Step(now time.Time) {
	if n.reading {
		n.again = true
		return
	}
	e := n.engine
	n.reading, n.again = true, false
	pause := n.read.Add(waysGap).Sub(now)
	go func() {
		select {
		case <-time.After(pause):
		case <-e.ctx.Done():
			return
		}
		ways := e.Outside.Ways()
		e.post(func() { n.take(ways, now) })
	}()
}

// take takes the ways that there were at a moment.
func (n *network) take(ways []string, asked time.Time) {
	e := n.engine
	if n.known && slices.ContainsFunc(ways, func(way string) bool { return !slices.Contains(n.ways, way) }) {
		e.changes.Network = asked
		e.Log.Debug().Strs("ways", ways).Msg("there is a new way out of the guest")
		e.wakeAt(e.rested)
	}
	n.ways, n.known, n.reading, n.read = ways, true, false, time.Now()
	if n.again {
		n.Step(time.Now())
	}
}
