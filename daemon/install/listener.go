// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// listener is the service's end of the socket: it brings the steps together with those
// who wait for them.
type listener struct {
	root uint32 // the user of the steps

	mu      sync.Mutex
	waiting map[uint64]*follower // by job
}

// follower waits for a step.
type follower struct {
	messages chan message
	done     chan struct{} // closed when nobody listens any more

	mu   sync.Mutex
	conn net.Conn // to the step; nil as long as it has not called
}

// listen makes the socket in a folder, and takes calls of steps from then on.
func listen(dir string, root uint32) (*listener, error) {
	path := filepath.Join(dir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot listen to the install steps: %w", err)
	}
	socket, err := net.Listen("unix", path)
	if err == nil {
		// A step is root without capabilities: one of the others. Who else calls is sent away.
		err = os.Chmod(path, 0o666)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen to the install steps: %w", err)
	}
	l := &listener{root: root, waiting: make(map[uint64]*follower)}
	go func() {
		for {
			conn, err := socket.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go l.take(conn)
			}
		}
	}()
	return l, nil
}

// take brings a step together with who waits for it.
func (l *listener) take(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	if ofUser(conn, l.root) != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(answerTime))
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxLine)
	var first message
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &first) != nil {
		return
	}
	f := l.follower(first.Job)
	if f == nil {
		return // nobody waits for it: it goes on alone
	}
	f.mu.Lock()
	f.conn = conn // before it is heard: it may ask
	f.mu.Unlock()
	_ = conn.SetReadDeadline(time.Time{})
	for m, err := first, error(nil); err == nil && f.hear(m) && lines.Scan(); {
		m = message{}
		err = json.Unmarshal(lines.Bytes(), &m)
	}
}

// hear passes a message on, and says whether somebody listens.
func (f *follower) hear(m message) bool {
	select {
	case f.messages <- m:
		return true
	case <-f.done:
		return false
	}
}

// tell tells the step whether it may go on. A step that is not there does not hear it.
func (f *follower) tell(mayGo bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn == nil {
		return
	}
	_ = write(f.conn, answer{mayGo})
}

// refuse tells the step to end, each time that it says something, until it has ended: so it
// hears that although it has not called yet, or calls anew.
func (f *follower) refuse(ended <-chan string) {
	for {
		f.tell(false)
		select {
		case <-f.messages:
		case <-ended:
			return
		}
	}
}

// follower returns who waits for the step of a job, nil if nobody does.
func (l *listener) follower(job uint64) *follower {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting[job]
}

// follow waits for the step of a job, until leave.
func (l *listener) follow(job uint64) *follower {
	f := &follower{messages: make(chan message), done: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting[job] = f
	return f
}

func (l *listener) leave(job uint64) {
	l.mu.Lock()
	f := l.waiting[job]
	delete(l.waiting, job)
	l.mu.Unlock()
	close(f.done)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn != nil {
		_ = f.conn.Close()
	}
}
