// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// What is needed of the format of an RPM file: a lead, a header with signatures, padded,
// and the header of the package. A header begins with a magic number, and how many
// entries it has, and how many bytes of values.
const (
	leadSize    = 96
	headerMagic = "\x8e\xad\xe8\x01"
	introSize   = 16
	entrySize   = 16
	maxEntries  = 1 << 16
	maxValues   = 256 << 20
	maxWord     = 256 // bytes of a name, a version, ...

	tagName, tagVersion, tagRelease, tagEpoch, tagArch = 1000, 1001, 1002, 1003, 1022
)

// nevraIn reads which package a file holds, whatever it is called.
func nevraIn(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // only read: nothing can be lost
	nevra, err := readNEVRA(file)
	if err != nil {
		return "", fmt.Errorf("cannot read which package %s holds: %w", path, err)
	}
	return nevra, nil
}

func readNEVRA(file io.ReaderAt) (string, error) {
	entries, values, err := readIntro(file, leadSize)
	if err != nil {
		return "", err
	}
	begin := (leadSize + introSize + entries*entrySize + values + 7) &^ 7
	if entries, _, err = readIntro(file, begin); err != nil {
		return "", err
	}
	index := make([]byte, entries*entrySize)
	if _, err := file.ReadAt(index, begin+introSize); err != nil {
		return "", err
	}
	begin += introSize + entries*entrySize
	words, epoch := make(map[uint32]string), uint32(0)
	for entry := index; len(entry) > 0; entry = entry[entrySize:] {
		at := begin + int64(binary.BigEndian.Uint32(entry[8:]))
		switch tag := binary.BigEndian.Uint32(entry); tag {
		case tagName, tagVersion, tagRelease, tagArch:
			word := make([]byte, maxWord)
			n, err := file.ReadAt(word, at)
			end := bytes.IndexByte(word[:n], 0)
			if end < 0 {
				return "", errors.Join(errors.New("a word in its header has no end"), err)
			}
			words[tag] = string(word[:end])
		case tagEpoch:
			var number [4]byte
			if _, err := file.ReadAt(number[:], at); err != nil {
				return "", err
			}
			epoch = binary.BigEndian.Uint32(number[:])
		}
	}
	evr := words[tagVersion] + "-" + words[tagRelease]
	if epoch > 0 {
		evr = fmt.Sprintf("%d:%s", epoch, evr)
	}
	return words[tagName] + "-" + evr + "." + words[tagArch], nil
}

// readIntro reads how many entries, and bytes of values, a header has.
func readIntro(file io.ReaderAt, at int64) (entries, values int64, err error) {
	var intro [introSize]byte
	if _, err := file.ReadAt(intro[:], at); err != nil {
		return 0, 0, err
	}
	entries, values = int64(binary.BigEndian.Uint32(intro[8:])), int64(binary.BigEndian.Uint32(intro[12:]))
	if string(intro[:4]) != headerMagic || entries > maxEntries || values > maxValues {
		return 0, 0, errors.New("it is no package")
	}
	return entries, values, nil
}
