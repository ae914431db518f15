// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/daemon"
	"driverd/internal/report"
	"driverd/internal/tree"
)

func metricsCommand(c console) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "metrics",
		Short: "Print the metrics of this guest, for Prometheus",
		Long: "Print the metrics of this guest as OpenMetrics text, which node_exporter's\n" +
			"textfile collector reads too. It only reads from the bus, and does not start the\n" +
			"service. To write them to a file every two minutes:\n\n" +
			"  systemctl enable --now driverd-metrics.timer",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, asked := c.readMetrics(cmd.Context())
			switch {
			case asked == nil:
			case !errors.Is(asked, api.ErrNoService):
				return asked
			case c.atRest(): // it has been through the gates
				return c.metricsAtRest(output)
			default:
				if closed := c.gate(); closed != nil {
					m, asked = measured{Status: report.Inactive(version, closed)}, nil
				}
			}
			if err := c.putMetrics(metricsText(m), output); err != nil {
				return status{exitFailed, err}
			}
			if asked == nil && m.Status.Status == string(daemon.Inactive) {
				return status{code: exitBlocked}
			}
			return asked
		},
	}
	cmd.Flags().StringVar(&output, "output", "", "write to `FILE`, whose old content stays until then")
	return cmd
}

// measured is what the metrics are made from.
type measured struct {
	report.Status
	history []api.Entry
	running bool // the service answers
	resting bool // it does not run as it has nothing to do
}

// readMetrics asks the service.
func (c console) readMetrics(ctx context.Context) (m measured, err error) {
	err = c.with(ctx, func(client *api.Client) (err error) {
		client.Wake = nil
		if m.Status, err = report.ReadStatus(ctx, client); err == nil {
			m.history, err = client.History(ctx)
		}
		m.running = err == nil
		return err
	})
	return m, err
}

// metricsAtRest tells that the service is at rest. Nothing has changed since it ended: what it has
// said before that is in the file stays true, and is as good as new.
func (c console) metricsAtRest(file string) error {
	if file != "" && said(file) {
		now := time.Now()
		if err := os.Chtimes(file, now, now); err != nil {
			return status{exitFailed, fmt.Errorf("cannot keep the metrics: %w", err)}
		}
		return nil
	}
	if err := c.putMetrics(metricsText(measured{resting: true}), file); err != nil {
		return status{exitFailed, err}
	}
	return nil
}

// maxMetrics is how large a file of metrics may be that is kept, in bytes.
const maxMetrics = 1 << 20

// said says whether the metrics in a file are of a service that answered, or was at rest; one that
// could not be reached, as early in a boot, has said nothing.
func said(file string) bool {
	text, err := tree.At(filepath.Dir(file)).Read(filepath.Base(file), maxMetrics)
	return err == nil && strings.Contains(string(text), "\ndriverd_up 1\n")
}

// putMetrics writes the text to a file in one step, or prints it if none is named.
func (c console) putMetrics(text, file string) error {
	if file == "" {
		return c.print(text)
	}
	if err := renameio.WriteFile(file, []byte(text), 0o644); err != nil {
		return fmt.Errorf("cannot write the metrics: %w", err)
	}
	return nil
}
