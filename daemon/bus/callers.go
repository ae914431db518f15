// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"sync"
	"time"
)

// How many calls are being answered at once, and how many refusals sent, which hold
// nothing of the call. Whoever has sent more calls than are refused hears nothing, and
// keeps nobody else from hearing.
const (
	callsOfSender    = 8
	callsInAll       = 64
	refusalsOfSender = 64
	refusalsInAll    = 4096
)

// How many bytes of replies callers may have left unread: of one, and of all together.
// Nothing tells when a reply is read, so what was sent counts as unread for a time. The
// bus keeps unread replies in its memory, and when those of one service come to 127 MB
// (dbus-daemon: max_incoming_bytes) it reads no more of what that service sends. It also
// reads one reply after another, and looks at each byte of it: what others may have sent
// is what a caller waits for.
const (
	unreadOfSender = 4 << 20
	unreadInAll    = 8 << 20
	unreadShort    = 32 << 20 // in all, if the next reply is short, or its caller has nothing unread
	readOfSender   = 1 << 20  // per second, of what is unread
	readInAll      = 1 << 20
	shortReply     = 16 << 10
	refusalSize    = 512
)

// callers are those who have called: none of them may take what is there for all.
type callers struct {
	mu      sync.Mutex
	active  tally // calls that are being answered
	refused tally // refusals that are being sent
	unread  map[string]*unread
	inAll   unread
	plans   map[uint32]bool // the users one of whose plans is being made
}

func newCallers() *callers {
	return &callers{
		active: tally{of: make(map[string]int)}, refused: tally{of: make(map[string]int)},
		unread: make(map[string]*unread), plans: make(map[uint32]bool),
	}
}

// tally counts what is done at once, of each sender and in all.
type tally struct {
	of    map[string]int
	inAll int
}

func (t *tally) add(sender string, ofSender, inAll int) bool {
	if t.inAll >= inAll || t.of[sender] >= ofSender {
		return false
	}
	t.inAll++
	t.of[sender]++
	return true
}

func (t *tally) remove(sender string) {
	t.inAll--
	if t.of[sender]--; t.of[sender] == 0 {
		delete(t.of, sender)
	}
}

// unread is what was sent and may not be read yet.
type unread struct {
	bytes int64
	at    time.Time
}

// is returns how much that is now.
func (u *unread) is(now time.Time, perSecond int64) int64 {
	u.bytes = max(0, u.bytes-int64(now.Sub(u.at).Seconds()*float64(perSecond)))
	u.at = now
	return u.bytes
}

// begin says whether a call of a sender is to be answered now. Who is told yes calls end.
func (c *callers) begin(sender string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active.add(sender, callsOfSender, callsInAll)
}

func (c *callers) end(sender string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active.remove(sender)
}

// waiting says whether a call is being answered.
func (c *callers) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active.inAll > 0
}

// beginRefusal says whether a caller is told that there are too many calls. Who is told
// yes calls endRefusal.
func (c *callers) beginRefusal(sender string) bool {
	if !c.maySend(sender, refusalSize, 2*unreadOfSender) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused.add(sender, refusalsOfSender, refusalsInAll)
}

func (c *callers) endRefusal(sender string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused.remove(sender)
}

// replies says whether a reply of so many bytes may be sent, and counts it.
func (c *callers) replies(sender string, bytes int) bool {
	return c.maySend(sender, int64(bytes)+refusalSize, unreadOfSender)
}

func (c *callers) maySend(sender string, bytes, limit int64) bool {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.unread[sender]
	if of == nil {
		c.forget(now)
		of = &unread{}
		c.unread[sender] = of
	}
	// Whoever has long lists sent keeps nobody from asking how a device is, nor for a first
	// list. That one may be of any size.
	mine, all := of.is(now, readOfSender), c.inAll.is(now, readInAll)
	inAll := int64(unreadInAll)
	if bytes <= shortReply || mine == 0 {
		inAll = unreadShort
	}
	if mine > 0 && mine+bytes > limit || all > 0 && all+bytes > inAll {
		return false
	}
	of.bytes += bytes
	c.inAll.bytes += bytes
	return true
}

// forget forgets the senders who must have read everything.
func (c *callers) forget(now time.Time) {
	for name, of := range c.unread {
		if of.is(now, readOfSender) == 0 {
			delete(c.unread, name)
		}
	}
}

// beginPlan says whether a plan may be made for a user: the package manager is asked, and
// has few sessions to give. Who is told yes calls endPlan.
func (c *callers) beginPlan(uid uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.plans[uid] {
		return false
	}
	c.plans[uid] = true
	return true
}

func (c *callers) endPlan(uid uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.plans, uid)
}
