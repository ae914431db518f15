// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"driverd/dnfbridge"
)

const (
	// writeTime is how long the service may take to read a message.
	writeTime = time.Second
	// answerTime is how long it may take to say whether the job is cancelled, or to
	// come back if it has ended.
	answerTime = 10 * time.Second
	// redialTime is how often a step tries to reach a service that is not there.
	redialTime = time.Second
	// socketName is the socket's, in the folder of the requests.
	socketName = "socket"
	// maxLine bounds a message.
	maxLine = 1 << 20 // bytes
)

// message is what a step tells the service. The first one on a connection has all that
// a service has to know that was not there before.
type message struct {
	Job       uint64              `json:"job,omitempty"` // in the first one
	Progress  *dnfbridge.Progress `json:"progress,omitempty"`
	Unpacked  []string            `json:"unpacked,omitempty"` // in the first one
	Coming    []string            `json:"coming,omitempty"`   // what is about to come, or comes
	Ask       bool                `json:"ask,omitempty"`      // whether it may
	Committed bool                `json:"committed,omitempty"`
}

// answer is what the service tells a step: that it may go on, or has to end.
type answer struct {
	Go bool `json:"go"`
}

// ErrStopped is why a step ends that the service has told to.
var ErrStopped = errors.New("the job was cancelled, or is to be a larger one")

// Line is the step's end of the socket. A service that lies, stalls or goes costs at
// most its progress.
type Line struct {
	dial func() (net.Conn, error)
	stop context.CancelCauseFunc // ends the step

	mu      sync.Mutex
	out     chan message // nil while the service is not there, or does not listen
	said    message      // what a service that comes later has to know
	allowed chan struct{}
}

// maxUnread is how many messages wait for a service that does not read them.
const maxUnread = 256

// OpenLine connects a step to the service, and again whenever it was gone, until ctx
// ends. uid is the user of the service. stop ends the step.
func OpenLine(ctx context.Context, dir string, job uint64, uid uint32, stop context.CancelCauseFunc) *Line {
	return openLine(ctx, job, stop, func() (net.Conn, error) { return call(filepath.Join(dir, socketName), uid) })
}

// call connects to a socket of a user's own, in a folder of the same user's: to no other
// one, which a link might lead to.
func call(path string, uid uint32) (net.Conn, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	var stat unix.Stat_t
	switch err := unix.Fstat(fd, &stat); {
	case err != nil:
		return nil, err
	case stat.Mode&unix.S_IFMT != unix.S_IFSOCK || stat.Uid != uid:
		return nil, fmt.Errorf("%s is no socket of user %d", path, uid)
	}
	conn, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return nil, err
	}
	if err := ofUser(conn, uid); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func openLine(ctx context.Context, job uint64, stop context.CancelCauseFunc, dial func() (net.Conn, error)) *Line {
	l := &Line{dial: dial, stop: stop, said: message{Job: job}, allowed: make(chan struct{}, 1)}
	go l.keep(ctx)
	return l
}

// ofUser is an error if the other end of a socket is not of that user.
func ofUser(conn net.Conn, uid uint32) error {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) { peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if failed == nil && peer.Uid != uid {
		failed = fmt.Errorf("the other end is of user %d, want %d", peer.Uid, uid)
	}
	return failed
}

// keep keeps the connection.
func (l *Line) keep(ctx context.Context) {
	for ctx.Err() == nil {
		if conn, err := l.dial(); err == nil {
			l.talk(ctx, conn)
		}
		select {
		case <-time.After(redialTime):
		case <-ctx.Done():
		}
	}
}

// talk talks on a connection until that ends: the service hangs up, or reads too
// slowly.
func (l *Line) talk(ctx context.Context, conn net.Conn) {
	hangUp := func() { _ = conn.Close() }
	defer hangUp()
	defer context.AfterFunc(ctx, hangUp)()
	out := make(chan message, maxUnread)
	l.mu.Lock()
	l.out = out
	first := l.said
	l.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(conn)
		var a answer
		for lines.Scan() && json.Unmarshal(lines.Bytes(), &a) == nil {
			l.hear(a)
		}
	}()
	for m, more := first, true; more && write(conn, m) == nil; {
		select {
		case m, more = <-out:
		case <-ended:
			more = false
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out == out {
		l.out = nil
	}
}

// write writes a message, or whatever else, as a line.
func write(conn net.Conn, m any) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_ = conn.SetWriteDeadline(time.Now().Add(writeTime))
	_, err = conn.Write(append(text, '\n'))
	return err
}

// hear takes an answer, or a word to stop, which comes at any time before the last
// moment.
func (l *Line) hear(a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case a.Go && l.said.Ask:
		select {
		case l.allowed <- struct{}{}:
		default:
		}
	case !a.Go && !l.said.Committed:
		l.stop(ErrStopped)
	}
}

// send sends a message, if somebody is there, and waits for nobody; l.mu is locked.
func (l *Line) send(m message) {
	if l.out == nil {
		return
	}
	select {
	case l.out <- m:
	default:
		close(l.out)
		l.out = nil
	}
}

// Progress tells the service how far the transaction is.
func (l *Line) Progress(p dnfbridge.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch p.Phase {
	case dnfbridge.PhaseResolve: // also when what was to come has not begun
		l.said.Ask, l.said.Committed, l.said.Coming = false, false, nil
	case dnfbridge.PhaseUnpacked:
		l.said.Unpacked = append(l.said.Unpacked, p.Package)
	}
	l.said.Progress = &p
	l.send(message{Progress: &p})
}

// Ask asks the service whether the job is cancelled, and returns nil if the
// transaction may begin: also if nobody answers.
func (l *Line) Ask(ctx context.Context, coming []string) error {
	l.mu.Lock()
	select {
	case <-l.allowed: // of a try that has not begun
	default:
	}
	l.said.Ask, l.said.Coming = true, slices.Clone(coming)
	l.send(message{Ask: true, Coming: coming})
	l.mu.Unlock()
	patience := time.NewTimer(answerTime)
	defer patience.Stop()
	select {
	case <-l.allowed:
	case <-patience.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l.said.Ask, l.said.Committed = false, true
	return nil
}
