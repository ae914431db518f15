// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// startAgent lets polkit ask for a password on this terminal, as systemctl(1)
// does. Root is never asked; where polkit's agent is missing, nobody is.
func startAgent(ctx context.Context) (stop func()) {
	stop = func() {}
	if os.Geteuid() == 0 {
		return stop
	}
	registered, notify, err := os.Pipe()
	if err != nil {
		return stop
	}
	defer func() { _ = registered.Close() }()
	agent := exec.CommandContext(ctx, "pkttyagent", "--notify-fd=3", "--fallback", "--process="+strconv.Itoa(os.Getpid()))
	agent.ExtraFiles = []*os.File{notify}
	err = agent.Start()
	_ = notify.Close()
	if err != nil {
		return stop
	}
	_, _ = io.Copy(io.Discard, registered) // ends when it is registered, or has ended
	return func() {
		_ = agent.Process.Signal(syscall.SIGTERM) // it puts the terminal right
		_ = agent.Wait()
	}
}
