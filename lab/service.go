// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"driverd/api"
	"driverd/hwdetect"
)

// Shown is what driverd shows of a device on the guest's bus: some of the
// properties of org.fedoraproject.Driverd1.Device.
type Shown struct {
	Slot, Modalias, Vendor, Product, Group string
	State, Reason, Message, Driver         string
	Modules, Packages                      []string
	Timeline                               []Step
	Functions                              []string
	Children                               [][3]string // path, modalias, driver
}

// Step is one entry of a device's timeline.
type Step struct {
	Name string
	Time time.Time
}

// Shown asks driverd in the guest for the device in slot.
func (system System) Shown(ctx context.Context, slot hwdetect.Slot) (Shown, error) {
	out, err := system.Output(ctx, "busctl --json=short call "+api.BusName+" "+api.DevicePath(slot.String())+
		" org.freedesktop.DBus.Properties GetAll s "+api.DeviceInterface)
	if err != nil {
		return Shown{}, err
	}
	var reply struct {
		Data []map[string]struct {
			Data json.RawMessage `json:"data"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(out), &reply); err != nil || len(reply.Data) != 1 {
		return Shown{}, fmt.Errorf("cannot read what driverd shows of %s: %w: %s", slot, err, out)
	}
	properties := reply.Data[0]
	var s Shown
	var timeline [][2]any
	var errs []error
	for name, into := range map[string]any{
		"Slot": &s.Slot, "Modalias": &s.Modalias, "Vendor": &s.Vendor, "Product": &s.Product, "Group": &s.Group,
		"State": &s.State, "Reason": &s.Reason, "Message": &s.Message, "Driver": &s.Driver,
		"Modules": &s.Modules, "Packages": &s.Packages, "Timeline": &timeline,
		"Functions": &s.Functions, "Children": &s.Children,
	} {
		errs = append(errs, json.Unmarshal(properties[name].Data, into))
	}
	for _, step := range timeline {
		name, _ := step[0].(string)
		micros, _ := step[1].(float64)
		s.Timeline = append(s.Timeline, Step{name, time.UnixMicro(int64(micros))})
	}
	return s, errors.Join(errs...)
}

// AwaitState waits until the device in slot is in one of the states, calling
// watch, if it is not nil, with everything that is shown meanwhile. At the end
// of ctx the error says what was shown last.
func (system System) AwaitState(ctx context.Context, slot hwdetect.Slot, watch func(Shown), states ...string) (Shown, error) {
	var last Shown
	var problem error
	for pause := 200 * time.Millisecond; ; pause = longer(pause) {
		s, err := system.Shown(ctx, slot)
		if err == nil {
			last = s
			if watch != nil {
				watch(s)
			}
			for _, state := range states {
				if s.State == state {
					return s, nil
				}
			}
		} else if ctx.Err() == nil {
			problem = err
		}
		select {
		case <-ctx.Done():
			return last, fmt.Errorf("%s did not become %s; it was %q (%s: %s): %w", slot, strings.Join(states, " or "),
				last.State, last.Reason, last.Message, errors.Join(context.Cause(ctx), problem))
		case <-time.After(pause):
		}
	}
}
