// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// notFor says why the modules of a package are not for a kernel, empty if they are.
func notFor(p offeredPackage, release string, build bool, symbols func() (map[string]bool, error), files func(string) ([]string, error)) (string, error) {
	if compiles(p) {
		if build {
			return "", nil
		}
		return "compiles its modules in the guest, which takes a compiler there, and a key of its own where Secure Boot asks for signatures: build = true in the drop-in allows it", nil
	}
	exact, other := false, ""
	wanted := make(map[string]bool)
	for _, capability := range p.requires {
		if isSymbol(capability) {
			wanted[capability] = true
		}
	}
	for _, capability := range slices.Concat(p.requires, p.Provides) {
		name, value, ok := strings.Cut(capability, " = ")
		if !ok || !saysKernel(name) {
			continue
		}
		if isRelease(value, release) {
			exact = true
		} else {
			other = value
		}
	}
	switch {
	case other != "":
		return "is made for kernel " + other, nil
	case exact:
		return "", nil
	case len(wanted) > 0:
		has, err := symbols()
		if err != nil {
			return "", err
		}
		for _, capability := range p.Provides {
			delete(wanted, capability) // one of its modules has it for another
		}
		for capability := range wanted {
			if !has[capability] {
				return fmt.Sprintf("needs %s, which kernel %s does not have", capability, release), nil
			}
		}
		return "", nil
	}
	if p.RepoID == "" {
		return "does not say for which kernel it is made", nil
	}
	list, err := files(p.NEVRA)
	if err != nil {
		return "", err
	}
	return notBelow(list, release), nil
}

// compiles says whether a package compiles its modules when it is installed.
func compiles(p offeredPackage) bool {
	return strings.HasPrefix(p.Name, "akmod-") || strings.HasSuffix(p.Name, "-dkms") || strings.HasPrefix(p.Name, "dkms-") ||
		slices.ContainsFunc(p.requires, func(c string) bool {
			name := capabilityName(c)
			return name == "akmods" || name == "dkms"
		})
}

// saysKernel says whether a capability of this name says for which kernel modules are: kernel-uname-r,
// kernel-core-uname-r, kernel-modules.
func saysKernel(name string) bool {
	return strings.HasPrefix(name, "kernel") && (strings.HasSuffix(name, unameSuffix) || strings.Contains(name, "-modules"))
}

// isRelease says whether a version is that of a kernel's release, with its architecture or without.
func isRelease(value, release string) bool {
	version := unameVersion(release)
	dot := strings.LastIndexByte(version, '.')
	return value == version || dot > 0 && value == version[:dot]
}

// notBelow says why a package with these files is not for a kernel.
func notBelow(files []string, release string) string {
	found := false
	for _, file := range files {
		_, below, ok := strings.Cut(file, "/lib/modules/")
		of, _, isBelow := strings.Cut(below, "/")
		if !ok || !isBelow || !strings.Contains(path.Base(file), ".ko") {
			continue
		}
		if of != release {
			return "is made for kernel " + of
		}
		found = true
	}
	if !found {
		return "does not say for which kernel it is made"
	}
	return ""
}

// isSymbol says whether a capability is a symbol of a kernel with its checksum, as EL's
// generators write them: kernel(printk) = 0x92997ed8, ksym(printk) = 0x92997ed8.
func isSymbol(capability string) bool {
	return strings.HasPrefix(capability, "kernel(") || strings.HasPrefix(capability, "ksym(")
}
