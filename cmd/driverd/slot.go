// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"driverd/api"
	"driverd/hwdetect"
	"driverd/kernelbuild"
	"driverd/plan"
)

// noDomain is the domain of a slot that is given without one and where no device is:
// that of machines with one domain only.
const noDomain = "0000:"

// isShortSlot says whether a word is a slot without its domain, 01:00.0, as lspci(8)
// prints it on most machines.
func isShortSlot(word string) bool {
	_, err := hwdetect.ParseSlot(noDomain + word)
	return err == nil && strings.Count(word, ":") == 1
}

// parseSlot reads a slot, with or without its domain.
func parseSlot(word string) (string, error) {
	if isShortSlot(word) {
		return strings.ToLower(word), nil
	}
	slot, err := hwdetect.ParseSlot(word)
	if err != nil {
		return "", status{exitUsage, err}
	}
	return slot.String(), nil
}

// parseSlots reads slots, with or without their domains.
func parseSlots(words []string) ([]string, error) {
	var slots []string
	for _, word := range words {
		slot, err := parseSlot(word)
		if err != nil {
			return nil, err
		}
		slots = append(slots, slot)
	}
	return slots, nil
}

// inDomain returns a slot with its domain, which is that of the one slot among those
// known that has the same bus, device and function.
func inDomain(word string, known []string) (string, error) {
	if !isShortSlot(word) {
		return word, nil
	}
	word = strings.ToLower(word)
	var found []string
	for _, slot := range known {
		if _, short, ok := strings.Cut(slot, ":"); ok && short == word && !slices.Contains(found, slot) {
			found = append(found, slot)
		}
	}
	switch len(found) {
	case 0:
		return noDomain + word, nil
	case 1:
		return found[0], nil
	}
	return "", status{exitUsage, fmt.Errorf("cannot tell which slot %s is: want one of %s", word, strings.Join(found, ", "))}
}

// inDomains is inDomain for words of which some may be slots, among the devices of the
// service. It asks for these only if it must.
func inDomains(ctx context.Context, client *api.Client, words []string) ([]string, error) {
	if !slices.ContainsFunc(words, isShortSlot) {
		return words, nil
	}
	devices, err := client.Devices(ctx)
	if err != nil {
		return nil, err
	}
	words = slices.Clone(words)
	for i, word := range words {
		if words[i], err = inDomain(word, slotsOf(devices)); err != nil {
			return nil, err
		}
	}
	return words, nil
}

func slotsOf(devices []api.Device) []string {
	var slots []string
	for _, d := range devices {
		slots = append(slots, d.Slot)
	}
	return slots
}

// parseSelectors reads what plan and install take: what the service does, a slot without
// its domain, and the bare name of a module. It spares somebody who mistypes one the
// question for a password.
func parseSelectors(words []string) ([]string, error) {
	selectors := slices.Clone(words)
	for i, word := range words {
		if isShortSlot(word) {
			continue
		}
		_, err := plan.ParseSelector(word)
		if err == nil {
			continue
		}
		selectors[i] = "kmod(" + word + ".ko)"
		if _, module := plan.ParseSelector(selectors[i]); module != nil || word == kernelbuild.Base {
			return nil, status{exitUsage, err}
		}
	}
	return selectors, nil
}
