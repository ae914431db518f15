// SPDX-License-Identifier: Apache-2.0

// Package install runs transactions outside the service: Step is the step that root
// runs, as driverd-install@JOB.service; Backend asks systemd to start it, and talks to
// it. The service that asks is not believed: whoever has taken it over can have
// installed what the step lets pass, and nothing else.
package install

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// jobsDir is where the service leaves its requests, and has the socket on which the
// steps talk to it. It alone can write there.
const jobsDir = "/run/driverd/jobs"

const (
	maxRequest  = 256 << 10 // bytes
	maxPackages = 1000
)

// Request is what the service asks a step for.
type Request struct {
	Install      []string `json:"install,omitempty"` // NEVRAs
	Allowed      []string `json:"allowed,omitempty"` // that may come along
	Others       []string `json:"others,omitempty"`  // those of both that are of no kernel
	Reinstall    bool     `json:"reinstall,omitempty"`
	DownloadOnly bool     `json:"download_only,omitempty"`
	Asked        bool     `json:"asked,omitempty"` // by somebody, whom the mode does not bind

	// Stop asks for nothing but the end of dnf5daemon: the unique name of the one that
	// is meant.
	Stop string `json:"stop,omitempty"`
}

// nevraForm is how a package is named in a request: exactly, so that it is neither a
// pattern, nor a path, nor more than one. Its bounds take room and time to compile, which
// only who reads a request has to spend.
var nevraForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]{0,200}-([0-9]{1,9}:)?[A-Za-z0-9._+~^]{1,100}-[A-Za-z0-9._+~^]{1,100}\.[a-z0-9_]{1,20}$`)
})

// uniqueForm is a unique name on the bus.
var uniqueForm = regexp.MustCompile(`^:[0-9.]{1,40}$`)

// ParseJob reads the number of a job, which is part of a file's name.
func ParseJob(text string) (uint64, error) {
	number, err := strconv.ParseUint(text, 10, 32)
	if err != nil || strconv.FormatUint(number, 10) != text {
		return 0, fmt.Errorf("cannot understand %.40q as the number of a job", text)
	}
	return number, nil
}

// requestFile is the file of a request.
func requestFile(dir string, job uint64) string {
	return filepath.Join(dir, strconv.FormatUint(job, 10))
}

// writeRequest leaves a request for the step of a job.
func writeRequest(dir string, job uint64, r Request) error {
	text, err := json.Marshal(r)
	if err == nil {
		err = os.WriteFile(requestFile(dir, job), text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot leave the request of job %d: %w", job, err)
	}
	return nil
}

// ReadRequest reads the request of a job from a folder in which only the owner can
// write, whom it does not trust. The error says in a sentence what is wrong with it.
func ReadRequest(dir string, job uint64, owner uint32) (Request, error) {
	r, err := readRequest(requestFile(dir, job), owner)
	if err != nil {
		return Request{}, fmt.Errorf("cannot take the request of job %d: %w", job, err)
	}
	return r, nil
}

func readRequest(path string, owner uint32) (Request, error) {
	var r Request
	// What is there may be a FIFO that nobody writes to.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r, errors.New("it is not there")
	case errors.Is(err, unix.ELOOP):
		return r, errors.New("it is a link")
	case err != nil:
		return r, err
	}
	file := os.NewFile(uintptr(fd), path)
	defer func() { _ = file.Close() }() // only read: nothing can be lost
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return r, err
	}
	switch {
	case stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return r, errors.New("it is not a regular file")
	case stat.Uid != owner:
		return r, fmt.Errorf("it belongs to user %d, and not to the service", stat.Uid)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxRequest+1))
	if err != nil {
		return r, err
	}
	if len(text) > maxRequest {
		return r, fmt.Errorf("it is larger than %d kB", maxRequest>>10)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return Request{}, fmt.Errorf("it is no request: %.200s", err.Error()) // which quotes it
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Request{}, errors.New("something follows the request")
	}
	return r, r.check()
}

// check is what is wrong with a request, whoever has made it.
func (r Request) check() error {
	names := make(map[string]bool)
	for _, list := range [][]string{r.Install, r.Allowed, r.Others} {
		for _, nevra := range list {
			names[nevra] = true
			if !nevraForm().MatchString(nevra) {
				return fmt.Errorf("%.100q is not the name, version, release and architecture of a package", nevra)
			}
		}
	}
	switch {
	case len(names) > maxPackages:
		return fmt.Errorf("it names %d packages, more than %d", len(names), maxPackages)
	case (len(r.Install) > 0) == (r.Stop != ""):
		return errors.New("it has to name packages, or a dnf5daemon to stop")
	case r.Stop != "" && !uniqueForm.MatchString(r.Stop):
		return fmt.Errorf("%.60q is not a unique name on the bus", r.Stop)
	}
	return nil
}
