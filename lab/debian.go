// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"driverd/lab/stage"
)

// archive is Debian's, for one suite and architecture: an apt configuration of its own,
// that knows nothing else. What is fetched is never installed.
type archive struct {
	arch    string
	scratch string // its lists and its cache
}

// openArchive reads the package lists. It needs no root; close removes what it has read.
func openArchive(ctx context.Context, suite, arch string) (_ *archive, err error) {
	scratch, err := os.MkdirTemp("", "driverd-apt-")
	if err != nil {
		return nil, err
	}
	a := &archive{arch, scratch}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	source := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", debianKeyring, debianMirror, suite)
	if err := os.WriteFile(filepath.Join(scratch, "sources.list"), []byte(source), 0o644); err != nil {
		return nil, err
	}
	return a, fetched(run(ctx, a.apt(ctx, "apt-get", "update")))
}

func (a *archive) close() { _ = os.RemoveAll(a.scratch) }

// apt is one of apt's programs.
func (a *archive) apt(ctx context.Context, program string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, program, append([]string{
		"-q",
		"-o", "Dir::Etc::SourceList=" + filepath.Join(a.scratch, "sources.list"),
		"-o", "Dir::Etc::SourceParts=-",
		"-o", "Dir::State=" + a.scratch,
		"-o", "Dir::State::Status=/dev/null",
		"-o", "Dir::Cache=" + a.scratch,
		"-o", "APT::Architecture=" + a.arch,
		"-o", "APT::Architectures=" + a.arch,
		"-o", "APT::Sandbox::User=root",
		"-o", "Acquire::Languages=none",
		"-o", "Acquire::Check-Valid-Until=false",
	}, args...)...)
}

// download downloads packages into dir, and returns the files.
func (a *archive) download(ctx context.Context, dir string, packages ...string) ([]string, error) {
	what := strings.Join(packages, " ")
	if len(packages) > 20 {
		what = fmt.Sprintf("%d packages for %s", len(packages), a.arch)
	}
	stage.Say("fetching %s", what)
	cmd := a.apt(ctx, "apt-get", append([]string{"download"}, packages...)...)
	cmd.Dir = dir
	if err := run(ctx, cmd); err != nil {
		return nil, fetched(err)
	}
	return filepath.Glob(filepath.Join(dir, "*.deb"))
}

// unpack downloads packages and unpacks them into dir.
func (a *archive) unpack(ctx context.Context, dir string, packages ...string) error {
	debs, err := a.download(ctx, dir, packages...)
	if err != nil {
		return err
	}
	return unpackDebs(ctx, debs, dir)
}

// unpackDebs unpacks packages into dir, and removes them.
func unpackDebs(ctx context.Context, debs []string, dir string) error {
	for _, deb := range debs {
		if err := run(ctx, exec.CommandContext(ctx, "dpkg-deb", "-x", deb, dir)); err != nil {
			return err
		}
		if err := os.Remove(deb); err != nil {
			return err
		}
	}
	return nil
}
