// SPDX-License-Identifier: Apache-2.0

package dnfbridge_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"driverd/dnfbridge"
)

// rpmOf is as much of an RPM file as says which package it holds.
func rpmOf(name string, epoch uint32, version, release, arch string) []byte {
	header := func(entries, values []byte) []byte {
		h := append([]byte("\x8e\xad\xe8\x01"), 0, 0, 0, 0)
		h = binary.BigEndian.AppendUint32(h, uint32(len(entries)/16))
		h = binary.BigEndian.AppendUint32(h, uint32(len(values)))
		return slices.Concat(h, entries, values)
	}
	var entries, values []byte
	entry := func(tag, kind uint32, value []byte) {
		for _, word := range []uint32{tag, kind, uint32(len(values)), 1} {
			entries = binary.BigEndian.AppendUint32(entries, word)
		}
		values = append(values, value...)
	}
	if epoch > 0 {
		entry(1003, 4, binary.BigEndian.AppendUint32(nil, epoch))
	}
	for tag, word := range map[uint32]string{1000: name, 1001: version, 1002: release, 1022: arch} {
		entry(tag, 6, append([]byte(word), 0))
	}
	file := append(make([]byte, 96), header(nil, []byte("signed"))...)
	for len(file)%8 > 0 {
		file = append(file, 0)
	}
	return append(file, header(entries, values)...)
}

func TestWhichPackageAFileHolds(t *testing.T) {
	for want, file := range map[string][]byte{
		wanted:                 rpmOf("kernel-modules-sriov", 0, "1", "1", "x86_64"),
		"qemu-2:10.0-1.noarch": rpmOf("qemu", 2, "10.0", "1", "noarch"),
	} {
		if got, err := dnfbridge.ReadNEVRA(bytes.NewReader(file)); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
		for end := range file {
			if got, err := dnfbridge.ReadNEVRA(bytes.NewReader(file[:end])); err == nil {
				t.Errorf("%d bytes of %d hold %q", end, len(file), got)
			}
		}
	}
	endless := rpmOf(strings.Repeat("a", 1000), 0, "1", "1", "x86_64")
	if got, err := dnfbridge.ReadNEVRA(bytes.NewReader(endless)); err == nil {
		t.Errorf("a name of 1000 characters is taken: %.20q", got)
	}
}

func FuzzReadNEVRA(f *testing.F) {
	f.Add(rpmOf("kernel-modules-sriov", 1, "1", "1", "x86_64"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if nevra, err := dnfbridge.ReadNEVRA(bytes.NewReader(file)); err == nil && len(nevra) > 1100 {
			t.Errorf("%d characters", len(nevra))
		}
	})
}
