// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/rs/zerolog"

	"driverd/daemon/config"
	"driverd/daemon/install"
	"driverd/dnfbridge"
	"driverd/plan"
	"driverd/reason"
)

// stage is where a service and its steps meet, without systemd: a step is a function.
type stage struct {
	t              *testing.T
	jobs, outcomes string
	step           func(ctx context.Context, line *install.Line, job uint64) (result string)
	dial           func(call func() (net.Conn, error)) (net.Conn, error) // nil: calls

	mu     sync.Mutex
	ending map[uint64][]chan string // of the steps that run
	starts int
}

func newStage(t *testing.T, step func(ctx context.Context, line *install.Line, job uint64) string) *stage {
	t.Helper()
	return &stage{t: t, jobs: t.TempDir(), outcomes: t.TempDir(), step: step, ending: make(map[uint64][]chan string)}
}

// start starts a step, or joins the one that runs, as systemd does.
func (s *stage) Start(_ context.Context, job uint64) (<-chan string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ended, runs := make(chan string, 1), len(s.ending[job]) > 0
	s.ending[job] = append(s.ending[job], ended)
	if runs {
		return ended, nil
	}
	s.starts++
	go func() {
		ctx, stop := context.WithCancelCause(context.WithoutCancel(s.t.Context()))
		defer stop(nil)
		line := install.LineOver(ctx, job, stop, func() (net.Conn, error) {
			call := func() (net.Conn, error) { return install.Call(filepath.Join(s.jobs, "socket"), uint32(os.Getuid())) }
			if s.dial != nil {
				return s.dial(call)
			}
			return call()
		})
		result := s.step(ctx, line, job)
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, ended := range s.ending[job] {
			ended <- result
		}
		delete(s.ending, job)
	}()
	return ended, nil
}

func (s *stage) Running(_ context.Context, job uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ending[job]) > 0
}

// backend is one of a service that has just started.
func (s *stage) backend() *install.Backend { return s.backendOf(s) }

func (s *stage) backendOf(steps install.Starter) *install.Backend {
	nowhere := func(context.Context, ...dbus.ConnOption) (*dbus.Conn, error) { return nil, errors.New("no bus") }
	return install.NewBackendAt(dnfbridge.NewDNF5(nowhere, zerolog.Nop()), zerolog.Nop(), steps, s.jobs, s.outcomes, uint32(os.Getuid()))
}

// leave leaves an outcome.
func (s *stage) leave(job uint64, o install.Outcome) string {
	if err := o.Leave(s.outcomes, job); err != nil {
		s.t.Error(err)
	}
	return "done"
}

func transaction(commit func([]string) error) dnfbridge.Transaction {
	return dnfbridge.Transaction{Install: []string{sriov}, Commit: commit}
}

// What a step says comes to the service, and what it is asked goes back.
func TestStepAndService(t *testing.T) {
	t.Parallel()
	var s *stage
	s = newStage(t, func(ctx context.Context, line *install.Line, job uint64) string {
		r, err := install.ReadRequest(s.jobs, job, uint32(os.Getuid()))
		if err != nil || !slices.Equal(r.Install, []string{sriov}) || !r.Asked {
			t.Errorf("the request is %+v, %v", r, err)
		}
		line.Progress(dnfbridge.Progress{Phase: dnfbridge.PhaseDownload, BytesTotal: 7})
		if err := line.Ask(ctx, []string{sriov}); err != nil {
			return s.leave(job, install.Outcome{Message: err.Error()})
		}
		line.Progress(dnfbridge.Progress{Phase: dnfbridge.PhaseUnpacked, Package: sriov})
		return s.leave(job, install.Outcome{Reason: reason.NoSpace, Message: "no\x1b[31m room", Started: ":1.7"})
	})
	b := s.backend()
	var unpacked, coming []string
	asked := transaction(func(c []string) error { coming = c; return nil })
	asked.Asked = true
	err := b.Install(t.Context(), asked, func(p dnfbridge.Progress) {
		if p.Phase == dnfbridge.PhaseUnpacked {
			unpacked = append(unpacked, p.Package)
		}
	})
	if reason.Of(err) != reason.NoSpace || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("it ends with %v (%s)", err, reason.Of(err))
	}
	if !slices.Equal(coming, []string{sriov}) {
		t.Errorf("asked about %q", coming)
	}
	if b.HasStarted() != ":1.7" {
		t.Errorf("the service does not know of a dnf5daemon to stop")
	}
	if left, _ := filepath.Glob(filepath.Join(s.jobs, "[0-9]*")); len(left) > 0 {
		t.Errorf("requests stay: %q", left)
	}
}

