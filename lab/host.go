// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"driverd/lab/stage"
)

// hostPackages are what the lab, the RPM build and the tests use of Debian 12.
var hostPackages = []string{
	"bash-completion", "busybox-static", "cpio", "createrepo-c", "dbus", "e2fsprogs",
	"fish", "gcc", "gcc-aarch64-linux-gnu", "gcc-i686-linux-gnu", "gnupg", "kmod", "libc6-dev",
	"libc6-dev-arm64-cross", "libc6-dev-i386-cross", "libkmod-dev", "libudev-dev", "libumockdev-dev",
	"man-db", "mandoc", "mmdebstrap", "pciutils", "pkg-config", "polkitd", "qemu-user", "rpm",
	"rpmlint", "scdoc", "umockdev", "xz-utils", "zsh",
}

// QEMU comes from backports: igb needs 8.0, its SR-IOV as tested here 10.
var (
	backports      = []string{"qemu-system-x86", "qemu-utils"}
	oldestQEMU     = 10
	debianKeyring  = "/usr/share/keyrings/debian-archive-keyring.gpg"
	debianMirror   = "http://deb.debian.org/debian"
	debianSecurity = "http://deb.debian.org/debian-security"
)

// Prepare installs the packages that the lab needs and that are missing, and more if
// they are asked for (NAME or, of another suite, NAME/SUITE), after saying which. It uses
// a private apt configuration, so that the machine's own sources and package lists stay
// untouched. It needs root for that, or a sudo that asks no password; with nothing missing
// it needs neither.
func Prepare(ctx context.Context, more ...string) error {
	missing, err := missingPackages(ctx, slices.Concat(hostPackages, more))
	if err != nil {
		return err
	}
	// Debian's npm is made of hundreds of packages, and a Node.js from elsewhere has its own.
	if _, err := exec.LookPath("npm"); err != nil {
		missing = append(missing, "nodejs", "npm")
	}
	old := qemuVersion(ctx) < oldestQEMU
	if len(missing) == 0 && !old {
		return nil
	}
	var sudo []string
	if os.Geteuid() != 0 {
		sudo = []string{"sudo", "-n"}
	}
	dir, err := aptDir()
	if err != nil {
		return err
	}
	conf := []string{
		"-o", "Dir::Etc::SourceList=" + filepath.Join(dir, "sources.list"),
		"-o", "Dir::Etc::SourceParts=-",
		"-o", "Dir::State::Lists=" + filepath.Join(dir, "lists"),
		"-o", "Acquire::Check-Valid-Until=false",
		"-o", "APT::Sandbox::User=root",
		"-o", "DPkg::Lock::Timeout=600", // seconds: somebody else may be installing
	}
	apt := func(args ...string) error {
		argv := append(append(append(sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"), conf...), args...)
		if err := run(ctx, exec.CommandContext(ctx, argv[0], argv[1:]...)); err != nil {
			return fmt.Errorf("cannot install the lab's packages, as root type `apt-get %s`: %w", strings.Join(append(conf, args...), " "), err)
		}
		return nil
	}

	stage.Say("reading Debian's package lists into %s", dir)
	if err := apt("update"); err != nil {
		return fetched(err)
	}
	if len(missing) > 0 {
		stage.Say("installing %s", strings.Join(missing, " "))
		if err := apt(append([]string{"install", "--no-install-recommends"}, missing...)...); err != nil {
			return err
		}
	}
	if old {
		stage.Say("installing %s from bookworm-backports", strings.Join(backports, " "))
		if err := apt(append([]string{"install", "--no-install-recommends", "-t", "bookworm-backports"}, backports...)...); err != nil {
			return err
		}
	}
	return nil
}

// aptDir makes the private apt configuration's folder and sources.
func aptDir() (string, error) {
	cache, err := stage.Dir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "apt")
	if err := os.MkdirAll(filepath.Join(dir, "lists", "partial"), 0o755); err != nil {
		return "", fmt.Errorf("cannot make the apt folder: %w", err)
	}
	var sources strings.Builder
	for _, s := range []string{
		debianMirror + " bookworm",
		debianSecurity + " bookworm-security",
		debianMirror + " bookworm-backports",
	} {
		_, _ = fmt.Fprintf(&sources, "deb [signed-by=%s] %s main\n", debianKeyring, s)
	}
	if err := os.WriteFile(filepath.Join(dir, "sources.list"), []byte(sources.String()), 0o644); err != nil {
		return "", fmt.Errorf("cannot write the apt sources: %w", err)
	}
	return dir, nil
}

// missingPackages returns those of the packages that dpkg does not know as installed.
func missingPackages(ctx context.Context, packages []string) ([]string, error) {
	query := []string{"-W", "-f", "${binary:Package} ${db:Status-Status}\n"}
	for _, name := range packages {
		query = append(query, plainName(name))
	}
	cmd := exec.CommandContext(ctx, "dpkg-query", query...)
	out, err := cmd.Output()
	// Exit status 1 says that some package is unknown to dpkg: dpkg-query(1).
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return nil, fmt.Errorf("cannot ask dpkg what is installed (the lab runs on Debian 12): %w", err)
	}
	installed := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		name, status, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, _, _ = strings.Cut(name, ":") // a multi-arch package is listed with its architecture
		installed[name] = status == "installed"
	}
	var missing []string
	for _, name := range packages {
		if !installed[plainName(name)] {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// plainName is a package's name without the suite that it is to come from.
func plainName(pkg string) string {
	name, _, _ := strings.Cut(pkg, "/")
	return name
}

// qemuVersion returns QEMU's major version, 0 if there is none.
func qemuVersion(ctx context.Context) int {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		return 0
	}
	out, err := Native.qemuSays(ctx)
	if err != nil {
		return 0
	}
	_, version, _ := strings.Cut(out, "version ")
	major, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(major)
	return n
}

// fetched says of the failure of what fetches packages what it needs.
func fetched(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w; it fetches packages from %s, which this machine must reach: run it again then", err, debianMirror)
}

// run runs cmd with its output going where a failure can show it, and makes
// sure that it does not outlive this process.
func run(ctx context.Context, cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), errors.Join(err, ctx.Err()), tail(out.Bytes()))
	}
	return nil
}

// tail returns the end of a command's output, enough to see why it failed.
func tail(out []byte) string {
	const enough = 2000
	if len(out) > enough {
		out = out[len(out)-enough:]
	}
	return strings.TrimSpace(string(out))
}

// isolated returns a command in mount and process namespaces of its own: what
// it mounts nobody else sees, and when it ends, however it ends, its children
// end too.
func isolated(ctx context.Context, argv ...string) *exec.Cmd {
	unshare := []string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"}
	return exec.CommandContext(ctx, "unshare", append(unshare, argv...)...)
}

// needRoot says what cannot be done without root.
func needRoot(what string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	return fmt.Errorf("cannot build the %s without root: it holds files of many owners; run this as root once", what)
}
