// SPDX-License-Identifier: Apache-2.0

//go:build lab && faults

package behaviour_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"driverd/lab/rpmrepo"
)

// faulty is the guest's package repository, with what can be wrong with one.
type faulty struct {
	mu    sync.Mutex
	dir   string // that is served
	fault fault
	asked chan struct{} // gets a value when a package is asked for, if there is room
	free  chan struct{} // closed when those who are held may go on
}

// fault answers a request for a file in its own way.
type fault func(w http.ResponseWriter, r *http.Request, file string)

func newFaulty(dir string) *faulty {
	return &faulty{dir: dir, asked: make(chan struct{}, 1), free: make(chan struct{})}
}

// serve serves dir with a fault from now on; nil is none.
func (r *faulty) serve(dir string, f fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dir, r.fault = dir, f
	close(r.free)
	r.free = make(chan struct{})
	select {
	case <-r.asked:
	default:
	}
}

func (r *faulty) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	dir, f := r.dir, r.fault
	r.mu.Unlock()
	file := filepath.Join(dir, filepath.FromSlash(filepath.Clean("/"+request.URL.Path)))
	if isPackage(file) {
		select {
		case r.asked <- struct{}{}:
		default:
		}
	}
	if f != nil {
		f(w, request, file)
		return
	}
	http.ServeFile(w, request, file)
}

func isPackage(file string) bool { return strings.HasSuffix(file, ".rpm") }

// onPackages keeps a fault to the packages: the metadata is well.
func onPackages(f fault) fault {
	return func(w http.ResponseWriter, r *http.Request, file string) {
		if isPackage(file) {
			f(w, r, file)
			return
		}
		http.ServeFile(w, r, file)
	}
}

// refuse drops the connection before a byte of answer.
func refuse(http.ResponseWriter, *http.Request, string) { panic(http.ErrAbortHandler) }

// missing has nothing.
func missing(w http.ResponseWriter, r *http.Request, _ string) { http.NotFound(w, r) }

// stall answers nothing until the repository serves something else.
func (r *faulty) stall(_ http.ResponseWriter, request *http.Request, _ string) {
	r.mu.Lock()
	free := r.free
	r.mu.Unlock()
	select {
	case <-free:
	case <-request.Context().Done():
	}
	panic(http.ErrAbortHandler)
}

// truncated ends in the middle.
func truncated(w http.ResponseWriter, _ *http.Request, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	_, _ = w.Write(text[:len(text)/2])
	panic(http.ErrAbortHandler)
}

// garbled is right in length and wrong in content.
func garbled(w http.ResponseWriter, _ *http.Request, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for i := len(text) / 2; i < len(text)/2+64; i++ {
		text[i] ^= 0xff
	}
	_, _ = w.Write(text)
}

// variant makes another repository of the packages in dir, as change leaves them:
// it gets a folder with links to all of them.
func variant(t *testing.T, dir string, change func(dir string)) string {
	t.Helper()
	out := t.TempDir()
	packages, err := filepath.Glob(filepath.Join(dir, "*.rpm"))
	if err != nil || len(packages) == 0 {
		t.Fatalf("no packages in %s: %v", dir, err)
	}
	for _, p := range packages {
		if err := os.Symlink(p, filepath.Join(out, filepath.Base(p))); err != nil {
			t.Fatal(err)
		}
	}
	change(out)
	command(t, "createrepo_c", "--quiet", "--no-database", out)
	return out
}

// rewritten makes of a link to the one package that the pattern matches a copy
// for rewrite.
func rewritten(t *testing.T, dir, pattern string, rewrite func(rpm string)) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s matches %v, %v", pattern, found, err)
	}
	text, err := os.ReadFile(found[0])
	if err == nil {
		err = os.Remove(found[0])
	}
	if err == nil {
		err = os.WriteFile(found[0], text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	rewrite(found[0])
}

// removed takes the packages away that a pattern matches.
func removed(t *testing.T, dir, pattern string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s matches %v, %v", pattern, found, err)
	}
	for _, link := range found {
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
}

// withoutSignature takes a package's signature off.
func withoutSignature(t *testing.T, rpm string) {
	t.Helper()
	command(t, "rpmsign", "--delsign", rpm)
}

// signedByStranger signs a package anew, with a key that no guest knows.
func signedByStranger(t *testing.T, rpm string) {
	t.Helper()
	withoutSignature(t, rpm)
	dir, err := os.MkdirTemp("", "key") // short: gpg-agent has its socket in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	key, err := rpmrepo.NewKey(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Sign(t.Context(), rpm); err != nil {
		t.Error(err)
	}
	if err := key.Close(); err != nil {
		t.Error(err)
	}
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("cannot run %s: %v: %s", name, err, out)
	}
}
