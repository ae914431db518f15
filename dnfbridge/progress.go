// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"driverd/internal/redact"
	"driverd/reason"
)

// Phase is a part of a transaction.
type Phase string

// The phases, in the order they come. Install, Unpacked and Script repeat for
// every package.
const (
	PhaseResolve  Phase = "resolve"  // metadata is fetched, dependencies are solved
	PhaseDownload Phase = "download" // packages are fetched
	PhaseInstall  Phase = "install"  // a package's files are being written
	PhaseUnpacked Phase = "unpacked" // they are all on the disk; scriptlets and triggers may follow
	PhaseScript   Phase = "script"   // a scriptlet runs
	PhaseVerify   Phase = "verify"   // the package database is asked what became of it
)

// Progress is one step of a transaction.
type Progress struct {
	Phase      Phase
	Package    string  // the NEVRA that the step is about, if it is about one
	BytesDone  int64   // of all packages' downloads
	BytesTotal int64   // 0 until the transaction is resolved
	Fraction   float64 // of the whole transaction, 0 to 1; within one try it never falls
}

// How the whole is divided between its parts. Unpacking small packages is
// faster than fetching them, scriptlets are slower than both.
const (
	resolved   = 0.1
	downloaded = 0.5
	installed  = 0.95
)

// The signals of dnf5daemon-server that matter here. The first argument of each
// is the session (org.rpm.dnf.v0.Base.xml, org.rpm.dnf.v0.rpm.Rpm.xml).
const (
	signalDownloadNew      = busName + ".Base.download_add_new"
	signalDownloadProgress = busName + ".Base.download_progress"
	signalMirrorFailure    = busName + ".Base.download_mirror_failure"
	signalDownloadEnd      = busName + ".Base.download_end"
	signalKeyRequest       = busName + ".Base.repo_key_import_request"
	signalElemProgress     = busName + ".rpm.Rpm.transaction_elem_progress"
	signalActionStart      = busName + ".rpm.Rpm.transaction_action_start"
	signalActionProgress   = busName + ".rpm.Rpm.transaction_action_progress"
	signalActionStop       = busName + ".rpm.Rpm.transaction_action_stop"
	signalScriptStart      = busName + ".rpm.Rpm.transaction_script_start"
	signalScriptStop       = busName + ".rpm.Rpm.transaction_script_stop"
	signalScriptError      = busName + ".rpm.Rpm.transaction_script_error"
)

// downloadFailed is the transfer status of a failed download_end.
const downloadFailed = 2

// tracker learns from a session's signals how far it is, and what went wrong:
// the server's error replies say little of it.
type tracker struct {
	report func(Progress)
	state  Progress

	downloads map[string]*download // by the server's download id
	mirrors   map[string]string    // the last mirror failure by download id

	index, count uint64 // of the package at work in the rpm transaction
	began        bool   // the rpm transaction has touched a package
	unpacked     []string
	failures     []string
	outdated     bool // a package is not what the metadata says, or not there
	asked        bool // a repository was asked for metadata
	deadRepos    []string
	deniedKey    string
}

type download struct {
	name        string // a NEVRA with epoch, or a repository
	done, total int64
	ended       bool
	whole       bool // it ended well
}

func newTracker(report func(Progress)) *tracker {
	if report == nil {
		report = func(Progress) {}
	}
	return &tracker{report: report, downloads: make(map[string]*download), mirrors: make(map[string]string)}
}

// step reports progress.
func (t *tracker) step(phase Phase, nevra string, fraction float64) {
	t.state.Phase, t.state.Package = phase, withoutZeroEpoch(nevra)
	t.state.Fraction = max(t.state.Fraction, min(fraction, 1))
	t.report(t.state)
}

