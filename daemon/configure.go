// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"reflect"
	"strings"
)

// configure reads the configuration again. One that cannot be read leaves the
// rules as they were, and nothing is done that a rule might forbid: the engine
// only observes until it is put right.
func (e *Engine) configure() {
	if e.Law != nil {
		e.law = e.Law()
	}
	c, err := e.Configuration()
	if err != nil {
		if e.misconfigured == nil || e.misconfigured.Error() != err.Error() {
			e.Log.Error().Str("event", "config-wrong").Msgf("driverd only observes until its configuration is put right: %v", err)
		}
		e.misconfigured = err
		return
	}
	if e.misconfigured != nil || !reflect.DeepEqual(c, e.config) {
		e.Log.Info().Str("event", "config-read").Msgf("the configuration is read from %s", cmp.Or(strings.Join(c.Files, ", "), "no file"))
	}
	e.config, e.misconfigured = c, nil
	e.noteVendors()
}

// misconfiguration is what is wrong with the configuration, in one line.
func (e *Engine) misconfiguration() string {
	return "driverd only observes until its configuration is put right (driverd check-config): " +
		strings.ReplaceAll(e.misconfigured.Error(), "\n", "; ")
}
