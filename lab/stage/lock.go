// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The two ways to lock a stage: to use it beside others, and to build or remove it.
const (
	shared = unix.LOCK_SH
	alone  = unix.LOCK_EX
)

// lock is a lock on one stage: a file beside it, so that it can be locked before it
// is there. The time of the file is that of the stage's last use.
type lock struct{ file *os.File }

func lockFile(final string) string { return final + ".lock" }

// take locks a stage. It waits for whoever is in the way, and says who that is.
func take(ctx context.Context, final string, how int) (*lock, error) {
	said := false
	for {
		l, err := try(final, how)
		if l != nil || err != nil {
			return l, err
		}
		if !said {
			said = true
			Say("waiting for %s, which %s has locked", filepath.Base(final), holders(lockFile(final)))
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot lock %s: %w", final, context.Cause(ctx))
		}
	}
}

// try locks a stage if nobody is in the way; if somebody is, it returns no lock.
func try(final string, how int) (*lock, error) {
	file, err := os.OpenFile(lockFile(final), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", final, err)
	}
	l := &lock{file}
	err = unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
	if err == nil && l.current() {
		return l, nil
	}
	l.release()
	if err == nil || errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil // it is held, or was removed with its stage just now
	}
	return nil, fmt.Errorf("cannot lock %s: %w", final, err)
}

// current says whether the file that is locked is the one that others will lock.
func (l *lock) current() bool {
	mine, err := l.file.Stat()
	if err != nil {
		return false
	}
	theirs, err := os.Stat(l.file.Name())
	return err == nil && os.SameFile(mine, theirs)
}

// used notes that the stage is in use now.
func (l *lock) used() error {
	now := time.Now()
	if err := os.Chtimes(l.file.Name(), now, now); err != nil {
		return fmt.Errorf("cannot note the use of a stage: %w", err)
	}
	return nil
}

func (l *lock) release() { _ = l.file.Close() }

// holders says which processes hold a lock on a file: see proc_locks(5).
func holders(path string) string {
	info, err := os.Stat(path)
	locks, lerr := os.ReadFile("/proc/locks")
	if err != nil || lerr != nil {
		return "another run"
	}
	inode := ":" + strconv.FormatUint(info.Sys().(*syscall.Stat_t).Ino, 10)
	var found []string
	for line := range strings.Lines(string(locks)) {
		// "3: FLOCK  ADVISORY  WRITE 705 08:02:131 0 EOF"
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" || !strings.HasSuffix(fields[5], inode) {
			continue
		}
		command, _ := os.ReadFile("/proc/" + fields[4] + "/cmdline")
		words := bytes.ReplaceAll(bytes.TrimRight(command, "\x00"), []byte{0}, []byte{' '})
		found = append(found, fmt.Sprintf("process %s (%s)", fields[4], bytes.TrimSpace(words)))
	}
	if len(found) == 0 {
		return "another run"
	}
	return strings.Join(found, " and ")
}
