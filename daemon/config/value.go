// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"driverd/daemon/gate"
	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/kernelbuild"
)

func parseSlot(text string) (string, error) {
	slot, err := hwdetect.ParseSlot(text)
	return slot.String(), err
}

// parseID reads vendor and product, or a vendor with all its products.
func parseID(text string) (string, error) {
	example := text
	if vendor, ok := strings.CutSuffix(text, ":*"); ok {
		example = vendor + ":0000"
	}
	if _, _, err := modalias.ParseProduct(example); err != nil {
		return "", fmt.Errorf("cannot read %.80q as an id: want a form like 8086:10c9 or 10de:*", text)
	}
	return strings.ToLower(text), nil
}

func parseClass(text string) (string, error) {
	_, err := strconv.ParseUint(text, 16, 24)
	if n := len(text); err != nil || n != 2 && n != 4 && n != 6 {
		return "", fmt.Errorf("cannot read %.80q as a class: want two, four or six hex digits, as in 03 or 0200", text)
	}
	return strings.ToLower(text), nil
}

func parseGroup(text string) (string, error) {
	if !slices.Contains(kernelbuild.Groups(), text) {
		return "", fmt.Errorf("there is no group %.80q: want one of %s", text, strings.Join(kernelbuild.Groups(), ", "))
	}
	return text, nil
}

func parseGate(text string) (string, error) {
	if !slices.Contains(gate.Names, text) {
		return "", fmt.Errorf("there is no gate %.80q that could be ignored: want one of %s", text, strings.Join(gate.Names, ", "))
	}
	return text, nil
}

// parseModule reads the name of a module, or a pattern of names. The name of its file would
// match nothing, ever.
func parseModule(text string) (string, error) {
	if strings.ContainsAny(text, "./() ") {
		_, file, _ := strings.Cut(strings.TrimRight(text, ") "), "kmod(")
		name := cmp.Or(kernelbuild.ModuleOfFile(cmp.Or(file, text)), "nouveau")
		return "", fmt.Errorf("cannot read %.80q as the name of a module: want one without its file's suffix, as in %s", text, name)
	}
	return kernelbuild.ModulePattern(text), checkPattern(text)
}

// parsePackage reads the name of a package, or a pattern of names. With its version, or as a
// file, it would match nothing.
func parsePackage(text string) (string, error) {
	if architecture.MatchString(text) {
		return "", fmt.Errorf("cannot read %.80q as the name of a package: want it without version and architecture, as in kernel-modules-gpu", text)
	}
	return text, checkPattern(text)
}

// architecture is what the name of a package never ends with.
var architecture = regexp.MustCompile(`\.(?:x86_64|i686|aarch64|ppc64le|s390x|riscv64|noarch|src|rpm)$`)

func checkPattern(text string) error {
	if text == "" {
		return errors.New("an empty name matches nothing")
	}
	if strings.ContainsAny(text, `[\`) {
		return fmt.Errorf("cannot read %.80q as a name: only * and ? stand for other characters", text)
	}
	return nil
}
