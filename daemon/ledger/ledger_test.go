// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon/ledger"
	"driverd/hwdetect"
	"driverd/reason"
)

var (
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	key   = ledger.Packages([]string{"igb"})
)

func at(d time.Duration) time.Time { return start.Add(d) }

// failing returns a ledger in which a thing has failed at the start.
func failing(err error) *ledger.Ledger {
	l := ledger.New()
	l.Begin(key, 1, start, ledger.Try{})
	l.End(key, 1, start, err)
	return l
}

func TestSameThingSameKey(t *testing.T) {
	t.Parallel()
	here := hwdetect.Stay{Slot: hwdetect.Slot{Bus: 1}, Generation: 1}
	later := hwdetect.Stay{Slot: hwdetect.Slot{Bus: 1}, Generation: 2}
	for _, test := range []struct {
		a, b ledger.Key
		same bool
	}{
		{ledger.Packages([]string{"a", "b"}), ledger.Packages([]string{"b", "a", "b"}), true},
		{ledger.Packages([]string{"a"}), ledger.Packages([]string{"a", "b"}), false},
		{ledger.Packages([]string{"a"}), ledger.Reinstall([]string{"a"}), false},
		{ledger.Packages([]string{"a"}), ledger.Firmware([]string{"a"}), false},
		{ledger.Load(here), ledger.Load(here), true},
		{ledger.Load(here), ledger.Load(later), false},
	} {
		if same := test.a == test.b; same != test.same {
			t.Errorf("%v and %v are one: %t", test.a, test.b, same)
		}
	}
}

// Only who began a try ends it, or takes it back; and nobody begins it twice.
func TestOnlyTheOwnerEndsATry(t *testing.T) {
	t.Parallel()
	l := ledger.New()
	if !l.Begin(key, 1, start, ledger.Try{}) || l.Begin(key, 2, start, ledger.Try{}) {
		t.Error("begun by two")
	}
	l.Withdraw(key, 2, false)
	if l.End(key, 2, start, errors.New("no")) || !l.Get(key).Running() {
		t.Error("ended by somebody else")
	}
	l.Forget(key)
	l.ForgetAll()
	if !l.Get(key).Running() {
		t.Error("forgotten while it runs")
	}
	if l.EndLoad(key, 1, start, nil, true); !l.Get(key).Done() || l.Get(key).Failed() || !l.Get(key).Loaded {
		t.Errorf("ended as %+v", l.Get(key))
	}
	if l.End(key, 1, start, errors.New("again")) {
		t.Error("ended twice")
	}
	l.Forget(key)
	if l.Get(key).Done() {
		t.Error("not forgotten")
	}
}

// What is not needed any more does not count, whatever has become of it; what runs does.
func TestClean(t *testing.T) {
	t.Parallel()
	failed := failing(reason.With(reason.RepoUnreachable, errors.New("no route")))
	here := ledger.Load(hwdetect.Stay{Slot: hwdetect.Slot{Bus: 1}, Generation: 1})
	loaded := ledger.New()
	loaded.Begin(here, 0, start, ledger.Try{})
	loaded.EndLoad(here, 0, start, nil, true)
	well := failing(nil)
	running := ledger.New()
	running.Begin(key, 1, start, ledger.Try{})
	for _, test := range []struct {
		name   string
		ledger *ledger.Ledger
		needed []ledger.Key
		clean  bool
	}{
		{"nothing was tried", ledger.New(), []ledger.Key{key, here}, true},
		{"it went well", well, []ledger.Key{key, here}, true},
		{"it has failed", failed, []ledger.Key{here, key}, false},
		{"and nobody needs it", failed, []ledger.Key{here}, true},
		{"it runs, and nobody needs it", running, nil, false},
		{"a driver was loaded, and the device has none", loaded, []ledger.Key{here}, false},
		{"and the device is gone", loaded, nil, true},
	} {
		if got := test.ledger.Clean(test.needed); got != test.clean {
			t.Errorf("%s: clean %t", test.name, got)
		}
	}
}

