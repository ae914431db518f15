// SPDX-License-Identifier: Apache-2.0

package lab

import (
	_ "embed" // for the rules
	"fmt"

	"driverd/kernelsplit"
)

var (
	//go:embed guest.rules
	guestRules string
	//go:embed fedora.rules
	fedoraRules string
)

// GuestRules divide the kernel of the lab's guest: those of the split, but for what
// guest.rules says.
func GuestRules() (kernelsplit.Rules, error) {
	rules, err := kernelsplit.ParseRules(guestRules)
	if err != nil {
		return nil, fmt.Errorf("lab/guest.rules: %w", err)
	}
	return append(rules, kernelsplit.DefaultRules()...), nil
}

// FedoraRules are the placement of today's Fedora in the words of ours: Base is
// its kernel-modules-core, Hardware its kernel-modules and all that require that.
func FedoraRules() (kernelsplit.Rules, error) {
	rules, err := kernelsplit.ParseRules(fedoraRules)
	if err != nil {
		return nil, fmt.Errorf("lab/fedora.rules: %w", err)
	}
	return rules, nil
}
