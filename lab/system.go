// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// System is an operating system that runs: a guest's, or one in a guest. Its methods may
// be called from several goroutines.
type System struct {
	agent *agent
}

// Run runs a script with /bin/sh as root in the guest. An exit code other than
// 0 is a result, not an error.
func (system System) Run(ctx context.Context, script string) (Result, error) {
	return system.agent.run(ctx, script)
}

// Output runs a script like Run and returns its standard output; an exit code
// other than 0 is an error.
func (system System) Output(ctx context.Context, script string) (string, error) {
	r, err := system.Run(ctx, script)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("cannot run %q in the guest: exit code %d: %s%s", script, r.Code, tail([]byte(r.Stdout)), tail([]byte(r.Stderr)))
	}
	return r.Stdout, err
}

// longer is the pause between two questions to the guest after one that long: an
// emulated guest takes a tenth of a second to answer one, and has better to do.
func longer(pause time.Duration) time.Duration { return min(pause*5/4, time.Second) }

// Until runs a script again and again until its exit code is 0, and returns
// what it then printed. At the end of ctx the error says how it ended last.
func (system System) Until(ctx context.Context, script string) (string, error) {
	var last error
	for pause := 100 * time.Millisecond; ; pause = longer(pause) {
		out, err := system.Output(ctx, script)
		if err == nil {
			return out, nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", errors.Join(context.Cause(ctx), last)
		}
	}
}

// Journal returns what a unit logged since the guest's last boot.
func (system System) Journal(ctx context.Context, unit string) (string, error) {
	return system.Output(ctx, "journalctl --no-pager -b -o short-monotonic -u '"+unit+"'")
}
