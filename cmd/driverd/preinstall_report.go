// SPDX-License-Identifier: Apache-2.0

package main

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
