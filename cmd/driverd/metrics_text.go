// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"driverd/api"
)

// openMetrics is text in the format of OpenMetrics, of what Prometheus' older format
// knows too: node_exporter reads that. So there is no counter, whose names differ; and
// nothing here only grows, as the history is bounded.
type openMetrics struct{ strings.Builder }

// labels are names and values by turns.
type labels []string

func (l labels) String() string {
	if len(l) == 0 {
		return ""
	}
	var pairs []string
	for i := 0; i < len(l); i += 2 {
		value := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(l[i+1], "\uFFFD"))
		pairs = append(pairs, l[i]+`="`+value+`"`)
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

// family begins a metric. The unit, which its name ends with, may be empty.
func (m *openMetrics) family(name, kind, unit, help string) {
	_, _ = fmt.Fprintf(m, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	if unit != "" {
		_, _ = fmt.Fprintf(m, "# UNIT %s %s\n", name, unit)
	}
}

func (m *openMetrics) sample(name string, l labels, value float64) {
	_, _ = fmt.Fprintf(m, "%s%s %s\n", name, l, strconv.FormatFloat(value, 'f', -1, 64))
}

// gauge adds a metric of one value.
func (m *openMetrics) gauge(name, unit, help string, value float64) {
	m.family(name, "gauge", unit, help)
	m.sample(name, nil, value)
}

// count adds a metric that says how many there are of each kind, the kinds sorted.
func (m *openMetrics) count(name, help string, kinds []string, of map[[3]string]int) {
	m.family(name, "gauge", "", help)
	sorted := slices.SortedFunc(maps.Keys(of), func(a, b [3]string) int { return slices.Compare(a[:], b[:]) })
	for _, values := range sorted {
		var l labels
		for i, kind := range kinds {
			l = append(l, kind, values[i])
		}
		m.sample(name, l, float64(of[values]))
	}
}

// histogram adds a metric that says how many values are at most so large.
func (m *openMetrics) histogram(name, unit, help string, buckets, values []float64) {
	m.family(name, "histogram", unit, help)
	var sum float64
	for _, v := range values {
		sum += v
	}
	for _, upper := range buckets {
		n := 0
		for _, v := range values {
			if v <= upper {
				n++
			}
		}
		bound := strconv.FormatFloat(upper, 'f', -1, 64)
		if !strings.Contains(bound, ".") {
			bound += ".0" // as OpenMetrics writes it
		}
		m.sample(name+"_bucket", labels{"le", bound}, float64(n))
	}
	m.sample(name+"_bucket", labels{"le", "+Inf"}, float64(len(values)))
	m.sample(name+"_sum", nil, sum)
	m.sample(name+"_count", nil, float64(len(values)))
}

// bindBuckets are seconds from an early load to a transaction that makes an initrd behind
// a slow network.
var bindBuckets = []float64{0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}

// metricsText is what Prometheus is told. It ends with the line that says that it is whole.
func metricsText(of measured) string {
	var m openMetrics
	m.gauge("driverd_up", "", "1 if the service answers on the bus, or is at rest.", number(of.running || of.resting))
	if of.Status.Status != "" {
		m.family("driverd_status", "gauge", "", "1 for what the service is: ready, busy, paused or inactive, and why.")
		m.sample("driverd_status", labels{"status", of.Status.Status, "reason", of.Reason}, 1)
	}
	if of.running {
		m.service(of)
		m.devices(of.Devices)
		m.jobs(of.Jobs)
		m.history(of.history)
	}
	return m.String() + "# EOF\n"
}

func (m *openMetrics) service(of measured) {
	m.family("driverd_info", "gauge", "", "1, with the version of the service and what it works on.")
	m.sample("driverd_info", labels{
		"version", of.Version, "kernel_release", of.KernelRelease, "platform", of.Platform, "backend", of.Backend, "mode", of.Mode,
	}, 1)
	next := cmp.Or(of.NextKernel, &api.NextKernel{Release: of.KernelRelease, Ready: true})
	m.family("driverd_next_kernel_ready", "gauge", "", "1 if the kernel that the next boot brings has all modules and drivers that are needed; the running one has.")
	m.sample("driverd_next_kernel_ready", labels{"kernel_release", next.Release}, number(next.Ready))
}

func (m *openMetrics) devices(devices []api.Device) {
	by := make(map[[3]string]int)
	var took []float64
	for _, d := range devices {
		by[[3]string{d.State, d.Reason}]++
		if seconds, ok := boundAfter(d); ok {
			took = append(took, seconds)
		}
	}
	m.count("driverd_devices", "PCI devices by state and reason, the chipset's included.", []string{"state", "reason"}, by)
	m.gauge("driverd_devices_needing_help", "", "PCI devices that need help, as driverd status shows them.", float64(len(needHelp(devices))))
	m.histogram("driverd_bind_seconds", "seconds",
		"Time from when a device was seen until its driver was bound, of the devices present whose driver was loaded by driverd.", bindBuckets, took)
}

// boundAfter is how many seconds after it was seen a device was bound, if that took
// the service's work.
func boundAfter(d api.Device) (seconds float64, ok bool) {
	at := make(map[string]uint64)
	for _, step := range d.Timeline {
		at[step.Name] = step.Time
	}
	seen, bound := at["seen"], at["bound"]
	if seen == 0 || at["loaded"] == 0 || bound < seen {
		return 0, false
	}
	return float64(bound-seen) / 1e6, true
}

func (m *openMetrics) jobs(jobs []api.Job) {
	by := map[[3]string]int{{api.JobRunning}: 0, {api.JobDone}: 0, {api.JobFailed}: 0, {api.JobCancelled}: 0}
	var done, total uint64
	for _, j := range jobs {
		by[[3]string{j.State}]++
		done, total = done+j.BytesDone, total+j.BytesTotal
	}
	m.count("driverd_jobs", "Jobs that run or have ended within ten minutes.", []string{"state"}, by)
	m.gauge("driverd_jobs_downloaded_bytes", "bytes", "What these jobs have downloaded.", float64(done))
	m.gauge("driverd_jobs_download_bytes", "bytes", "What these jobs have to download in all.", float64(total))
}

func (m *openMetrics) history(entries []api.Entry) {
	by := make(map[[3]string]int)
	var last uint64
	for _, e := range entries {
		by[[3]string{e.Action, e.State, e.Reason}]++
		if e.State == api.JobDone && e.Action != "set-mode" {
			last = max(last, e.Time)
		}
	}
	m.count("driverd_history_entries", "What was done, of the last 1000 entries; a failure that repeats is one.", []string{"action", "state", "reason"}, by)
	if last > 0 {
		m.gauge("driverd_last_success_timestamp_seconds", "seconds", "When drivers were last installed or loaded.", float64(last)/1e6)
	}
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
