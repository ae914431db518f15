// SPDX-License-Identifier: Apache-2.0

package rpmrepo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const keyOwner = "driverd lab <lab@driverd.invalid>"

// Key is a throwaway OpenPGP signing key.
type Key struct {
	// Public is the armoured public key.
	Public []byte
	home   string
}

// NewKey makes a key with a GnuPG home of its own in dir, which must exist.
// The path of dir must be short: gpg-agent's socket lives in it.
func NewKey(ctx context.Context, dir string) (_ *Key, err error) {
	k := &Key{home: filepath.Join(dir, "gnupg")}
	if err := os.Mkdir(k.home, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make a signing key: %w", err)
	}
	// gpg starts an agent, which must not outlive a failure.
	defer func() {
		if err != nil {
			err = errors.Join(err, k.Close())
		}
	}()
	make := k.gpg(ctx, "--pinentry-mode", "loopback", "--passphrase", "",
		"--quick-generate-key", keyOwner, "rsa3072", "sign", "never")
	if err := run(make); err != nil {
		return nil, fmt.Errorf("cannot make a signing key: %w", err)
	}
	public, err := k.gpg(ctx, "--armor", "--export").Output()
	if err != nil {
		return nil, fmt.Errorf("cannot export the signing key: %w", err)
	}
	k.Public = public
	return k, nil
}

// Close ends the gpg-agent that making the key and signing started.
func (k *Key) Close() error {
	return run(exec.Command("gpgconf", "--homedir", k.home, "--kill", "all"))
}

func (k *Key) gpg(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "gpg", append([]string{"--homedir", k.home, "--batch", "--quiet"}, args...)...)
}

// Sign signs packages in place.
func (k *Key) Sign(ctx context.Context, rpms ...string) error {
	gpg, err := exec.LookPath("gpg") // Debian has no gpg2, which rpm looks for
	if err != nil {
		return fmt.Errorf("cannot sign packages: %w", err)
	}
	return run(exec.CommandContext(ctx, "rpmsign", append([]string{"--addsign",
		"--define", "__gpg " + gpg,
		"--define", "_gpg_path " + k.home,
		"--define", "_gpg_name " + keyOwner}, rpms...)...))
}
