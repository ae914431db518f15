// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
)

const signer = "driverd lab <lab@driverd.invalid>"

// sign signs every RPM in dir with a new key, and leaves only its public half.
func sign(ctx context.Context, work, dir, public string) (err error) {
	home := filepath.Join(work, "gnupg")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	// Signing starts an agent, which must not outlive it, whatever ctx says.
	defer func() {
		err = errors.Join(err, run(exec.Command("gpgconf", "--homedir", home, "--kill", "all")))
	}()
	gpg, err := exec.LookPath("gpg") // rpm looks for gpg2, which Debian has not
	if err != nil {
		return err
	}
	if err := run(exec.CommandContext(ctx, gpg, "--homedir", home, "--batch", "--quiet",
		"--pinentry-mode", "loopback", "--passphrase", "",
		"--quick-generate-key", signer, "rsa3072", "sign", "never")); err != nil {
		return err
	}
	if err := run(exec.CommandContext(ctx, gpg, "--homedir", home, "--batch", "--quiet",
		"--armor", "--output", public, "--export", signer)); err != nil {
		return err
	}
	rpms, err := filepath.Glob(filepath.Join(dir, "*.rpm"))
	if err != nil {
		return err
	}
	return run(exec.CommandContext(ctx, "rpmsign", append([]string{"--addsign",
		"--define", "__gpg " + gpg,
		"--define", "_gpg_path " + home,
		"--define", "_gpg_name " + signer}, rpms...)...))
}
