// SPDX-License-Identifier: Apache-2.0

//go:build lab

package packaging_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// promtool fetches Debian's promtool, which is never installed: its package starts a
// service.
func promtool(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sources.list"), []byte(
		"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	apt := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "apt-get", append([]string{
			"-q", "-o", "Dir::Etc::SourceList=" + dir + "/sources.list", "-o", "Dir::Etc::SourceParts=-", "-o", "Dir::State=" + dir,
			"-o", "Dir::State::Status=/dev/null", "-o", "Dir::Cache=" + dir, "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none",
		}, args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cannot run apt-get %v: %v\n%s", args, err, out)
		}
	}
	apt("update")
	apt("download", "prometheus")
	debs, err := filepath.Glob(filepath.Join(dir, "prometheus_*.deb"))
	if err != nil || len(debs) != 1 {
		t.Fatalf("cannot find Debian's prometheus: %v %v", debs, err)
	}
	output(t, "dpkg-deb", "-x", debs[0], dir)
	return filepath.Join(dir, "usr/bin/promtool")
}

// TestPrometheus has Prometheus' own tool judge the metrics, and try the alerts.
func TestPrometheus(t *testing.T) {
	program := promtool(t)
	output(t, program, "check", "rules", alerts)
	output(t, program, "test", "rules", "prometheus/driverd.rules.test.yml")
	printed, err := os.ReadFile(metricsText)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range strings.Split(string(printed), "\n-- ")[1:] {
		name, text, _ := strings.Cut(file, " --\n")
		cmd := exec.CommandContext(t.Context(), program, "check", "metrics")
		cmd.Stdin = bytes.NewReader([]byte(text + "\n"))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics complains of %s: %v\n%s", name, err, out)
		}
	}
}
