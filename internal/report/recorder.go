// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"driverd/api"
	"driverd/daemon/config"
	"driverd/hwdetect"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/modprobe"
	"driverd/hwdetect/sysfs"
	"driverd/internal/guest"
	"driverd/internal/printable"
	"driverd/internal/redact"
	"driverd/internal/tree"
	"driverd/plan"
)

const (
	pciDevices     = "sys/bus/pci/devices"
	modulesDir     = "lib/modules"
	journalEntries = "20000" // the newest; some megabytes
	maxFile        = 32 << 20
)

// recorder copies what is under the root of its source to the same place in out,
// and adds what the service says. What cannot be had is lacking; an error is
// what cannot be written.
type recorder struct {
	Source
	out     *os.Root
	release string
	slots   []hwdetect.Slot
	summary Summary
}

func (r *recorder) lack(format string, args ...any) {
	r.summary.Lacks = append(r.summary.Lacks, fmt.Sprintf(format, args...))
}

// write makes a file that nobody else may read: what is taken out of a record is what
// is known to be none of anybody's business.
func (r *recorder) write(name string, data []byte) error {
	if err := r.mkdir(filepath.Dir(name)); err != nil {
		return err
	}
	file, err := r.out.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}

func (r *recorder) mkdir(name string) error { return r.out.MkdirAll(name, 0o700) }

// copy copies one file from the same place below the root.
func (r *recorder) copy(name string, needed bool) error {
	return r.copyFrom(tree.At(r.Root), name, name, nil, needed)
}

// copyFrom copies one file of a tree, changed by edit if there is something to change.
// One that does not exist is lacking if it is needed.
func (r *recorder) copyFrom(from tree.Tree, file, name string, edit func([]byte) []byte, needed bool) error {
	data, err := from.Read(file, maxFile)
	if err != nil {
		if needed || !errors.Is(err, fs.ErrNotExist) {
			r.lack("%s: %v", name, cause(err))
		}
		return nil
	}
	if edit != nil {
		data = edit(data)
	}
	return r.write(name, data)
}

