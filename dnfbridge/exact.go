// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"driverd/reason"
)

// kernelFacts are what is asked about a kernel, and about packages, when it is needed.
type kernelFacts struct {
	symbols func() (map[string]bool, error)                    // that it exports, with their checksums
	files   func(nevras []string) (map[string][]string, error) // of packages that are offered
	vendor  func() (string, error)                             // of its packages, empty if none owns it
}

// newKernelFacts are facts about a kernel, of what knows its owners and lists files.
func newKernelFacts(ctx context.Context, release string, o kernelOwners, files func(context.Context, []string) (map[string][]string, error)) kernelFacts {
	var claimants []member
	of := sync.OnceValues(func() (of build, err error) {
		of, claimants, err = buildOf(ctx, o, release)
		return of, err
	})
	return kernelFacts{
		symbols: sync.OnceValues(func() (map[string]bool, error) {
			of, err := of()
			return symbols(claimants, of), err
		}),
		files: func(nevras []string) (map[string][]string, error) { return files(ctx, nevras) },
		vendor: func() (string, error) {
			of, err := of()
			if reason.Of(err) == reason.ForeignKernel {
				return "", nil
			}
			return of.vendor, err
		},
	}
}

// symbols are the symbols, with their checksums, that packages of a build say that it exports.
func symbols(owners []member, of build) map[string]bool {
	all := make(map[string]bool)
	for _, m := range owners {
		for _, capability := range m.provides {
			if m.build == of && isSymbol(capability) {
				all[capability] = true
			}
		}
	}
	return all
}

// notFor says of each of the packages why its modules are not for a kernel, empty if they are.
func notFor(all []offeredPackage, release string, build bool, k kernelFacts) ([]string, error) {
	whys := make([]string, len(all))
	var silent []int
	var nevras []string
	for i, p := range all {
		why, said, err := notByMetadata(p, release, build, k.symbols)
		if err != nil {
			return nil, err
		}
		whys[i] = why
		if !said {
			silent = append(silent, i)
			if p.RepoID != "" && !slices.Contains(nevras, p.NEVRA) {
				nevras = append(nevras, p.NEVRA)
			}
		}
	}
	lists := make(map[string][]string)
	if len(nevras) > 0 {
		var err error
		if lists, err = k.files(nevras); err != nil {
			return nil, err
		}
	}
	for _, i := range silent {
		whys[i] = notBelow(lists[all[i].NEVRA], release)
	}
	return whys, nil
}

// notByMetadata says why the metadata of a package exclude a kernel; not said if they are
// silent about kernels.
func notByMetadata(p offeredPackage, release string, build bool, symbols func() (map[string]bool, error)) (why string, said bool, err error) {
	if compiles(p) {
		if build {
			return "", true, nil
		}
		return "compiles its modules in the guest, which takes a compiler there, and a key of its own where Secure Boot asks for signatures: build = true in the drop-in allows it", true, nil
	}
	exact, other := false, ""
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
		return "is made for kernel " + other, true, nil
	case exact:
		return "", true, nil
	case !slices.ContainsFunc(p.requires, isSymbol):
		return "", false, nil
	}
	has, err := symbols()
	if err != nil {
		return "", false, err
	}
	for _, capability := range p.requires {
		if isSymbol(capability) && !has[capability] && !slices.Contains(p.Provides, capability) { // one of its modules may have it for another
			return fmt.Sprintf("needs %s, which kernel %s does not have", capability, release), true, nil
		}
	}
	return "", true, nil
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
