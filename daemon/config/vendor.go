// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"driverd/internal/tree"
	"driverd/plan"
)

// Where the drop-ins of vendors' drivers are; one in localVendors takes the place of its
// namesake.
const (
	shippedVendors = "usr/share/driverd/vendor.d"
	localVendors   = "etc/driverd/vendor.d"
)

// vendorFile is the form of a drop-in.
type vendorFile struct {
	Description string `toml:"description"`
	Licence     string `toml:"licence"`
	Devices     struct {
		Match  []string `toml:"match"`
		Class  []string `toml:"class"`
		Except []string `toml:"except"`
	} `toml:"devices"`
	Kmod struct {
		Packages []string `toml:"packages"`
		Modules  []string `toml:"modules"`
		Build    bool     `toml:"build"`
		Key      string   `toml:"key"`
	} `toml:"kmod"`
	Companions []string `toml:"companions"`
	Firmware   []string `toml:"firmware"`
	Depends    []string `toml:"depends"`
	Conflicts  []string `toml:"conflicts"`
	Proof      struct {
		Node    string   `toml:"node"`
		Command []string `toml:"command"`
	} `toml:"proof"`
}

// vendorForm is the name of a drop-in, which is part of names of files and of a unit.
var vendorForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,40}$`)

// ParseVendor reads the name of a vendor's driver.
func ParseVendor(text string) (string, error) {
	if !vendorForm.MatchString(text) {
		return "", fmt.Errorf("cannot read %.80q as the name of a vendor's driver: want one like nvidia-open", text)
	}
	return text, nil
}

// Vendors reads the drop-ins under root, sorted by name. None of them is enabled. The
// result is nil if there is an error alone.
func Vendors(root string) ([]plan.Vendor, error) {
	paths, err := vendorPaths(root)
	if err != nil {
		return nil, err
	}
	all := []plan.Vendor{}
	var problems []error
	for _, path := range paths {
		text, ok, err := readFile(root, path)
		if err == nil && ok {
			var v plan.Vendor
			if v, err = parseDropIn(filepath.Join(root, path), text); err == nil {
				all = append(all, v)
			}
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return all, nil
}

// vendorPaths are the names of the drop-ins below root, sorted by those of the drivers.
func vendorPaths(root string) ([]string, error) {
	places := make(map[string]string)
	for _, dir := range []string{shippedVendors, localVendors} {
		names, err := dropIns(root, dir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			places[name] = filepath.Join(dir, name)
		}
	}
	var paths []string
	for _, path := range places {
		paths = append(paths, path)
	}
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(vendorOf(a), vendorOf(b)) })
	return paths, nil
}

// vendorOf is the name of the drop-in in a file.
func vendorOf(path string) string { return strings.TrimSuffix(filepath.Base(path), ".toml") }

// parseDropIn reads the text of a drop-in. If anything is wrong with it, the error says all
// of it.
func parseDropIn(path string, text []byte) (plan.Vendor, error) {
	var f vendorFile
	r, err := decode(path, text, &f)
	if err != nil {
		return plan.Vendor{}, err
	}
	name, err := ParseVendor(vendorOf(path))
	if err != nil {
		r.complain("", "%v", err)
	}
	for key, missing := range map[string]bool{
		"description": f.Description == "", "devices.match": f.Devices.Match == nil,
		"kmod.packages": f.Kmod.Packages == nil, "kmod.modules": f.Kmod.Modules == nil,
	} {
		if missing {
			r.complain(key, "%s must be there", key)
		}
	}
	for key, text := range map[string]string{"description": f.Description, "licence": f.Licence, "kmod.key": f.Kmod.Key} {
		if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' }) || len(text) > 200 {
			r.complain(key, "the text must be one line, of 200 bytes at most")
		}
	}
	if f.Proof.Node != "" && (!filepath.IsAbs(f.Proof.Node) || filepath.Clean(f.Proof.Node) != f.Proof.Node) {
		r.complain("proof.node", "cannot read %.80q as a file: want its absolute path", f.Proof.Node)
	}
	if c := f.Proof.Command; c != nil && (len(c) == 0 || !filepath.IsAbs(c[0])) {
		r.complain("proof.command", "want the absolute path of a program, and its arguments")
	}
	v := plan.Vendor{
		Name: name, Description: f.Description, Licence: f.Licence,
		Match:      r.values("devices.match", f.Devices.Match, parseDevice),
		Classes:    r.values("devices.class", f.Devices.Class, parseClass),
		Except:     r.values("devices.except", f.Devices.Except, parseDevice),
		Kmods:      r.values("kmod.packages", f.Kmod.Packages, parseKmod),
		Build:      f.Kmod.Build,
		Key:        f.Kmod.Key,
		Modules:    r.values("kmod.modules", f.Kmod.Modules, parsePlainModule),
		Companions: r.values("companions", f.Companions, parseVendorPackage),
		Depends:    r.values("depends", f.Depends, parseVendorPackage),
		Conflicts:  r.values("conflicts", f.Conflicts, parsePlainModule),
		Node:       f.Proof.Node, Command: f.Proof.Command,
		Origin: plan.Origin{File: path, Line: 1},
	}
	// Firmware is there before the module, as companions are: one transaction brings all.
	v.Companions = append(v.Companions, r.values("firmware", f.Firmware, parseVendorPackage)...)
	return v, errors.Join(r.problems...)
}

// ofVendor is a modalias pattern that names a vendor.
var ofVendor = regexp.MustCompile(`^pci:v[0-9A-F]{8}d[0-9A-Za-z*?\[\]!-]+$`)

// parseDevice reads an id, or a modalias pattern that names a vendor.
func parseDevice(text string) (string, error) {
	if !strings.HasPrefix(text, "pci:") {
		return parseID(text)
	}
	if !ofVendor.MatchString(text) {
		return "", fmt.Errorf("cannot read %.80q as a pattern of devices: it must name a vendor, as in pci:v000010DEd*", text)
	}
	return text, nil
}

// parseKmod reads the name of a package, or the modalias() capability of packages.
func parseKmod(text string) (string, error) {
	pattern, ok := strings.CutPrefix(text, "modalias(")
	if !ok {
		return parseVendorPackage(text)
	}
	pattern, closed := strings.CutSuffix(pattern, ")")
	if !closed || !ofVendor.MatchString(pattern) {
		return "", fmt.Errorf("cannot read %.80q as a capability: it must name a vendor, as in modalias(pci:v000010DEd*)", text)
	}
	return text, nil
}

// kernelPackages begins the names of the packages of a kernel.
const kernelPackages = "kernel"

// minPrefix is how much of a name a pattern has to say.
const minPrefix = 5

// parseVendorPackage reads the name of a package that is none of a kernel; a * at its end
// stands for the rest.
func parseVendorPackage(text string) (string, error) {
	if _, err := parsePackage(text); err != nil {
		return "", err
	}
	plain, isPattern := strings.CutSuffix(text, "*")
	switch {
	case strings.ContainsAny(plain, "*?") || strings.ContainsAny(plain, "/() ,"):
		return "", fmt.Errorf("cannot read %.80q as the name of a package: only a * at its end stands for other characters", text)
	case isPattern && len(plain) < minPrefix:
		return "", fmt.Errorf("cannot read %.80q as the name of a package: too many would match, want %d characters before the *", text, minPrefix)
	case strings.HasPrefix(plain, kernelPackages) || isPattern && strings.HasPrefix(kernelPackages, plain):
		return "", fmt.Errorf("%.80q would name packages of the kernel, which no vendor's driver brings", text)
	}
	return text, nil
}

// parsePlainModule reads the name of one module.
func parsePlainModule(text string) (string, error) {
	if strings.ContainsAny(text, "*?") {
		return "", fmt.Errorf("cannot read %.80q as the name of a module: nothing stands for other characters here", text)
	}
	return parseModule(text)
}

// enable enables vendors by their names, as a file says.
func (c *Config) enable(r *reading, root string, names []string) {
	for _, name := range r.values("vendors", names, ParseVendor) {
		i := slices.IndexFunc(c.Vendors, func(v plan.Vendor) bool { return v.Name == name })
		if c.Vendors == nil {
			continue // what is wrong with the drop-ins is said
		}
		if i < 0 {
			r.complain("vendors", "there is no vendor's driver %.80q: driverd vendor lists those that are known", name)
			continue
		}
		c.Vendors[i].Enabled = true
		if len(c.Vendors[i].Conflicts) == 0 {
			continue
		}
		if _, err := tree.At(root).Stat(ConflictsFile(name)); errors.Is(err, fs.ErrNotExist) {
			r.complain("vendors", "/%s, which keeps %s away, is missing: driverd vendor enable %s writes it",
				ConflictsFile(name), strings.Join(c.Vendors[i].Conflicts, ", "), name)
		}
	}
}

// EnabledFile is the file, below the root of a guest, that enables a vendor's driver.
func EnabledFile(name string) string { return filepath.Join(localDir, "60-vendor-"+name+".toml") }

// ConflictsFile is the file of modprobe.d(5), below the root of a guest, that keeps the
// drivers away which an enabled vendor's conflicts with.
func ConflictsFile(name string) string { return "etc/modprobe.d/driverd-" + name + ".conf" }
