// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// agent is a client of the QEMU guest agent (QEMU: qga/qapi-schema.json), which
// runs commands in the guest. Its protocol has no ids: one request at a time.
type agent struct {
	network, address string // its socket, as net.Dial takes it

	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
	sync int
}

// Result is how a command in the guest ended.
type Result struct {
	Stdout string
	Stderr string
	Code   int // the exit code; 128+N if signal N ended it, as a shell says it
}

// dial (re)opens the connection. The agent may not run yet: QEMU keeps what is
// sent until the guest opens its end.
func (a *agent) dial(ctx context.Context) error {
	if a.conn != nil {
		_ = a.conn.Close()
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, a.network, a.address)
	if err != nil {
		return fmt.Errorf("cannot reach the guest agent's socket: %w", err)
	}
	a.conn, a.in = conn, bufio.NewReader(conn)

	// 0xff makes the agent forget a half-read request, and it answers with 0xff
	// before the reply: whatever comes before that was for someone else.
	a.sync++
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return fmt.Errorf("cannot talk to the guest agent: %w", err)
	}
	if _, err := fmt.Fprintf(conn, "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%d}}\n", a.sync); err != nil {
		return fmt.Errorf("cannot talk to the guest agent: %w", err)
	}
	for {
		if _, err := a.in.ReadBytes(0xff); err != nil {
			return fmt.Errorf("cannot hear the guest agent: %w", err)
		}
		var reply struct{ Return int }
		line, err := a.in.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("cannot hear the guest agent: %w", err)
		}
		if json.Unmarshal(line, &reply) == nil && reply.Return == a.sync {
			return nil
		}
	}
}

// execute sends one request and reads its reply. Without a deadline in ctx it
// gives the agent a minute: no request of ours takes longer.
func (a *agent) execute(ctx context.Context, command string, args, result any) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if a.conn == nil {
		if err := a.dial(ctx); err != nil {
			a.drop() // what answers it may still come
			return err
		}
	}
	conn := a.conn
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline) // fails on a closed connection, and so will the write
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()

	err := json.NewEncoder(conn).Encode(map[string]any{"execute": command, "arguments": args})
	var line []byte
	if err == nil {
		line, err = a.in.ReadBytes('\n')
	}
	if err != nil {
		a.drop() // the reply may still come: the next request begins on a clean line
		return fmt.Errorf("cannot %s: %w", command, errors.Join(context.Cause(ctx), err))
	}
	reply := struct {
		Return any
		Error  *struct{ Desc string }
	}{Return: result}
	if err := json.Unmarshal(line, &reply); err != nil {
		return fmt.Errorf("cannot read the reply to %s: %w", command, err)
	}
	if reply.Error != nil {
		return fmt.Errorf("cannot %s: %s", command, reply.Error.Desc)
	}
	return nil
}

// await asks until the agent answers. This is for a serial port or a TCP port, of which
// QEMU does not know whether anybody has opened it in the guest.
func (a *agent) await(ctx context.Context) error {
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := a.execute(once, "guest-ping", map[string]any{}, nil)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond): // a TCP port refuses at once
		case <-ctx.Done():
			return fmt.Errorf("the guest agent did not come up: %w", errors.Join(context.Cause(ctx), err))
		}
	}
}

// close ends the connection.
func (a *agent) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop()
}

func (a *agent) drop() {
	if a.conn != nil {
		_ = a.conn.Close()
		a.conn = nil
	}
}

// start starts a script with /bin/sh in the guest and returns its pid.
func (a *agent) start(ctx context.Context, script string) (int, error) {
	var started struct{ PID int }
	err := a.execute(ctx, "guest-exec", map[string]any{
		"path": "/bin/sh", "arg": []string{"-c", script}, "capture-output": true,
	}, &started)
	return started.PID, err
}

// run runs a script in the guest and waits for its end. When ctx ends first the
// script goes on.
func (a *agent) run(ctx context.Context, script string) (Result, error) {
	pid, err := a.start(ctx, script)
	if err != nil {
		return Result{}, err
	}
	// The agent tells nobody that a command has ended: it is asked, at first
	// often, for most commands are short.
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		var status struct {
			Exited   bool
			ExitCode int    `json:"exitcode"`
			Signal   int    `json:"signal"`
			Out      []byte `json:"out-data"` // base64, as encoding/json has it
			Err      []byte `json:"err-data"`
		}
		if err := a.execute(ctx, "guest-exec-status", map[string]any{"pid": pid}, &status); err != nil {
			return Result{}, err
		}
		if status.Exited {
			code := status.ExitCode
			if status.Signal != 0 {
				code = 128 + status.Signal
			}
			return Result{Stdout: string(status.Out), Stderr: string(status.Err), Code: code}, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return Result{}, fmt.Errorf("cannot wait for a command in the guest: %w", context.Cause(ctx))
		}
	}
}
