// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"driverd/plan"
)

// proveVendor says whether a vendor's driver works, beyond that it has its device: its node is
// there, and its command exits with 0, without rights.
func (c console) proveVendor(ctx context.Context, root, name string) error {
	if filepath.Clean(root) != filepath.Clean(c.root) {
		return status{exitUsage, fmt.Errorf("cannot prove %s in %s: what proves it runs on this system, as its own drop-in says", name, root)}
	}
	v, err := knownVendor(root, name)
	if err != nil {
		return err
	}
	failed := func(err error) error {
		return status{exitFailed, fmt.Errorf("%s does not prove to work: %w", v.Name, err)}
	}
	if v.Node == "" && v.Command == nil {
		return status{exitUnknown, fmt.Errorf("the drop-in of %s does not say what proves that it works: see [proof] in driverd.toml(5)", v.Name)}
	}
	if v.Node != "" {
		if _, err := os.Stat(filepath.Join(root, v.Node)); err != nil {
			return failed(err)
		}
	}
	if v.Command != nil {
		if err := c.runProof(ctx, v); err != nil {
			return failed(err)
		}
	}
	return c.print(v.Name + " works.\n")
}

// runProof runs the command of a vendor's driver, as root as nobody.
func (c console) runProof(ctx context.Context, v plan.Vendor) error {
	command := exec.CommandContext(ctx, v.Command[0], v.Command[1:]...)
	command.Stdout, command.Stderr = c.stdout, c.stderr
	command.Dir, command.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			return err
		}
		uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
		if err != nil {
			return err
		}
		gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
		if err != nil {
			return err
		}
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(v.Command, " "), err)
	}
	return nil
}
