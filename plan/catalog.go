// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"
	"strings"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/kernelbuild"
)

// Package is one package of the running kernel's build, as far as a decision
// needs to know it.
type Package struct {
	NEVRA        string
	Repo         string // that offers it; empty if it is only installed
	Installed    bool
	Excluded     bool     // the repository offers it, and DNF's configuration hides it
	DownloadSize int64    // bytes, 0 if it is only installed
	InstallSize  int64    // bytes
	Provides     []string // RPM capabilities; those that nobody here understands are passed over
}

// Holder is a package of the catalog, as an explanation shows it.
type Holder struct {
	Package        // without its Provides
	Group   string // one of kernelbuild.Groups
}

// Catalog knows which package of one kernel release holds the driver of which
// device. It learns that from RPM metadata alone: the modalias() Provides that
// the dependency generators of Fedora's kernel-srpm-macros write. The kmod()
// Provides beside them say which package holds a module whose name is known
// already. It does not change once made.
type Catalog struct {
	packages []Holder
	ofBuild  bool             // one of the packages says for which kernel it is made
	aliases  *modalias.Table  // its values are indexes into packages
	modules  map[string]int   // by the kernel's spelling of the name
	parts    map[string][]int // with drivers for what a module makes on the auxiliary bus, by that module
	speaking map[string]bool  // NEVRAs of the packages that say which devices they drive
	mute     bool             // a package that could be installed says only which modules it holds
}

// NewCatalog makes the catalog of packages.
func NewCatalog(packages []Package) *Catalog {
	c := &Catalog{modules: make(map[string]int), parts: make(map[string][]int), speaking: make(map[string]bool)}
	var aliases modalias.Builder
	for i, p := range packages {
		provides := p.Provides
		p.Provides = nil
		c.packages = append(c.packages, Holder{Package: p, Group: kernelbuild.GroupOf(provides)})
		for _, capability := range provides {
			name, _, _ := strings.Cut(capability, " ")
			c.ofBuild = c.ofBuild || strings.HasSuffix(name, "-uname-r")
			// Repositories are not trusted: a pattern like "*" must not
			// claim every device there is.
			pattern, _ := argument(capability, "modalias(")
			if strings.HasPrefix(pattern, "pci:v") {
				aliases.Add(pattern, i)
				c.speaking[p.NEVRA] = true
			}
			if module := maker(pattern); module != "" && !slices.Contains(c.parts[module], i) {
				c.parts[module] = append(c.parts[module], i)
			}
			file, _ := argument(capability, "kmod(")
			if module := kernelbuild.ModuleOfFile(file); module != "" {
				c.modules[module] = i
			}
		}
	}
	for _, i := range c.modules {
		p := c.packages[i]
		c.mute = c.mute || p.Repo != "" && !p.Installed && !c.speaking[p.NEVRA]
	}
	c.aliases = aliases.Build()
	return c
}

// NEVRAs lists the packages that a repository offers and DNF installs: all that a
// transaction for this kernel may bring; none as long as the catalog is not known.
func (c *Catalog) NEVRAs() []string {
	if c == nil {
		return nil
	}
	var all []string
	for _, p := range c.packages {
		if p.offered() {
			all = append(all, p.NEVRA)
		}
	}
	return all
}

// Excludes says whether DNF's configuration hides packages of the build.
func (c *Catalog) Excludes() bool { return c != nil && len(c.excluded()) > 0 }

// excluded returns the packages that DNF's configuration hides.
func (c *Catalog) excluded() []Holder {
	return slices.DeleteFunc(slices.Clone(c.packages), func(p Holder) bool { return !p.Excluded })
}

// offered says whether DNF would install the package from a repository.
func (p Package) offered() bool { return p.Repo != "" && !p.Excluded }

// Holder returns what is known about a package, its name alone if nothing is.
func (c *Catalog) Holder(nevra string) Holder {
	if c != nil {
		for _, p := range c.packages {
			if p.NEVRA == nevra {
				return p
			}
		}
	}
	return Holder{Package: Package{NEVRA: nevra}}
}

// holders returns the packages that hold modules, without duplicates.
func (c *Catalog) holders(modules []string) []Holder {
	var packages []Holder
	for _, module := range modules {
		if p := c.holderOf(module); p != nil && !slices.ContainsFunc(packages, func(known Holder) bool { return known.NEVRA == p.NEVRA }) {
			packages = append(packages, *p)
		}
	}
	return packages
}

// holderOf returns the package that holds a module, nil if none is known to.
func (c *Catalog) holderOf(module string) *Holder {
	if c != nil {
		if i, ok := c.modules[module]; ok {
			return &c.packages[i]
		}
	}
	return nil
}

// namesModules says whether any package says which modules it holds.
func (c *Catalog) namesModules() bool { return c != nil && len(c.modules) > 0 }

// needsIndex says whether a package that could be installed names its modules, and not
// the devices that they drive.
func (c *Catalog) needsIndex() bool { return c != nil && c.mute }

// claims returns what the packages claim a device by.
func (c *Catalog) claims(device string) []candidate {
	if c == nil {
		return nil
	}
	var all []candidate
	for _, m := range c.aliases.Claims(device) {
		all = append(all, candidate{hwdetect.Claim{Source: hwdetect.InCatalog, Alias: m.Pattern}, &c.packages[m.Value]})
	}
	return all
}

// ofGroup returns the packages of a group.
func (c *Catalog) ofGroup(group string) []Holder {
	var packages []Holder
	for _, p := range c.packages {
		if p.Group == group {
			packages = append(packages, p)
		}
	}
	return packages
}

// argument returns what stands between the parentheses of a capability such as
// "modalias(pci:v*)" or "modalias(pci:v*) = 1.0". Patterns hold no parenthesis.
func argument(capability, opening string) (string, bool) {
	rest, ok := strings.CutPrefix(capability, opening)
	if !ok {
		return "", false
	}
	text, _, ok := strings.Cut(rest, ")")
	return text, ok && text != ""
}
