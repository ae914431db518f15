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

// Collect saves what a failure is understood by into dir: the guest's journal,
// kernel log, bus tree, units, devices and packages as far as it still answers,
// the serial console, what QEMU said, and what it says the processors do.
func (g *Guest) Collect(dir string) error {
	c := collection{dir: dir}
	c.qemu(g, "")
	c.ask(g.System, evidence)
	return c.close()
}

// collection is a folder that evidence is saved into, and what went wrong with that.
type collection struct {
	dir  string
	errs []error
}

func (c *collection) save(name string, data []byte, err error) {
	if err == nil {
		err = os.MkdirAll(c.dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(c.dir, name), data, 0o644)
	}
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("cannot collect the guest's %s: %w", name, err))
	}
}

// qemu saves what QEMU has of a guest, under names that begin with prefix.
func (c *collection) qemu(g *Guest, prefix string) {
	for _, name := range []string{"console", "qemu"} {
		data, err := os.ReadFile(filepath.Join(g.dir, name))
		c.save(prefix+name, data, err)
	}
	cpus, err := g.processors()
	c.save(prefix+"processors", []byte(cpus), err)
}

// ask saves what scripts print, by the names of the files.
func (c *collection) ask(system System, scripts map[string]string) {
	// A test that failed may have used up its time: the guest gets its own.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for name, script := range scripts {
		r, err := system.Run(ctx, script)
		c.save(name, []byte(r.Stdout+r.Stderr), err)
	}
}

func (c *collection) close() error { return errors.Join(c.errs...) }

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
