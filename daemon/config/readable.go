// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"driverd/internal/tree"
)

// serviceUser is whom the service runs as, without a privilege.
const serviceUser = "driverd"

// Readable says which of the files under root the service cannot read although who asks
// can. It goes by their permissions, and knows nothing of access control lists.
func Readable(root string) error {
	names, err := files(root)
	if err != nil {
		return err
	}
	vendors, err := vendorPaths(root)
	if err != nil {
		return err
	}
	names = slices.Concat(names, vendors)
	reader := userOf(root)
	var problems []error
	for _, name := range append([]string{vendorDir, localDir, shippedVendors, localVendors}, names...) {
		problems = append(problems, reader.reads(root, name))
	}
	return errors.Join(problems...)
}

// user is who reads.
type user struct {
	exists bool // else no file belongs to it
	uid    uint32
	groups []uint32
}

// userOf finds the service's user in passwd(5) and group(5) of the guest under root. One
// that does not exist has no rights but those of everybody.
func userOf(root string) (u user) {
	number := func(text string) uint32 {
		n, err := strconv.ParseUint(text, 10, 32)
		u.exists = u.exists && err == nil
		return uint32(n)
	}
	lines := func(name string, fields int) (all [][]string) {
		text, _ := tree.At(root).Read(name, maxFile)
		for line := range strings.Lines(string(text)) {
			if split := strings.Split(strings.TrimSpace(line), ":"); len(split) >= fields {
				all = append(all, split)
			}
		}
		return all
	}
	for _, f := range lines("etc/passwd", 4) {
		if f[0] == serviceUser {
			u.exists = true
			u.uid, u.groups = number(f[2]), []uint32{number(f[3])}
		}
	}
	for _, f := range lines("etc/group", 4) {
		if slices.Contains(strings.Split(f[3], ","), serviceUser) {
			u.groups = append(u.groups, number(f[2]))
		}
	}
	return u
}

// reads says why the user cannot read a file or a folder, nil if it can, or if there is
// none. The folder root itself is the guest's "/".
func (u user) reads(root, name string) error {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	path := filepath.Join(root, name)
	reached, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	const search, read = 1, 4
	need := fs.FileMode(read)
	for at := reached; err == nil && at != root && at != "/"; at = filepath.Dir(at) {
		var info fs.FileInfo
		if info, err = os.Stat(at); err == nil && !info.Mode().IsDir() && !info.Mode().IsRegular() {
			return nil // Load says what is wrong with it
		}
		if err == nil && u.may(info)&need != need {
			err = &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
		}
		need = search
	}
	if err != nil {
		return fmt.Errorf("cannot read the configuration as the user %s, whom the service runs as: %w: let everybody read it, or the group %s", serviceUser, err, serviceUser)
	}
	return nil
}

// may returns the three bits of what the user may do.
func (u user) may(info fs.FileInfo) fs.FileMode {
	mode := info.Mode().Perm()
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !u.exists:
		return mode & 7
	case owner.Uid == u.uid:
		return mode >> 6 & 7
	case slices.Contains(u.groups, owner.Gid):
		return mode >> 3 & 7
	}
	return mode & 7
}
