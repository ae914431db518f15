// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"errors"

	"driverd/daemon"
)

// cache is the world's catalog cache: empty until the engine saves.
type cache struct{ *world }

func (c cache) Load(string) (daemon.Learned, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.saved == nil {
		return daemon.Learned{}, errors.New("nothing saved")
	}
	return *c.saved, nil
}

func (c cache) Save(_ string, learned daemon.Learned) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saved = &learned
	return nil
}

// historyFile and modeFile keep what the engine keeps.
type historyFile struct{ *world }

func (f historyFile) Load() (daemon.KeptHistory, error) {
	if f.spoiled != nil {
		return daemon.KeptHistory{}, f.spoiled
	}
	return daemon.KeptHistory{Entries: f.history, Vendors: f.enabled}, nil
}

func (f historyFile) Save(kept daemon.KeptHistory) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full == nil {
		f.history, f.enabled, f.spoiled = kept.Entries, kept.Vendors, nil
	}
	return f.full
}

type modeFile struct{ *world }

type unfinishedFile struct{ *world }

func (f unfinishedFile) Load() (map[string]string, error) { return f.begun, nil }

func (f unfinishedFile) Save(boots map[string]string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full == nil {
		f.begun = boots
	}
	return f.full
}

type restFile struct{ *world }

func (f restFile) Load() ([]daemon.Stayed, error) { return f.stayed, nil }

func (f restFile) Keep(stayed []daemon.Stayed) error {
	if f.full == nil {
		f.stayed = stayed
	}
	return f.full
}

func (f modeFile) Load() (daemon.Mode, error) { return f.mode, nil }

func (f modeFile) Save(mode daemon.Mode) error {
	if f.full == nil {
		f.mode = mode
	}
	return f.full
}