// What the service says instead of yes ends the step, and is how Install ends.
func TestServiceSaysNo(t *testing.T) {
	t.Parallel()
	no := errors.New("there is more to install")
	var s *stage
	s = newStage(t, func(ctx context.Context, line *install.Line, job uint64) string {
		err := line.Ask(ctx, []string{sriov})
		if !errors.Is(err, install.ErrStopped) {
			t.Errorf("the step hears %v", err)
		}
		return s.leave(job, install.Outcome{Message: "stopped"})
	})
	if err := s.backend().Install(t.Context(), transaction(func([]string) error { return no }), nil); !errors.Is(err, no) {
		t.Errorf("it ends with %v", err)
	}
}

// The service ends in the middle, and comes back: the step has gone on, and tells it
// all that it has to know; then there is nothing left to do for the step of its own.
func TestServiceIsRestarted(t *testing.T) {
	t.Parallel()
	gone, back := make(chan struct{}), make(chan struct{})
	var s *stage
	s = newStage(t, func(ctx context.Context, line *install.Line, job uint64) string {
		o := install.Outcome{}
		if s.starts == 1 {
			o.Coming = []string{sriov}
			line.Progress(dnfbridge.Progress{Phase: dnfbridge.PhaseDownload})
			if err := line.Ask(ctx, []string{sriov}); err != nil {
				t.Error(err)
			}
			line.Progress(dnfbridge.Progress{Phase: dnfbridge.PhaseUnpacked, Package: sriov})
			close(gone)
			<-back
		}
		return s.leave(job, o)
	})
	ctx, end := context.WithCancel(t.Context())
	go func() { <-gone; end() }()
	if err := s.backend().Install(ctx, transaction(func([]string) error { return nil }), func(dnfbridge.Progress) {}); !errors.Is(err, context.Canceled) {
		t.Fatalf("it ends with %v", err)
	}
	var coming []string
	var once sync.Once
	b := s.backend()
	err := b.Install(t.Context(), transaction(func(c []string) error { coming = c; return nil }), func(p dnfbridge.Progress) {
		if p.Phase == dnfbridge.PhaseUnpacked && p.Package == sriov {
			once.Do(func() { close(back) })
		}
	})
	if err != nil || s.starts != 2 || !slices.Equal(coming, []string{sriov}) {
		t.Errorf("%v after %d steps; what comes is %q", err, s.starts, coming)
	}
	if installed, err := b.InstalledEarlier(t.Context()); err != nil || !slices.Equal(installed, []string{sriov}) {
		t.Errorf("the step of the last service has installed %q, %v", installed, err)
	}
}

// What a step has left of which nobody knows any more does not stay.
func TestRequestsOfADeadServiceAreTakenAway(t *testing.T) {
	t.Parallel()
	var s *stage
	s = newStage(t, func(_ context.Context, _ *install.Line, job uint64) string { return s.leave(job, install.Outcome{}) })
	if err := install.WriteRequest(s.jobs, 1, install.Request{Install: []string{"old-1-1.x86_64"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.backend().Install(t.Context(), transaction(nil), nil); err != nil || s.starts != 1 {
		t.Errorf("%v after %d steps", err, s.starts)
	}
}

func TestStepIsKilled(t *testing.T) {
	t.Parallel()
	for result, notStarted := range map[string]bool{"failed": false, "timeout": false, "canceled": true, "dependency": true} {
		s := newStage(t, func(context.Context, *install.Line, uint64) string { return result })
		err := s.backend().Install(t.Context(), transaction(nil), nil)
		if err == nil || reason.Of(err) == reason.None || errors.Is(err, reason.ErrNotStarted) != notStarted {
			t.Errorf("%s: %v (%s)", result, err, reason.Of(err))
		}
	}
}

// A service that is not there, stalls, lies or hangs up costs a step its progress and
// ten seconds; it can stop the step only before the transaction.
func TestStepDoesWithoutTheService(t *testing.T) {
	const no, yes, rubbish = `{"go":false}`, `{"go":true}`, "\x00 rubbish"
	for name, test := range map[string]struct {
		serve   func(conn net.Conn) // nil: nobody is there
		takes   time.Duration
		stopped bool
	}{
		"not there":      {nil, 10 * time.Second, false},
		"says nothing":   {func(conn net.Conn) { read(conn, 1<<20) }, 10 * time.Second, false},
		"reads nothing":  {func(net.Conn) {}, 10 * time.Second, false},
		"hangs up":       {func(conn net.Conn) { read(conn, 1); _ = conn.Close() }, 10 * time.Second, false},
		"talks rubbish":  {func(conn net.Conn) { say(conn, rubbish); read(conn, 1<<20) }, 10 * time.Second, false},
		"says no early":  {func(conn net.Conn) { say(conn, no); read(conn, 1<<20) }, 0, true},
		"says yes early": {func(conn net.Conn) { say(conn, yes); read(conn, 1<<20) }, 10 * time.Second, false},
		"answers":        {func(conn net.Conn) { read(conn, 2); say(conn, yes); read(conn, 1<<20) }, 0, false},
		// Its second word comes before the last moment, or after it, when it counts no more.
		"says yes and no": {func(conn net.Conn) { read(conn, 2); say(conn, yes); say(conn, no); read(conn, 1<<20) }, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancelCause(t.Context())
				line := install.LineOver(ctx, 1, stop, func() (net.Conn, error) {
					if test.serve == nil {
						return nil, errors.New("nobody is there")
					}
					ours, theirs := net.Pipe()
					go test.serve(theirs)
					return ours, nil
				})
				synctest.Wait()
				began := time.Now()
				err := line.Ask(ctx, []string{sriov})
				stopped := errors.Is(err, install.ErrStopped)
				if took := time.Since(began); stopped != test.stopped && name != "says yes and no" || err != nil && !stopped || took > test.takes+2*time.Second {
					t.Errorf("%v after %s", err, took)
				}
				if err == nil {
					synctest.Wait()
					if ctx.Err() != nil {
						t.Error("it is stopped after the last moment")
					}
				}
				for range 100 {
					line.Progress(dnfbridge.Progress{Phase: dnfbridge.PhaseInstall})
				}
				stop(nil)
				synctest.Wait()
			})
		})
	}
}

