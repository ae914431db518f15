// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
)

// Why a question or a request is turned down, as errors.Is finds it; the text
// of the error stands by itself.
var (
	ErrNotUnderstood = errors.New("not understood")
	ErrNoSuchDevice  = errors.New("no such device")
	ErrNoSuchJob     = errors.New("no such job")
	ErrNoCandidate   = errors.New("no package that can be had")
	ErrRefused       = errors.New("refused")
	ErrBusy          = errors.New("busy")
	ErrBackendFailed = errors.New("the package manager has failed")
)

type refusal struct {
	kind error
	text string
}

func refuse(kind error, format string, args ...any) error {
	return &refusal{kind, fmt.Sprintf(format, args...)}
}

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.kind }
