// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"

	"driverd/internal/redact"
	"driverd/reason"
)

// checkSignatures is an error unless each package that is about to come is signed by
// a key that this guest trusts already, and is the one that the metadata says it is. For
// root, dnf5daemon imports the keys that a repository names without asking anybody
// (since 5.4.2.1), and installs from a repository without gpgcheck.
func (a *attempt) checkSignatures(ctx context.Context, verify func(ctx context.Context, files []string) error, root string, items []item) error {
	repos, err := a.repositories(ctx)
	if err != nil {
		return err
	}
	// What dnf has fetched it calls as the repository does, so what is in it counts.
	fetched := func(folders string) []string {
		return filesBelow(filepath.Join(root, cacheDir, folders, "packages"), "*.rpm")
	}
	var files []string
	for _, i := range items {
		if !i.comes() {
			continue
		}
		nevra := i.nevra()
		found := holding(nevra, fetched(repos.folder[i.repo()]))
		if len(found) == 0 { // where else dnf might have it, which must be trusted then wherever it is
			candidates := fetched("*")
			for _, dir := range repos.local {
				for _, depth := range []string{"", "*", "*/*"} {
					candidates = slices.Concat(candidates, filesBelow(filepath.Join(root, dir, depth), fileName(nevra)))
				}
			}
			found = holding(nevra, candidates)
		}
		if len(found) == 0 {
			return reason.With(reason.UntrustedPackage, fmt.Errorf("cannot check the signature of %s: no file holds it where dnf keeps what it installs", nevra))
		}
		files = append(files, found...)
	}
	return verify(ctx, files)
}

// holding are those of the files that hold a package; of others nothing is asked.
func holding(nevra string, files []string) []string {
	return slices.DeleteFunc(slices.Clone(files), func(file string) bool {
		holds, err := nevraIn(file)
		return err != nil || holds != nevra
	})
}

// filesBelow are the files of that name in folders; of one that cannot be searched, none.
func filesBelow(dirs, name string) []string {
	matches, _ := filepath.Glob(filepath.Join(dirs, name))
	return matches
}

// fileName is what the file of a package is called: its NEVRA, without an epoch.
func fileName(nevra string) string {
	name := nameOf(nevra)
	version := strings.TrimPrefix(nevra, name+"-")
	if _, after, found := strings.Cut(version, ":"); found {
		version = after
	}
	return name + "-" + version + ".rpm"
}

// repositories are where packages of a session's repositories lie.
type repositories struct {
	folder map[string]string // by id: in dnf's cache, below which its packages are
	local  []string          // folders whose packages are not copied into the cache
}

// repositories lists them. dnf keeps what it fetches in a folder for each address that a
// repository has had: what is left of an earlier one is not what it installs.
func (s *session) repositories(ctx context.Context) (repositories, error) {
	all := repositories{folder: make(map[string]string)}
	var repos []map[string]dbus.Variant
	if err := s.call(ctx, listRepos, []any{variants(map[string]any{"repo_attrs": []string{"id", "metalink", "mirrorlist", "baseurl"}})}, &repos); err != nil {
		return all, s.track.explain(err)
	}
	for _, repo := range repos {
		id, _ := repo["id"].Value().(string)
		metalink, _ := repo["metalink"].Value().(string)
		mirrorlist, _ := repo["mirrorlist"].Value().(string)
		urls, _ := repo["baseurl"].Value().([]string)
		all.folder[id] = cacheFolder(id, metalink, mirrorlist, urls)
		for _, url := range urls {
			if dir, ok := strings.CutPrefix(url, "file://"); ok {
				all.local = append(all.local, dir)
			}
		}
	}
	return all, nil
}

// cacheFolder is the folder of a repository in dnf's cache: libdnf5 names it after the
// first of its addresses (ConfigRepo::get_unique_id in libdnf5/repo/config_repo.cpp).
func cacheFolder(id, metalink, mirrorlist string, baseurls []string) string {
	sum := sha256.Sum256([]byte(cmp.Or(metalink, mirrorlist, slices.Concat(baseurls, []string{id})[0], id)))
	return id + "-" + hex.EncodeToString(sum[:8])
}

// checksig are the arguments with which rpmkeys(8) checks the signatures of packages, and that
// their contents are what was signed, whatever the guest's settings let rpm pass over.
func checksig(files []string) []string {
	return append([]string{"--define", "_pkgverify_level all", "--checksig", "--verbose", "--"}, files...)
}

// verifyWithRPM has rpmkeys(8) check the signatures of packages, as many at once as there are
// processors: it reads all that is in them.
func verifyWithRPM(ctx context.Context, files []string) error {
	processors := runtime.GOMAXPROCS(0)
	problems := make([]error, processors)
	var work sync.WaitGroup
	for n := range problems {
		var part []string
		for i := n; i < len(files); i += processors {
			part = append(part, files[i])
		}
		if len(part) > 0 {
			work.Go(func() { problems[n] = rpmkeys(ctx, part) })
		}
	}
	work.Wait()
	return cmp.Or(problems...)
}

func rpmkeys(ctx context.Context, files []string) error {
	command := exec.CommandContext(ctx, "/usr/bin/rpmkeys", checksig(files)...)
	command.Env = []string{"LC_ALL=C"}
	said, err := command.CombinedOutput()
	switch failed := (*exec.ExitError)(nil); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &failed):
		return untrusted(string(said), files)
	default:
		return reason.With(reason.UntrustedPackage, fmt.Errorf("cannot check the signatures of packages: %w", err))
	}
}

// untrusted is the error for packages of which rpmkeys --verbose has said this.
func untrusted(said string, files []string) error {
	// With their names only: the folders of dnf's cache are called as repositories, whose ids
	// may hold credentials.
	for _, file := range files {
		said = strings.ReplaceAll(said, file, filepath.Base(file))
	}
	return reason.With(reason.UntrustedPackage, fmt.Errorf(
		"a package is not signed, or not with a key that this guest trusts: rpmkeys says %s; if you trust the repository, "+
			"import the key that its gpgkey= names (rpm --import FILE), then run: driverd rescan", redact.Text(complaints(said))))
}

// complaints are what rpmkeys --verbose has against packages: a key that is not known, a digest
// that is another one, no signature; else all that it has said. It says of each file all that
// it has looked for:
//
//	igb.rpm:
//	    Header OpenPGP DSA signature: NOTFOUND
//	    Header OpenPGP V4 RSA/SHA512 signature, key ID 4cda20eee71df620: NOKEY
//	    Header SHA256 digest: OK
//	    Payload SHA256 digest: BAD (Expected 2faf49cf != b1f36464)
func complaints(said string) string {
	var all []string
	file, against, signed := "", "", true
	next := func(name string) {
		switch {
		case against != "":
			all = append(all, strings.TrimPrefix(file+against, ": "))
		case !signed:
			all = append(all, file+" has no signature")
		}
		file, against, signed = name, "", false
	}
	for line := range strings.Lines(said) {
		found, _, _ := strings.Cut(strings.TrimSpace(line), " (")
		switch name, isFile := strings.CutSuffix(found, ":"); {
		case isFile:
			next(name)
		case strings.HasSuffix(found, ": OK"):
			signed = signed || strings.Contains(strings.ToLower(found), "signature")
		case found != "" && !strings.HasSuffix(found, ": NOTFOUND"):
			against += ": " + found
		}
	}
	next("")
	return cmp.Or(strings.Join(all, "; "), oneLine(said))
}