// handle takes one signal and says whether it is a sign of life. A stalled
// download is none, although its progress is signalled every second. A signal
// without the arguments it should have is passed over: the server of tomorrow
// may say more than today's.
func (t *tracker) handle(signal *dbus.Signal) (alive bool) {
	var id, text string
	var total, done int64
	var number, code uint64
	var kind uint32
	args := func(into ...any) bool {
		return len(signal.Body) > len(into) && dbus.Store(signal.Body[1:len(into)+1], into...) == nil
	}
	switch signal.Name {
	case signalDownloadNew:
		if args(&id, &text, &total) {
			t.downloads[id] = &download{name: redact.Text(text), total: max(total, 0)}
			t.asked = t.asked || !isPackage(id)
			t.downloadStep(id)
		}
	case signalDownloadProgress:
		if args(&id, &total, &done) && t.downloads[id] != nil {
			if t.downloads[id].done == done {
				return false
			}
			t.downloads[id].done = done
			t.downloadStep(id)
		}
	case signalMirrorFailure:
		if args(&id, &text) { // which names the URL
			t.mirrors[id] = text
			t.outdated = t.outdated || isPackage(id) && outdated(text)
		}
	case signalDownloadEnd:
		if args(&id, &kind, &text) {
			t.downloadEnd(id, kind, text)
		}
	case signalKeyRequest:
		if args(&id) {
			t.deniedKey = id
		}
	case signalElemProgress:
		if args(&id, &t.index, &t.count) {
			t.installStep(PhaseInstall, id, 0)
		}
	case signalActionStart:
		if args(&id) {
			t.began = true
			t.installStep(PhaseInstall, id, 0)
		}
	case signalActionProgress:
		if args(&id, &number, &code) && code > 0 {
			t.installStep(PhaseInstall, id, float64(number)/float64(code))
		}
	case signalActionStop:
		if args(&id) {
			t.unpacked = append(t.unpacked, withoutZeroEpoch(id))
			t.installStep(PhaseUnpacked, id, 1)
		}
	case signalScriptStart:
		if args(&id) {
			t.began = true
			t.installStep(PhaseScript, id, 0)
		}
	case signalScriptStop, signalScriptError:
		if args(&id, &kind, &code) && code != 0 {
			t.failed(fmt.Sprintf("the %s scriptlet of %s failed", scriptlet(kind), withoutZeroEpoch(id)))
		}
	}
	return true
}

// failed notes a failure, once: a scriptlet's is signalled twice.
func (t *tracker) failed(what string) {
	if !slices.Contains(t.failures, what) {
		t.failures = append(t.failures, what)
	}
}

func (t *tracker) downloadStep(id string) {
	if !isPackage(id) {
		t.step(PhaseResolve, "", 0)
		return
	}
	total := t.state.BytesTotal
	var sum int64
	for id, d := range t.downloads {
		if isPackage(id) {
			sum = min(sum+min(max(d.done, 0), total), total) // the server's numbers are not always sane
		}
	}
	t.state.BytesDone = max(t.state.BytesDone, sum)
	fraction := resolved
	if total > 0 {
		fraction += (downloaded - resolved) * float64(sum) / float64(total)
	}
	t.step(PhaseDownload, t.downloads[id].name, fraction)
}

func (t *tracker) downloadEnd(id string, status uint32, text string) {
	d := t.downloads[id]
	if d == nil {
		d = &download{name: redact.Text(id)}
		t.downloads[id] = d
	}
	d.ended, d.whole = true, status != downloadFailed
	if d.whole {
		d.done = max(d.done, d.total)
		t.downloadStep(id)
		return
	}
	if mirror := t.mirrors[id]; mirror != "" {
		text = mirror
	}
	failure := fmt.Sprintf("cannot download %s: %s", withoutZeroEpoch(d.name), redact.Text(oneLine(text)))
	if !isPackage(id) {
		t.deadRepos = append(t.deadRepos, failure)
	}
	t.failed(failure)
}

// toFetch is how many bytes of packages are not there yet. One that was cut short counts
// whole: librepo cuts off again what it had written of it (librepo: truncate_transfer_file
// in downloader.c).
func (t *tracker) toFetch() int64 {
	bytes := t.state.BytesTotal
	for id, d := range t.downloads {
		if isPackage(id) && d.whole {
			bytes -= d.total
		}
	}
	return bytes
}

// unreachable is the error for repositories that could not be reached, nil if there are
// none.
func (t *tracker) unreachable() error {
	if len(t.deadRepos) == 0 {
		return nil
	}
	return reason.With(reason.RepoUnreachable, errors.New(strings.Join(t.deadRepos, "; ")))
}

// isPackage says whether a download id is a package's: "package:17". Others are
// a repository's, "repo:fedora", or a key's, "".
func isPackage(id string) bool { return strings.HasPrefix(id, "package:") }

// stalled names a download that is under way.
func (t *tracker) stalled() (name string, found bool) {
	for _, d := range t.downloads {
		if !d.ended {
			return withoutZeroEpoch(d.name), true
		}
	}
	return "", false
}

// installStep reports a package at work, part of which is done.
func (t *tracker) installStep(phase Phase, nevra string, part float64) {
	fraction := downloaded
	if t.count > 0 {
		fraction += (installed - downloaded) * (float64(t.index) + part) / float64(t.count)
	}
	t.step(phase, nevra, fraction)
}

// scriptlet names a type of scriptlet (libdnf5: TransactionCallbacks::ScriptType).
func scriptlet(kind uint32) string {
	switch kind {
	case 1:
		return "%pre"
	case 2:
		return "%post"
	case 5:
		return "%pretrans"
	case 6:
		return "%posttrans"
	}
	return "trigger"
}

// oneLine makes one line of a message with several.
func oneLine(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimLeft(strings.TrimSpace(lines[i]), "- ")
	}
	return strings.Join(slices.DeleteFunc(lines, func(s string) bool { return s == "" }), "; ")
}
