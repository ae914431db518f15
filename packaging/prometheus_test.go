// SPDX-License-Identifier: Apache-2.0

package packaging_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

const (
	alerts      = "prometheus/driverd.rules.yml"
	metricsText = "../cmd/driverd/testdata/script/metrics.txtar"
)

// TestAlertsAreAboutMetrics sees that alerts ask for nothing that driverd metrics does not
// print: such an alert would never come.
func TestAlertsAreAboutMetrics(t *testing.T) {
	printed, err := os.ReadFile(metricsText)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile(alerts)
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\bdriverd_\w+`).FindAllString(string(rules), -1)
	if len(names) == 0 {
		t.Fatal("there are no alerts")
	}
	for _, name := range names {
		if !strings.Contains(string(printed), "# TYPE "+name+" ") {
			t.Errorf("driverd metrics does not print %s", name)
		}
	}
}
