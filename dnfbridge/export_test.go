// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// Option changes what NewDNF5 sets.
type Option func(*DNF5)

// Silence sets how long the server may say nothing.
func Silence(d time.Duration) Option { return func(b *DNF5) { b.silence = d } }

// Retry sets how often a transaction is tried, and the first pause.
func Retry(attempts int, first time.Duration) Option {
	return func(b *DNF5) { b.attempts, b.backoff = attempts, first }
}

// NewDNF5With is NewDNF5 with options.
func NewDNF5With(dial Dialer, log zerolog.Logger, options ...Option) *DNF5 {
	d := NewDNF5(dial, log)
	for _, option := range options {
		option(d)
	}
	return d
}

// Verify sets what checks the signatures of packages, whose files are below root.
func Verify(root string, verify func(ctx context.Context, files []string) error) Option {
	return func(b *DNF5) { b.root, b.verify = root, verify }
}

// Checksig are the arguments with which rpmkeys(8) checks the signatures of packages.
var Checksig = checksig

// Untrusted is the error for packages of which rpmkeys has said this.
var Untrusted = untrusted

// VerifyWithRPM has rpmkeys(8) check the signatures of packages.
var VerifyWithRPM = verifyWithRPM

// ReadNEVRA reads which package a file holds.
var ReadNEVRA = readNEVRA

// Offered is a package as a repository offers it, "repo" if it has no other name, or as it is
// installed. Its repository checks signatures unless it is Unchecked.
type Offered struct {
	NEVRA              string
	Provides, Requires []string
	Repo, Vendor       string
	Installed          bool
	Unchecked          bool
}

// ListVendor sorts packages as VendorPackages does, given what a kernel exports, and what has
// lists of files. The kernel's vendor is Distribution.
func ListVendor(offered []Offered, release string, v Vendor, symbols map[string]bool, files func([]string) (map[string][]string, error)) (VendorListing, error) {
	var found []offeredPackage
	for _, o := range offered {
		name := nameOf(o.NEVRA)
		version, rest, _ := strings.Cut(strings.TrimPrefix(o.NEVRA, name+"-"), "-")
		if _, after, ok := strings.Cut(version, ":"); ok {
			version = after
		}
		dot := strings.LastIndexByte(rest, '.')
		p := Package{NEVRA: o.NEVRA, Name: name, RepoID: cmp.Or(o.Repo, "repo"), Installed: o.Installed, Provides: o.Provides}
		if o.Installed {
			p.RepoID = ""
		}
		found = append(found, offeredPackage{Package: p, build: build{version, rest[:dot], rest[dot+1:], o.Vendor}, requires: o.Requires, checked: !o.Unchecked})
	}
	return vendorListing(found, release, v, kernelFacts{
		symbols: func() (map[string]bool, error) { return symbols, nil },
		files:   files,
		vendor:  func() (string, error) { return "Distribution", nil },
	})
}

// CompareVersions compares versions as rpm does.
var CompareVersions = compareVersions
