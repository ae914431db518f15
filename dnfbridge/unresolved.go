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

// problemNotFound is the bit of "nothing matches" among the problems of a goal
// (libdnf5: GoalProblem::NOT_FOUND).
const problemNotFound = 2

// unresolved says why dnf found no transaction.
func (s *session) unresolved(ctx context.Context, track *tracker) error {
	var texts []string
	if err := s.call(ctx, problemsText, nil, &texts); err != nil {
		return track.explain(err)
	}
	var details []map[string]dbus.Variant
	if err := s.call(ctx, problems, nil, &details); err != nil {
		return track.explain(err)
	}
	text := redact.Text(oneLine(strings.Join(texts, "\n")))
	if len(track.deadRepos) > 0 {
		return reason.With(reason.RepoUnreachable, fmt.Errorf("%s; %s", strings.Join(track.deadRepos, "; "), text))
	}
	r := reason.TransactionFailed
	for _, d := range details {
		if bits, _ := d["problem"].Value().(uint32); bits&problemNotFound != 0 {
			r = reason.NoPackage
		}
	}
	// A dependency that exists and is outside the transaction: the session's
	// includepkgs keeps it out before the guard would.
	if strings.Contains(text, "filtered out by exclude filtering") || strings.Contains(text, "matches only excluded packages") {
		r = reason.TransactionRefused
	}
	return reason.With(r, errors.New(text))
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
	if code == runLocked || code == runFailed && !t.began {
		return &lockedError{explained}
	}
	return explained
}