// cause leaves out the path that an error of a file begins with.
func cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// hardware copies what sysfs says of the devices, as far as driverd reads it.
func (r *recorder) hardware(context.Context) error {
	devices, err := sysfs.New(r.Root).Devices()
	if err != nil {
		r.lack("the devices: %v", err)
		return nil
	}
	r.summary.Devices = len(devices)
	for _, d := range devices {
		r.slots = append(r.slots, d.Slot)
		dir := filepath.Join(pciDevices, d.Slot.String())
		if err := r.mkdir(dir); err != nil {
			return err
		}
		for _, name := range sysfs.Attributes {
			if err := r.copy(filepath.Join(dir, name), false); err != nil {
				return err
			}
		}
		for _, name := range sysfs.Links {
			target, err := os.Readlink(filepath.Join(r.Root, dir, name))
			if err == nil {
				err = r.out.Symlink(target, filepath.Join(dir, name))
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if d.Driver == "" {
			continue
		}
		if err := r.parts(d.Slot); err != nil {
			return err
		}
	}
	return nil
}

// kernel copies the index of the running kernel's modules.
func (r *recorder) kernel(context.Context) (err error) {
	if r.release, err = guest.Kernel(r.Root); err != nil {
		r.lack("the module index: %v", err)
		return nil
	}
	dir := filepath.Join(modulesDir, r.release)
	if err := r.mkdir(dir); err != nil {
		return err
	}
	for _, name := range kmod.Files {
		if err := r.copy(filepath.Join(dir, name), false); err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) configuration(context.Context) error {
	files, err := config.Files(r.Root)
	if err != nil {
		r.lack("the configuration: %v", err)
	}
	for _, path := range files {
		name, err := filepath.Rel(r.Root, path)
		if err != nil {
			return err
		}
		if err := r.copy(name, true); err != nil {
			return err
		}
	}
	// The command line holds more than its part about modules, and what is no file forbids nothing.
	for name, text := range modprobe.Texts(r.Root) {
		if err := r.write(name, []byte(redact.Report(text))); err != nil {
			return err
		}
	}
	return nil
}

// state copies what the service keeps: the catalog, which lists the packages of
// the kernel, the history, and the mode. No link is followed out of its folder: the
// user driverd can write to it, and root may be who records.
func (r *recorder) state(context.Context) error {
	dir, err := tree.At(r.Root).Folder(guest.StateDir)
	if err != nil {
		r.lack("what the service keeps: %v", err)
		return nil
	}
	kept := tree.At(dir)
	keep := func(name string, edit func([]byte) []byte, needed bool) {
		err = errors.Join(err, r.copyFrom(kept, name, filepath.Join(guest.StateDir, name), edit, needed))
	}
	if r.release != "" {
		keep("catalog-"+r.release+".json", nil, true)
	}
	keep("history.json", redactJSON, false)
	keep("mode", nil, false)
	return err
}

// service adds what the service says, or else what it would decide.
func (r *recorder) service(ctx context.Context) error {
	explain := func(slot string) (api.Explanation, error) {
		subject, err := plan.ParseSubject(slot)
		if err != nil {
			return api.Explanation{}, err
		}
		return guest.Explain(slot, subject, r.Root)
	}
	var status Status
	client, err := api.Connect(ctx, r.Bus)
	if err == nil {
		defer func() { _ = client.Close() }()
		client.Wake = r.AtRest
		status, err = ReadStatus(ctx, client)
	}
	closed := r.Gate()
	switch {
	case err == nil:
		explain = func(slot string) (api.Explanation, error) { return client.Explain(ctx, slot) }
	case closed != nil:
		status = Inactive(r.Version, closed)
	default:
		r.lack("what the service says: %v; the explanations are what it would decide", err)
	}
	if status.Status != "" {
		if err := r.writeJSON("status.json", status); err != nil {
			return err
		}
	}
	for _, slot := range r.slots {
		x, err := explain(slot.String())
		if err != nil {
			r.lack("the explanation of %s: %v", slot, err)
			continue
		}
		if err := r.writeJSON(filepath.Join("explain", slot.String()+".json"), x); err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) writeJSON(name string, v any) error {
	var b bytes.Buffer
	if err := WriteJSON(&b, v); err != nil {
		return err
	}
	return r.write(name, redactJSON(b.Bytes()))
}

// literal is a string of JSON.
var literal = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// redactJSON takes out of each string of a text of JSON what redact.Report does. What is
// no JSON is a text as any other.
func redactJSON(text []byte) []byte {
	if !json.Valid(text) {
		return redactText(text)
	}
	return literal.ReplaceAllFunc(text, func(quoted []byte) []byte {
		var value string
		if json.Unmarshal(quoted, &value) != nil {
			return nil // it cannot be: the text is valid
		}
		edited := redact.Report(value)
		if edited == value {
			return quoted
		}
		quoted, _ = json.Marshal(edited) // a string always can be
		return quoted
	})
}

func redactText(text []byte) []byte { return []byte(redact.Report(string(text))) }

// journal adds what the service and its load steps have logged.
func (r *recorder) journal(ctx context.Context) error {
	var problem strings.Builder
	journalctl := exec.CommandContext(ctx, "journalctl", "--quiet", "--no-pager", "--no-hostname", "--output=short-iso-precise",
		"--lines="+journalEntries, "--unit=driverd.service", "--unit=driverd-load@*.service")
	journalctl.Stderr = &problem
	text, err := journalctl.Output()
	switch {
	case err != nil:
		r.lack("the journal of the service: %s", cmp.Or(strings.TrimSpace(problem.String()), err.Error()))
		return nil
	case len(text) == 0:
		r.lack("the journal of the service: it has no entries, or none that you may read; root may read all")
		return nil
	}
	return r.write("journal", redactText(text))
}

// kernelLog adds what the kernel has logged about the devices, in its own form.
func (r *recorder) kernelLog(context.Context) error {
	log, err := guest.KernelLog(r.Root)
	if errors.Is(err, fs.ErrPermission) {
		r.lack("what the kernel has logged about the devices: you may not read it; root may")
	}
	var kept strings.Builder
	for _, e := range log {
		if slices.ContainsFunc(r.slots, func(s hwdetect.Slot) bool { return e.Mentions(s.String()) }) {
			kept.WriteString(e.Record)
		}
	}
	if kept.Len() == 0 {
		return nil
	}
	return r.write("dev/kmsg", redactText([]byte(kept.String())))
}

// about says what a record is, and what it lacks.
func (r *recorder) about() string {
	return fmt.Sprintf("driverd %s recorded %s of a guest with kernel %s at %s.\nTo read it: driverd explain --root . SLOT\n%s",
		r.Version, r.summary.Counted(), cmp.Or(r.release, "unknown"), time.Now().UTC().Format(time.RFC3339), r.summary.LacksText(printable.Columns))
}
