// SPDX-License-Identifier: Apache-2.0

// Package state keeps on disk what driverd would otherwise have to learn
// again. Losing all of it loses time, nothing else.
package state

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"driverd/daemon"
	"driverd/dnfbridge"
)

// version is that of the files' form; a file of another version is not read.
const version = 1

// Catalogs keeps the catalog of each kernel release in a folder.
type Catalogs struct {
	Dir string
}

type catalogFile struct {
	Version      int                 `json:"version"`
	Release      string              `json:"release"`
	Learned      time.Time           `json:"learned"`
	Repositories string              `json:"repositories"` // how they were configured
	Fresh        bool                `json:"fresh"`        // with the metadata renewed
	Disabled     []string            `json:"disabled"`     // repositories
	Packages     []dnfbridge.Package `json:"packages"`
}

func (c Catalogs) path(release string) string {
	return filepath.Join(c.Dir, "catalog-"+filepath.Base(release)+".json")
}

// Load returns what was learned about release.
func (c Catalogs) Load(release string) (daemon.Learned, error) {
	var f catalogFile
	data, err := readFile(c.path(release))
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err == nil && (f.Version != version || f.Release != release) {
		err = fmt.Errorf("it is version %d for kernel %q", f.Version, f.Release)
	}
	if err == nil && f.Learned.After(time.Now()) {
		err = fmt.Errorf("it was learned at %s, which is not yet", f.Learned.Format(time.RFC3339)) // and would never be old
	}
	if err != nil {
		return daemon.Learned{}, fmt.Errorf("cannot read the catalog of kernel %s: %w", release, err)
	}
	listing := dnfbridge.Listing{Packages: f.Packages, Disabled: f.Disabled}
	return daemon.Learned{At: f.Learned, Repositories: f.Repositories, Fresh: f.Fresh, Listing: listing}, nil
}

// Save replaces what is kept about release, all of it or nothing.
func (c Catalogs) Save(release string, learned daemon.Learned) error {
	kept := catalogFile{version, release, learned.At, learned.Repositories, learned.Fresh, learned.Disabled, learned.Packages}
	if err := replace(c.path(release), kept); err != nil {
		return fmt.Errorf("cannot keep the catalog of kernel %s: %w", release, err)
	}
	return nil
}
