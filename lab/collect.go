// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// evidence is what Collect asks a guest for, by the name of the file it saves.
var evidence = map[string]string{
	"journal":  "journalctl --no-pager -b",
	"dmesg":    "echo w >/proc/sysrq-trigger; dmesg", // with what each task waits for that hangs
	"bus":      "busctl tree --no-pager org.fedoraproject.Driverd1",
	"units":    "systemctl --no-pager --all list-units",
	"pci":      "lspci -nnk -D",
	"packages": "rpm -qa | sort",
	"history":  "cat /var/log/dnf5.log",
}

// Journal returns what a unit logged since the guest's last boot.
func (g *Guest) Journal(ctx context.Context, unit string) (string, error) {
	return g.Output(ctx, "journalctl --no-pager -b -o short-monotonic -u '"+unit+"'")
}

// Collect saves what a failure is understood by into dir: the guest's journal,
// kernel log, bus tree, units, devices and packages as far as it still answers,
// the serial console, what QEMU said, and what it says the processors do.
func (g *Guest) Collect(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot collect a guest's logs: %w", err)
	}
	var errs []error
	save := func(name string, data []byte, err error) {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o644)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot collect the guest's %s: %w", name, err))
		}
	}
	for _, name := range []string{"console", "qemu"} {
		data, err := os.ReadFile(filepath.Join(g.dir, name))
		save(name, data, err)
	}
	cpus, err := g.processors()
	save("processors", []byte(cpus), err)
	// A test that failed may have used up its time: the guest gets its own.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for name, script := range evidence {
		r, err := g.Run(ctx, script)
		save(name, []byte(r.Stdout+r.Stderr), err)
	}
	return errors.Join(errs...)
}

// processors is where the guest's processors are, three times in two seconds:
// that tells a guest that hangs from one that is slow, and needs no answer of it.
func (g *Guest) processors() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var all strings.Builder
	for n := range 3 {
		if n > 0 {
			time.Sleep(time.Second)
		}
		for _, command := range []string{"info status", "info registers -a", "info lapic"} {
			var said string
			if err := g.qmp.execute(ctx, "human-monitor-command", map[string]any{"command-line": command}, &said); err != nil {
				return "", err
			}
			all.WriteString(said)
		}
	}
	return all.String(), nil
}
