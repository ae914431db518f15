// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"

	"driverd/internal/redact"
	"driverd/reason"
)

// Bits of the problems of a goal (libdnf5: GoalProblem).
const (
	problemNotFound = 1 << 1  // nothing matches
	problemExcluded = 1 << 2  // all that matches is excluded, or in a module stream that is not enabled
	problemLocked   = 1 << 17 // all that matches is excluded by versionlock
)

// problems returns the problems that a resolve has met, as bits.
func (s *session) problems(ctx context.Context) (found uint32, err error) {
	var details []map[string]dbus.Variant
	if err := s.call(ctx, problems, nil, &details); err != nil {
		return 0, explain(err)
	}
	for _, d := range details {
		bits, _ := d["problem"].Value().(uint32)
		found |= bits
	}
	return found, nil
}

// unresolved says why dnf found no transaction.
func (s *session) unresolved(ctx context.Context, track *tracker) error {
	var texts []string
	if err := s.call(ctx, problemsText, nil, &texts); err != nil {
		return track.explain(err)
	}
	found, err := s.problems(ctx)
	if err != nil {
		return err
	}
	text := redact.Text(oneLine(strings.Join(texts, "\n")))
	if len(track.deadRepos) > 0 {
		why := strings.Join(track.deadRepos, "; ") + "; check the address in /etc/yum.repos.d, and the network"
		if found&problemNotFound == 0 { // which the repository may have
			why += "; " + text
		}
		return reason.With(reason.RepoUnreachable, errors.New(why))
	}
	switch {
	case found&problemLocked != 0:
		return reason.With(reason.Excluded, fmt.Errorf("versionlock excludes it (dnf5 versionlock list shows what is locked, "+
			"dnf5 versionlock delete NAME ends that): %s", text))
	case found&problemExcluded != 0:
		return reason.With(reason.Excluded, fmt.Errorf("DNF's configuration excludes it (excludepkgs= or includepkgs= "+
			"in /etc/dnf/dnf.conf or in /etc/yum.repos.d, or a module stream that is not enabled): %s", text))
	case found&problemNotFound != 0:
		return &outdatedError{reason.With(reason.NoPackage, errors.New(text))}
	case strings.Contains(text, "filtered out by exclude filtering"):
		// A dependency that exists and is outside the transaction: the session's
		// includepkgs keeps it out before the guard would.
		return reason.With(reason.TransactionRefused, errors.New(text))
	}
	return reason.With(reason.TransactionFailed, errors.New(text))
}

// explain explains the error of a call with what the signals said before it.
// Trying again may help if the rpm transaction did not get to its first package
// because of a lock; rpm's own lock fails with the code of everything else.
func (t *tracker) explain(err error) error {
	if err == nil {
		return nil
	}
	code := runResult(err)
	explained := explain(err)
	if name, found := t.stalled(); found && errors.As(err, new(*silentError)) {
		return reason.With(reason.RepoUnreachable, fmt.Errorf("cannot download %s: nothing came for too long: %w", name, err))
	}
	if len(t.failures) > 0 {
		explained = reason.With(reason.Of(explained), fmt.Errorf("%s: %w", strings.Join(t.failures, "; "), explained))
	}
	if t.deniedKey != "" {
		explained = reason.With(reason.UntrustedPackage,
			fmt.Errorf("the key %s is not trusted here, an administrator can import it: %w", t.deniedKey, explained))
	}
	if t.outdated {
		return &outdatedError{explained}
	}
	if code == runLocked || code == runFailed && !t.began {
		return &lockedError{explained}
	}
	return explained
}
