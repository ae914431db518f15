// SPDX-License-Identifier: Apache-2.0

// Package reason holds the machine-readable causes that driverd publishes, and
// the error type that carries one from where it is found to the D-Bus property.
//
// It imports nothing of driverd, so that packages which must not know each
// other (plan and dnfbridge, say) can still speak the same words.
package reason

import "errors"

// Reason says why a device, a job or the service is in its state. The strings
// are part of the D-Bus contract of org.fedoraproject.Driverd1.
type Reason string

// The reasons. None is the reason of a state that says it all by itself.
const (
	None               Reason = ""
	NoDriver           Reason = "no-driver"
	NoPackage          Reason = "no-package"
	Excluded           Reason = "excluded"
	StaleKernel        Reason = "stale-kernel"
	RepoUnreachable    Reason = "repo-unreachable"
	BackendMissing     Reason = "backend-missing"
	BackendBusy        Reason = "backend-busy"
	NotAuthorized      Reason = "not-authorized"
	TransactionRefused Reason = "transaction-refused"
	TransactionFailed  Reason = "transaction-failed"
	UntrustedPackage   Reason = "untrusted-package"
	NoSpace            Reason = "no-space"
	Policy             Reason = "policy"
	ObserveOnly        Reason = "observe-only"
	Blacklisted        Reason = "blacklisted"
	ModulesDisabled    Reason = "modules-disabled"
	KeyRejected        Reason = "key-rejected"
	Lockdown           Reason = "lockdown"
	DriverOverride     Reason = "driver-override"
	Unbound            Reason = "unbound"
	FirmwareMissing    Reason = "firmware-missing"
	ProbeFailed        Reason = "probe-failed"
	ForeignKernel      Reason = "foreign-kernel"
	Container          Reason = "container"
	NoModuleSupport    Reason = "no-module-support"
	ImageMode          Reason = "image-mode"
	VendorDriver       Reason = "vendor-driver"
)

// ErrNotStarted is found by errors.Is in what NotStarted marks.
var ErrNotStarted = errors.New("not started")

// NotStarted marks err, of a step that could not be started: nothing was tried, so
// what was in the way may pass.
func NotStarted(err error) error { return &notStartedError{err} }

type notStartedError struct{ error }

func (e *notStartedError) Unwrap() error        { return e.error }
func (e *notStartedError) Is(target error) bool { return target == ErrNotStarted }

// ErrSilent is found by errors.Is in what Silent marks.
var ErrSilent = errors.New("no driver has said why")

// Silent marks err, of a load step: its modules are loaded, and the kernel's log holds
// no word of a driver about the device. None may know it.
func Silent(err error) error { return &silentError{err} }

type silentError struct{ error }

func (e *silentError) Unwrap() error        { return e.error }
func (e *silentError) Is(target error) bool { return target == ErrSilent }

// Error is an error with its machine-readable reason. Its text is the text of
// the error it wraps: one sentence for a person.
type Error struct {
	Reason Reason
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// With gives err a reason. A nil err stays nil.
func With(r Reason, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Reason: r, Err: err}
}

// Of returns the reason that err carries, or None.
func Of(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return None
}
