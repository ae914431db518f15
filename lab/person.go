// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
)

// PressPower presses the guest's power button, and returns when the guest has
// switched itself off.
func (g *Guest) PressPower(ctx context.Context) error {
	mark := g.qmp.mark()
	if err := g.qmp.execute(ctx, "system_powerdown", nil, nil); err != nil {
		return fmt.Errorf("cannot press the power button: %w", err)
	}
	shutdown := func(e qmpEvent) bool { return e.Name == "SHUTDOWN" }
	if _, err := g.qmp.wait(ctx, mark, shutdown); err != nil {
		return fmt.Errorf("the guest does not switch itself off: %w%s", err, g.lastWords())
	}
	return nil
}

// Type presses a key of the guest's keyboard, by QEMU's name of it (QKeyCode), and lets it go.
func (g *Guest) Type(ctx context.Context, key string) error {
	var events []any
	for _, down := range []bool{true, false} {
		events = append(events, map[string]any{"type": "key", "data": map[string]any{
			"down": down, "key": map[string]any{"type": "qcode", "data": key},
		}})
	}
	if err := g.qmp.execute(ctx, "input-send-event", map[string]any{"events": events}, nil); err != nil {
		return fmt.Errorf("cannot type %s: %w", key, err)
	}
	return nil
}
