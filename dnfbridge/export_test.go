// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"context"
	"time"

	"github.com/rs/zerolog"
)

// Option changes what NewDNF5 sets.
type Option func(*DNF5)

// Silence sets how long the server may say nothing.
func Silence(d time.Duration) Option { return func(b *DNF5) { b.silence = d } }

// Retry sets how often a transaction is tried, and the first pause.
func Retry(attempts int, first time.Duration) Option {
	return func(b *DNF5) { b.attempts, b.backoff = attempts, first }
}

// NewDNF5With is NewDNF5 with options.
func NewDNF5With(dial Dialer, log zerolog.Logger, options ...Option) *DNF5 {
	d := NewDNF5(dial, log)
	for _, option := range options {
		option(d)
	}
	return d
}

// Verify sets what checks the signatures of packages, whose files are below root.
func Verify(root string, verify func(ctx context.Context, files []string) error) Option {
	return func(b *DNF5) { b.root, b.verify = root, verify }
}

// ReadNEVRA reads which package a file holds.
var ReadNEVRA = readNEVRA
