// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"slices"

	"driverd/api"
	"driverd/kernelbuild"
	"driverd/plan"
	"driverd/reason"
)

// concern is how much a device wants to be looked at, the most urgent first.
type concern int

const (
	needsHelp concern = iota
	inProgress
	settled
	leftAlone // as somebody has decided
	chipset   // whose parts nobody plugged in, and nobody misses a driver of
)

func concernOf(d api.Device) concern {
	switch d.State {
	case "pending", "installing", "loading":
		return inProgress
	case "bound":
		if !isChipset(d) {
			return settled
		}
		return chipset
	case "unsupported", "unavailable":
		if isChipset(d) {
			return chipset
		}
	case "blocked":
		switch reason.Reason(d.Reason) {
		case reason.Policy:
			if isChipset(d) {
				return chipset
			}
			return leftAlone
		case reason.DriverOverride, reason.Unbound:
			return leftAlone
		}
	}
	return needsHelp
}

// isChipset says whether a device is a part of the mainboard that the
// hypervisor emulates: a bridge or an SMBus controller whose driver is in no
// package for devices that are passed through.
func isChipset(d api.Device) bool {
	return plan.Chipset(d.Class) && (d.Group == "" || d.Group == kernelbuild.Base || d.Group == kernelbuild.Hardware)
}

// needHelp returns the devices that need help, the most urgent first.
func needHelp(devices []api.Device) []api.Device {
	help := slices.DeleteFunc(slices.Clone(devices), func(d api.Device) bool { return concernOf(d) != needsHelp })
	slices.SortStableFunc(help, func(x, y api.Device) int { return cmp.Compare(urgency(x), urgency(y)) })
	return help
}

// urgency orders the states that need help: what broke before what was never
// going to work.
func urgency(d api.Device) int {
	return slices.Index([]string{"failed", "blocked", "unavailable", "unsupported"}, d.State)
}

// exitOfDevices is the exit status that the most urgent of the devices asks for, 0 if
// none needs help.
func exitOfDevices(devices []api.Device) int {
	help := needHelp(devices)
	if len(help) == 0 {
		return 0
	}
	return exitOfState(plan.State(help[0].State))
}
