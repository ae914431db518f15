// SPDX-License-Identifier: Apache-2.0

// Command index makes the index of modules that driverd ships of Debian's kernels, and
// writes it to the file that it is given, compressed.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"driverd/kernelsplit"
	"driverd/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := write(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "index:", err)
		os.Exit(1)
	}
}

func write(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: index FILE")
	}
	var trees []*kernelsplit.Tree
	for _, kernel := range lab.Indexed {
		tree, err := kernel.Tree(ctx)
		if err != nil {
			return err
		}
		trees = append(trees, tree)
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(kernelsplit.Index(trees...))); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(args[0], packed.Bytes(), 0o644)
}
