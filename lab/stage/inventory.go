// SPDX-License-Identifier: Apache-2.0

package stage

import (
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

	"golang.org/x/sys/unix"
)

// An inventory says how much a stage held when it was built. It lies beside it.
func inventoryFile(final string) string { return final + ".inventory" }

// inventory counts the files below dir and their bytes: a cache that was cut short,
// by a full disk or a hand, has fewer.
func inventory(dir string) (string, error) {
	files, bytes := 0, int64(0)
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if files++; info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return nil
	})
	return fmt.Sprintf("%d files, %d bytes\n", files, bytes), err
}

// note writes the inventory of the stage that lies in dir, and is to lie in final.
func note(dir, final string) error {
	text, err := inventory(dir)
	if err != nil {
		return err
	}
	return os.WriteFile(inventoryFile(final), []byte(text), 0o644)
}

// whole returns nil if the stage is what was built, os.ErrNotExist if there is none.
func whole(final string) error {
	if _, err := os.Stat(final); err != nil {
		return err
	}
	want, err := os.ReadFile(inventoryFile(final))
	if err != nil {
		return errors.New("its inventory is gone") // there is a stage: not os.ErrNotExist
	}
	got, err := inventory(final)
	if err != nil {
		return err
	}
	if got != string(want) {
		return fmt.Errorf("it holds %s, and held %s", strings.TrimSpace(got), strings.TrimSpace(string(want)))
	}
	return nil
}

// enough says whether a stage finds room in the cache.
func enough(cache string) error {
	var free unix.Statfs_t
	if err := unix.Statfs(cache, &free); err != nil {
		return fmt.Errorf("cannot see how much is free in %s: %w", cache, err)
	}
	if got := free.Bavail * uint64(free.Bsize); got < room {
		return fmt.Errorf("%s has %.1f GB free, and building needs %.1f GB: make room, or set DRIVERD_LAB to a folder that has it",
			cache, float64(got)/1e9, float64(room)/1e9)
	}
	return nil
}

// Stages that nobody uses are removed: of one name all but the latest, as an edit
// is often taken back, and whatever was not used for so long.
const (
	keepOfName = 2
	keepUnused = 7 * 24 * time.Hour
)

// known matches what lies in the cache for a stage: its folder, and beside it what
// is named after it.
var known = regexp.MustCompile(`^((.+)-[0-9a-f]{16})(\.half|\.lock|\.inventory)?$`)

// sweep makes room for another stage of that name.
func sweep(cache, name string) error {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return fmt.Errorf("cannot list the stages: %w", err)
	}
	last := make(map[string]time.Time) // use, by folder
	var same []string
	for _, entry := range entries {
		m := known.FindStringSubmatch(entry.Name())
		info, err := entry.Info()
		if m == nil || err != nil { // nothing of ours, or gone
			continue
		}
		final := filepath.Join(cache, m[1])
		if last[final].IsZero() && m[2] == name {
			same = append(same, final)
		}
		if info.ModTime().After(last[final]) {
			last[final] = info.ModTime()
		}
	}
	// The one that is to be built is among them, the latest: its lock is new.
	slices.SortFunc(same, func(a, b string) int { return last[b].Compare(last[a]) })
	for final, used := range last {
		if time.Since(used) > keepUnused || slices.Index(same, final) >= keepOfName {
			if err := drop(final); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop removes a stage unless somebody uses it.
func drop(final string) error {
	l, err := try(final, alone)
	if l == nil || err != nil {
		return err
	}
	defer l.release()
	if err := errors.Join(remove(final), remove(final+".half")); err != nil {
		return err
	}
	for _, file := range []string{inventoryFile(final), lockFile(final)} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove an old stage: %w", err)
		}
	}
	return nil
}

// remove removes a folder but nothing that is mounted inside it, which
// os.RemoveAll would empty.
func remove(dir string) error {
	if out, err := exec.Command("rm", "-rf", "--one-file-system", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot remove %s: %w: %s", dir, err, out)
	}
	return nil
}
