// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"driverd/plan"
)

// preinstallDir is where the owner of an instance, or who makes its image, asks
// for drivers.
const preinstallDir = "etc/driverd/preinstall.d"

// Preinstall is what is to be installed once, before anybody asks the service.
type Preinstall struct {
	Selectors []string // as Manager.Install takes them, each once
	Present   bool     // and all that the devices of the guest need
	Files     []string // that were read
	Sum       string   // another one when the files say something else
}

// preinstallFile is the form of a file. There is no mode and no rule in it: a
// file in localDir, written in the same way, says them for good.
type preinstallFile struct {
	Install []string `toml:"install"`
	Present bool     `toml:"present"`
}

// LoadPreinstall reads the files under root. The error is like that of Load.
func LoadPreinstall(root string) (Preinstall, error) {
	names, err := dropIns(root, preinstallDir)
	if err != nil {
		return Preinstall{}, err
	}
	var p Preinstall
	var problems []error
	sum := sha256.New()
	for _, name := range names {
		path := filepath.Join(root, preinstallDir, name)
		text, ok, err := readFile(root, filepath.Join(preinstallDir, name))
		if err == nil && ok {
			p.Files = append(p.Files, path)
			_, _ = fmt.Fprintf(sum, "%s\n%d\n%s", name, len(text), text)
			err = p.add(path, text)
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return Preinstall{}, errors.Join(problems...)
	}
	p.Sum = hex.EncodeToString(sum.Sum(nil))
	return p, nil
}

func (p *Preinstall) add(path string, text []byte) error {
	var f preinstallFile
	r, err := decode(path, text, &f)
	if err != nil {
		return err
	}
	selectors := r.values("install", f.Install, func(text string) (string, error) {
		_, err := plan.ParseSelector(text)
		return text, err
	})
	for _, s := range selectors {
		if !slices.Contains(p.Selectors, s) {
			p.Selectors = append(p.Selectors, s)
		}
	}
	p.Present = p.Present || f.Present
	return errors.Join(r.problems...)
}