// A try that is taken back never was; but the pauses go on growing.
func TestWithdrawnTry(t *testing.T) {
	t.Parallel()
	l := failing(reason.With(reason.BackendBusy, errors.New("locked")))
	l.Begin(key, 2, at(time.Minute), ledger.Try{})
	l.Withdraw(key, 2, true)
	if got := l.Get(key); got.Running() || got.Done() || !got.Alone || got.Failures != 1 {
		t.Errorf("withdrawn, it is %+v", got)
	}
	l.Begin(key, 3, at(time.Hour), ledger.Try{})
	if !l.Get(key).Alone {
		t.Error("it takes in others, although it is to be tried alone")
	}
	if l.End(key, 3, at(time.Hour), nil); l.Get(key).Alone {
		t.Error("it stays alone for good")
	}
}

func TestPauseGrowsToAnHour(t *testing.T) {
	t.Parallel()
	l, now := ledger.New(), start
	for _, least := range []time.Duration{30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600} {
		l.Begin(key, 1, now, ledger.Try{})
		l.End(key, 1, now, reason.With(reason.RepoUnreachable, errors.New("no route")))
		try := l.Get(key)
		if pause := try.RetryAt.Sub(now); pause < least*time.Second || pause > least*time.Second*6/5 {
			t.Errorf("after %d failures the pause is %s, want %d s and up to a fifth more", try.Failures, pause, least)
		}
		if try.Due(now, ledger.Changes{}) || !try.Due(try.RetryAt, ledger.Changes{}) {
			t.Error("not due at its time, or before")
		}
		now = try.RetryAt
	}
	l.Begin(key, 1, now, ledger.Try{})
	l.End(key, 1, now, nil)
	if got := l.Get(key).Failures; got != 0 {
		t.Errorf("after a success there are %d failures", got)
	}
}

// Each change ends the pause of what may have failed for it, and of nothing else; one
// before the try does not.
func TestChangesOvertake(t *testing.T) {
	t.Parallel()
	for why, want := range map[reason.Reason][3]bool{ // network, repositories, modules
		reason.RepoUnreachable:    {true, true, false},
		reason.NoPackage:          {false, true, false},
		reason.StaleKernel:        {false, true, false},
		reason.UntrustedPackage:   {false, true, false},
		reason.TransactionRefused: {false, true, false},
		reason.FirmwareMissing:    {true, true, true},
		reason.NoSpace:            {false, false, false},
		reason.BackendMissing:     {false, false, false},
		reason.ProbeFailed:        {false, false, true},
		reason.Blacklisted:        {false, false, true},
	} {
		try := failing(reason.With(why, errors.New("no"))).Get(key)
		for i, change := range []ledger.Changes{{Network: at(1)}, {Repositories: at(1)}, {Modules: at(1)}} {
			if got := try.Due(at(2), change); got != want[i] {
				t.Errorf("%s, change %d: due %t", why, i, got)
			}
		}
		if try.Due(at(2), ledger.Changes{Network: start, Repositories: start, Modules: start}) {
			t.Errorf("%s: due for what was so before", why)
		}
	}
}

// What could not be started was not tried, whatever its reason.
func TestNotStartedIsRetriedInTime(t *testing.T) {
	t.Parallel()
	err := reason.With(reason.ProbeFailed, reason.NotStarted(errors.New("cannot start it")))
	if try := failing(err).Get(key); try.RetryAt.IsZero() {
		t.Error("it is not tried again")
	}
}

// The table in ARCHITECTURE.md is that of the code.
func TestArchitectureShowsThePolicy(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	said := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (yes|) ?\\| (yes|) ?\\| (yes|) ?\\| (yes|) ?\\|$").FindAllStringSubmatch(string(text), -1) {
		said[row[1]] = fmt.Sprint(row[2:])
	}
	want := make(map[string]string)
	word := map[bool]string{true: "yes"}
	for _, r := range ledger.Retried() {
		p := ledger.RetryOf(reason.With(r, errors.New("no")))
		want[string(r)] = fmt.Sprint([]string{word[p.InTime], word[p.Network], word[p.Repositories], word[p.Modules]})
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("ledger.retries and ARCHITECTURE.md differ:\n%s", diff)
	}
}
