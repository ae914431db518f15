// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"driverd/reason"
)

// silentError is the error of a server that neither answers nor signals.
type silentError struct{ silence time.Duration }

func (e *silentError) Error() string {
	return fmt.Sprintf("dnf5daemon has been silent for %v", e.silence)
}

// The result of an rpm transaction, known only from the text of the error
// (libdnf5: Transaction::TransactionRunResult).
const (
	runOK       = 0
	runLocked   = 3 // libdnf5's transaction lock is held
	runFailed   = 5 // rpm failed: its own lock is held, a scriptlet, the disk, a file conflict
	runUnsigned = 6
)

// runResult reads the code of "rpm transaction failed with code N.", runOK if
// err is none of these.
func runResult(err error) int {
	var bus dbus.Error
	if !errors.As(err, &bus) {
		return runOK
	}
	_, tail, found := strings.Cut(bus.Error(), "rpm transaction failed with code ")
	var code int
	if _, err := fmt.Sscanf(tail, "%d", &code); !found || err != nil {
		return runOK
	}
	return code
}

// explain gives an error of a call its reason and says it in a person's words.
// The server knows few error names, so its texts are matched as well: they are
// C-locale texts, and one that is not known is only less well explained.
func explain(err error) error {
	var silent *silentError
	var bus dbus.Error
	switch {
	case errors.As(err, &silent):
		return reason.With(reason.BackendBusy, err)
	case !errors.As(err, &bus):
		return err // no error of the server: the end of the caller's context, say
	}
	text := bus.Error()
	says := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case bus.Name == "org.freedesktop.DBus.Error.AccessDenied", says("Not authorized"):
		return reason.With(reason.NotAuthorized, fmt.Errorf("polkit does not let this user do it, "+
			"or the packages come from a repository without gpgcheck: %w", err))
	case says("Failed to check authorization"):
		return reason.With(reason.NotAuthorized, fmt.Errorf("polkit does not answer: %w", err))
	case died(bus):
		return reason.With(reason.BackendMissing, fmt.Errorf("dnf5daemon ended before it answered: %w", err))
	case absent(bus):
		return reason.With(reason.BackendMissing, fmt.Errorf("dnf5daemon cannot be reached: %w", err))
	case says("maximal number"): // of sessions, 10 for all clients together
		return &lockedError{reason.With(reason.BackendBusy, err)}
	case says("Cannot load repositories"), says("Failed to download"):
		return reason.With(reason.RepoUnreachable, err)
	}
	switch runResult(err) {
	case runLocked:
		return reason.With(reason.BackendBusy, fmt.Errorf("another program holds the lock of the package database: %w", err))
	case runUnsigned:
		return reason.With(reason.UntrustedPackage, fmt.Errorf("a package is not signed, or not with a key that this guest trusts: %w", err))
	}
	return reason.With(reason.TransactionFailed, err)
}

// outdatedError marks an error that may come of metadata that the repositories have
// replaced since: what it names is not there any more, or is another file.
type outdatedError struct{ error }

func (e *outdatedError) Unwrap() error { return e.error }

// outdated says whether a package could not be downloaded because the repository has
// another file, or none, in its place. A server that does not answer is no reason to
// doubt the metadata. The texts are librepo's (handle.c, downloader.c).
func outdated(failure string) bool {
	return strings.Contains(failure, "Status code: 4") || strings.Contains(failure, "checksum doesn't match") ||
		strings.Contains(failure, "Content-Length") || strings.Contains(failure, "Couldn't read a file://")
}

// renewed runs do, and once more with the metadata renewed, in whose session do has to
// see to that, if it may have failed because of old metadata.
func renewed[T any](do func(fresh bool) (T, error)) (T, error) {
	result, err := do(false)
	if errors.As(err, new(*outdatedError)) {
		return do(true)
	}
	return result, err
}

// died says whether the server left the bus with a call pending. Both
// dbus-daemon and dbus-broker answer in its place.
func died(err dbus.Error) bool {
	return err.Name == "org.freedesktop.DBus.Error.NoReply"
}

// absent says whether there is no server, and none that the bus can start.
func absent(err dbus.Error) bool {
	switch err.Name {
	case "org.freedesktop.DBus.Error.ServiceUnknown",
		"org.freedesktop.DBus.Error.NameHasNoOwner",
		"org.freedesktop.DBus.Error.TimedOut":
		return true
	}
	return strings.HasPrefix(err.Name, "org.freedesktop.DBus.Error.Spawn.") ||
		strings.HasPrefix(err.Name, "org.freedesktop.systemd1.")
}
