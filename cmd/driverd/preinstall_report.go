// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// outputFlags are the flags that say where the output goes.
func (p *preinstall) outputFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.asJSON, "json", false, "for programs; see driverd(1)")
	cmd.Flags().StringVar(&p.logFile, "log", "", "append all messages to `FILE` too")
}

// reported runs do with the log that the flags name, and prints a report at the end if it
// is for programs.
func (p preinstall) reported(do func(preinstall) error) (err error) {
	if p.logFile != "" {
		f, err := os.OpenFile(p.logFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
		if err != nil {
			return status{exitFailed, fmt.Errorf("cannot open the log: %w", err)}
		}
		defer func() { _ = f.Close() }()
		p.log = f
	}
	if p.asJSON {
		p.report = &preinstallReport{Results: []preinstallResult{}, Messages: []string{}}
		defer func() { err = errors.Join(err, p.printReport(err == nil)) }()
	}
	return do(p)
}

// preinstallReport is the JSON of driverd preinstall.
type preinstallReport struct {
	Done     bool               `json:"done"`
	Results  []preinstallResult `json:"results"`
	Messages []string           `json:"messages"`
}

// preinstallResult is what came of some of what was asked for.
type preinstallResult struct {
	Selectors []string `json:"selectors"` // none for what the devices need
	Job       string   `json:"job"`       // its path, empty if there was none
	State     string   `json:"state"`     // of the job; failed if there was none
	Reason    string   `json:"reason"`
	Message   string   `json:"message"`
}

// note keeps a result for the report, if there is to be one.
func (p preinstall) note(r preinstallResult) {
	if p.report != nil {
		p.report.Results = append(p.report.Results, r)
	}
}

// printReport prints the report.
func (p preinstall) printReport(done bool) error {
	p.report.Done = done
	if err := p.printJSON(p.report); err != nil {
		return status{exitFailed, err}
	}
	return nil
}
