// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// runs is how often the program is run whose CPU time tells how slow a guest is.
const runs = 20

// emulation measures by how much CPU time costs more in the guest than on this
// machine: the same program, driverd itself, says in both what it can do.
func (g *guest) emulation(ctx context.Context, o Options) (f Figure, err error) {
	f = Figure{Name: "the same program (driverd --help) in the guest, and here: the factor", Unit: "ms", PeerName: "here"}
	program, remove, err := unpack(ctx, o.RPM)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	for range o.Repetitions {
		// The shell's times(1p), in the shell itself: its children's are in the last line.
		ms, err := g.number(ctx, runs, `for n in $(seq %d); do driverd --help >/dev/null; done
times >/run/bench-times
tail -n 1 /run/bench-times | awk -F '[ms ]+' '{ print 1e3 * (60*$1 + $2 + 60*$3 + $4) }'`, runs)
		if err != nil {
			return f, err
		}
		f.Driverd = append(f.Driverd, ms)
		var used time.Duration
		for range runs {
			command := exec.CommandContext(ctx, program, "--help")
			if err := command.Run(); err != nil {
				return f, err
			}
			used += command.ProcessState.UserTime() + command.ProcessState.SystemTime()
		}
		f.Peer = append(f.Peer, 1e3*used.Seconds()/runs)
	}
	say("CPU time in the guest costs %.1f times as much as here", f.Ratio())
	return f, nil
}

// unpack takes driverd's program out of its package.
func unpack(ctx context.Context, rpm string) (program string, remove func() error, err error) {
	dir, err := os.MkdirTemp("", "driverd-bench-")
	if err != nil {
		return "", nil, err
	}
	if rpm, err = filepath.Abs(rpm); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	command := exec.CommandContext(ctx, "sh", "-ec", `rpm2cpio "$1" | cpio -idm --quiet ./usr/bin/driverd`, "sh", rpm)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		return "", nil, errors.Join(fmt.Errorf("cannot unpack %s: %w: %s", rpm, err, out), os.RemoveAll(dir))
	}
	return filepath.Join(dir, "usr/bin/driverd"), func() error { return os.RemoveAll(dir) }, nil
}
