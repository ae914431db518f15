// SPDX-License-Identifier: Apache-2.0

package plan

import "driverd/reason"

// State is where a device stands. The strings are part of the D-Bus contract
// of org.fedoraproject.Driverd1.Device.
type State string

// The states of a device.
const (
	Bound       State = "bound"       // a driver is bound
	Pending     State = "pending"     // seen, settling, or waiting for its turn
	Installing  State = "installing"  // its package is being downloaded or installed
	Loading     State = "loading"     // the module is being loaded
	Blocked     State = "blocked"     // known what to do, and something says no
	Unavailable State = "unavailable" // the driver is known, its package cannot be had now; retried
	Failed      State = "failed"      // tried, did not work
	Unsupported State = "unsupported" // no driver known for it
)

// StateOf returns the state of a device that cannot go on for r: one reason,
// one state, whoever found it.
func StateOf(r reason.Reason) State {
	switch r {
	case reason.NoDriver:
		return Unsupported
	case reason.NoPackage, reason.Excluded, reason.StaleKernel, reason.RepoUnreachable,
		reason.BackendMissing, reason.BackendBusy, reason.NoSpace:
		return Unavailable
	case reason.NotAuthorized, reason.TransactionRefused, reason.UntrustedPackage,
		reason.Policy, reason.ObserveOnly, reason.Blacklisted, reason.ModulesDisabled,
		reason.KeyRejected, reason.Lockdown, reason.DriverOverride, reason.Unbound, reason.ForeignKernel,
		reason.Container, reason.NoModuleSupport, reason.ImageMode, reason.VendorDriver:
		return Blocked
	default:
		return Failed
	}
}