func say(conn net.Conn, line string) { _, _ = conn.Write([]byte(line + "\n")) }

// read reads so many lines, or to the end.
func read(conn net.Conn, lines int) {
	one := make([]byte, 1)
	for lines > 0 {
		if _, err := conn.Read(one); err != nil {
			return
		}
		if one[0] == '\n' {
			lines--
		}
	}
}

// The step goes by driverd.toml, whatever the service says.
func TestConfigurationBindsTheStep(t *testing.T) {
	t.Parallel()
	held := plan.Policy{Holds: []plan.Hold{{Package: "kernel-modules-sriov", Origin: plan.Origin{File: "f", Line: 1}}}}
	request, asked := install.Request{Install: []string{sriov}}, install.Request{Install: []string{sriov}, Asked: true}
	for name, test := range map[string]struct {
		request install.Request
		config  config.Config
		broken  error
		want    reason.Reason
	}{
		"nothing against it":  {request, config.Config{}, nil, reason.None},
		"observes":            {request, config.Config{Observe: true}, nil, reason.ObserveOnly},
		"observes, was asked": {asked, config.Config{Observe: true}, nil, reason.None},
		"held":                {asked, config.Config{Policy: held}, nil, reason.Policy},
		"has a mistake":       {asked, config.Config{}, errors.New("f:1: no"), reason.ObserveOnly},
	} {
		if err := install.MayInstall(test.request, test.config, test.broken); reason.Of(err) != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	deny := plan.Rule{Groups: []string{"sriov"}}
	allow := plan.Rule{Allow: true, Slots: []string{"0000:01:00.0"}}
	provides := []string{"kernel-modules-sriov-uname-r = 1"}
	for name, test := range map[string]struct {
		rules []plan.Rule
		no    bool
	}{
		"no rule":                   {nil, false},
		"denied":                    {[]plan.Rule{deny}, true},
		"another group":             {[]plan.Rule{{Groups: []string{"gpu"}}}, false},
		"everything":                {[]plan.Rule{{}}, true},
		"one device of it":          {[]plan.Rule{{Groups: []string{"sriov"}, IDs: []string{"8086:10c9"}}}, false},
		"denied, one device is not": {[]plan.Rule{deny, allow}, false},
		"allowed, then denied":      {[]plan.Rule{allow, deny}, true},
	} {
		if err := install.Veto(plan.Policy{Rules: test.rules}, sriov, provides); (reason.Of(err) == reason.Policy) != test.no {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Only a step of root's is heard: whoever else calls is sent away.
func TestStrangersAreSentAway(t *testing.T) {
	t.Parallel()
	var s *stage
	s = newStage(t, func(ctx context.Context, line *install.Line, job uint64) string {
		for range 10 {
			line.Progress(dnfbridge.Progress{Phase: dnfbridge.PhaseInstall})
		}
		conn, err := net.Dial("unix", filepath.Join(s.jobs, "socket"))
		if err != nil {
			t.Error(err)
		} else {
			defer func() { _ = conn.Close() }()
			_, _ = conn.Write([]byte(`{"job":1,"unpacked":["evil-1-1.x86_64"]}` + "\n"))
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				t.Error("a stranger is answered")
			}
		}
		return s.leave(job, install.Outcome{})
	})
	nowhere := func(context.Context, ...dbus.ConnOption) (*dbus.Conn, error) { return nil, errors.New("no bus") }
	b := install.NewBackendAt(dnfbridge.NewDNF5(nowhere, zerolog.Nop()), zerolog.Nop(), s, s.jobs, s.outcomes, uint32(os.Getuid())+1)
	if err := b.Install(t.Context(), transaction(nil), func(p dnfbridge.Progress) { t.Errorf("somebody said %+v", p) }); err != nil {
		t.Error(err)
	}
}
