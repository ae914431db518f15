// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// What a call may end with, as errors.Is finds it; the text of the error is
// the service's own.
var (
	ErrNoService     = errors.New("driverd is not running")
	ErrNotAuthorized = errors.New("not authorized")
	ErrNoSuchDevice  = errors.New("no such device")
	ErrNoSuchJob     = errors.New("no such job")
	ErrNoCandidate   = errors.New("nothing known")
	ErrRefused       = errors.New("refused")
	ErrBusy          = errors.New("busy")
	ErrBackendFailed = errors.New("the package manager has failed")
	ErrInvalid       = errors.New("not understood")
)

const (
	// callTime is for any one call: the service answers at once, or not at all.
	callTime = 30 * time.Second
	// passwordTime is for a call at which somebody may have to find a password.
	passwordTime = 5 * time.Minute
)

const propertiesInterface = "org.freedesktop.DBus.Properties"

// Client is a connection to the service. It does not start the service by itself: who has
// stopped it wanted that.
type Client struct {
	// Wake says whether the bus is to start the service for a call, when it is found not to
	// run: for one that is at rest. Nil never has it started.
	Wake func() bool

	// Interactive lets polkit ask for a password where a method needs one. It
	// takes an agent: a desktop has one, on a terminal pkttyagent(1) is one.
	Interactive bool

	conn *dbus.Conn
}

// Connect connects to the bus at address, the system bus if it is empty. The
// service need not run. The error is ErrNoService if there is no bus.
func Connect(ctx context.Context, address string) (*Client, error) {
	var conn *dbus.Conn
	var err error
	if address == "" {
		conn, err = dbus.ConnectSystemBus(dbus.WithContext(ctx))
	} else {
		conn, err = dbus.Connect(address, dbus.WithContext(ctx))
	}
	if err != nil {
		return nil, &callError{ErrNoService, fmt.Sprintf("cannot reach the system bus: %v", err)}
	}
	return &Client{conn: conn}, nil
}

// Close ends the connection, and with it a Watch.
func (c *Client) Close() error { return c.conn.Close() }

// Manager returns the properties of the service.
func (c *Client) Manager(ctx context.Context) (Manager, error) {
	all, err := ask[map[string]dbus.Variant](ctx, c, propertiesInterface+".GetAll", ManagerInterface)
	if err != nil {
		return Manager{}, fmt.Errorf("cannot read the service's properties: %w", err)
	}
	return newManager(all)
}

// Devices returns all devices in the order of their slots.
func (c *Client) Devices(ctx context.Context) ([]Device, error) {
	objects, err := c.objects(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list the devices: %w", err)
	}
	devices := []Device{}
	for path, interfaces := range objects {
		properties, ok := interfaces[DeviceInterface]
		if !ok {
			continue
		}
		device, err := newDevice(properties)
		if err != nil {
			return nil, fmt.Errorf("cannot list the devices: %s: %w", path, err)
		}
		devices = append(devices, device)
	}
	slices.SortFunc(devices, func(a, b Device) int {
		// A domain is longer than four digits only if it is larger.
		return cmp.Or(cmp.Compare(len(a.Slot), len(b.Slot)), cmp.Compare(a.Slot, b.Slot))
	})
	return devices, nil
}

// objects returns the properties of everything below the root object.
func (c *Client) objects(ctx context.Context) (map[dbus.ObjectPath]map[string]map[string]dbus.Variant, error) {
	return ask[map[dbus.ObjectPath]map[string]map[string]dbus.Variant](ctx, c,
		"org.freedesktop.DBus.ObjectManager.GetManagedObjects")
}

// Explain asks what a slot, a modalias, or vendor and product need, and why.
// The error is ErrInvalid if what is none of these, ErrNoSuchDevice if the slot
// is empty.
func (c *Client) Explain(ctx context.Context, what string) (Explanation, error) {
	why, err := ask[map[string]dbus.Variant](ctx, c, ManagerInterface+".Explain", what, map[string]dbus.Variant{})
	if err != nil {
		return Explanation{}, err
	}
	return NewExplanation(why)
}

// Rescan has the service look at the hardware now and try again what failed.
// The error is ErrNotAuthorized if polkit does not let the caller.
func (c *Client) Rescan(ctx context.Context) error {
	_, err := c.call(ctx, RootPath, ManagerInterface+".Rescan", map[string]dbus.Variant{})
	return err
}

// Watch returns a channel that has a value when something may have changed
// since the last one was taken: a device, the service, or whether it runs. Like
// the service itself, it says that one should look, not what there is to see.
// The channel is closed when ctx or the connection ends.
func (c *Client) Watch(ctx context.Context) (<-chan struct{}, error) {
	signals := make(chan *dbus.Signal, 64)
	c.conn.Signal(signals)
	for _, match := range [][]dbus.MatchOption{
		{dbus.WithMatchSender(BusName), dbus.WithMatchPathNamespace(RootPath)},
		{dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, BusName)},
	} {
		if err := c.conn.AddMatchSignalContext(ctx, match...); err != nil {
			return nil, fmt.Errorf("cannot watch the service: %w", err)
		}
	}
	kicks := make(chan struct{}, 1)
	go func() {
		defer close(kicks)
		for {
			select {
			case _, ok := <-signals:
				if !ok {
					return
				}
				select {
				case kicks <- struct{}{}:
				default:
				}
			case <-ctx.Done():
				c.conn.RemoveSignal(signals)
				return
			}
		}
	}()
	return kicks, nil
}

// call calls a method of an object and returns what that returns.
func (c *Client) call(ctx context.Context, path dbus.ObjectPath, method string, args ...any) ([]any, error) {
	patience, flags := callTime, dbus.Flags(0)
	if c.Interactive {
		patience, flags = passwordTime, dbus.FlagAllowInteractiveAuthorization
	}
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	// Built here, as godbus's own Call drops the flag that allows interaction.
	dot := strings.LastIndexByte(method, '.')
	message := dbus.Message{Type: dbus.TypeMethodCall, Body: args, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(BusName),
		dbus.FieldPath:        dbus.MakeVariant(path),
		dbus.FieldInterface:   dbus.MakeVariant(method[:dot]),
		dbus.FieldMember:      dbus.MakeVariant(method[dot+1:]),
	}}
	if len(args) > 0 {
		message.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(args...))
	}
	body, err := c.send(ctx, message, flags|dbus.FlagNoAutoStart)
	// Asked only now: a service may come to rest between any two calls.
	if notRunning(err) && c.Wake != nil && c.Wake() {
		body, err = c.send(ctx, message, flags)
	}
	return body, explain(err)
}

// send sends a message of its own, which godbus keeps for longer than the call takes.
func (c *Client) send(ctx context.Context, message dbus.Message, flags dbus.Flags) ([]any, error) {
	message.Flags = flags
	done := <-c.conn.SendWithContext(ctx, &message, make(chan *dbus.Call, 1)).Done
	return done.Body, done.Err
}

// notRunning says whether the bus has nobody to give a call to.
func notRunning(err error) bool {
	var e dbus.Error
	return errors.As(err, &e) &&
		(e.Name == "org.freedesktop.DBus.Error.ServiceUnknown" || e.Name == "org.freedesktop.DBus.Error.NameHasNoOwner")
}

// ask calls a method of the root object that returns one value.
func ask[T any](ctx context.Context, c *Client, method string, args ...any) (T, error) {
	return askObject[T](ctx, c, RootPath, method, args...)
}

// askObject calls a method that returns one value. The value is taken as it
// came: dbus.Store would wrap each variant of a dictionary in another.
func askObject[T any](ctx context.Context, c *Client, path dbus.ObjectPath, method string, args ...any) (answer T, err error) {
	body, err := c.call(ctx, path, method, args...)
	for began := time.Now(); errors.Is(err, ErrBusy) && reads(method) && time.Since(began) < callTime; {
		select {
		case <-time.After(busyPause):
			body, err = c.call(ctx, path, method, args...)
		case <-ctx.Done():
			return answer, context.Cause(ctx)
		}
	}
	if err != nil {
		return answer, err
	}
	if len(body) == 1 {
		if answer, ok := body[0].(T); ok {
			return answer, nil
		}
	}
	return answer, fmt.Errorf("cannot read the answer to %s", method)
}

// busyPause is how long a call that only reads is put off when the service has too many.
const busyPause = time.Second

// reads says whether a method only reads what there is.
func reads(method string) bool { return strings.HasPrefix(method, "org.freedesktop.DBus.") }

// callError is an error of the service, as one of the kinds above.
type callError struct {
	kind error
	text string
}

func (e *callError) Error() string { return e.text }
func (e *callError) Unwrap() error { return e.kind }

func explain(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &callError{ErrNoService, "driverd does not answer"}
	}
	var e dbus.Error
	if !errors.As(err, &e) {
		return err
	}
	if strings.HasPrefix(e.Name, "org.freedesktop.DBus.Error.Spawn.") || strings.HasPrefix(e.Name, "org.freedesktop.systemd1.") {
		return &callError{ErrNoService, "driverd cannot be started: " + e.Error()}
	}
	if notRunning(err) {
		return ErrNoService
	}
	switch e.Name {
	case "org.freedesktop.DBus.Error.TimedOut": // 25 s have passed, of dbus-daemon's
		return &callError{ErrNoService, "driverd is being started, and has not answered yet: try again in a moment"}
	case "org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Disconnected":
		return ErrNoService
	case "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired":
		return &callError{ErrNotAuthorized, e.Error()}
	case "org.freedesktop.DBus.Error.InvalidArgs":
		return &callError{ErrInvalid, e.Error()}
	case "org.freedesktop.DBus.Error.UnknownObject":
		return &callError{ErrNoSuchJob, e.Error()} // no other object is asked for by its path
	case ErrorNoSuchDevice:
		return &callError{ErrNoSuchDevice, e.Error()}
	case ErrorNoCandidate:
		return &callError{ErrNoCandidate, e.Error()}
	case ErrorRefused:
		return &callError{ErrRefused, e.Error()}
	case ErrorBusy:
		return &callError{ErrBusy, e.Error()}
	case ErrorBackendFailed:
		return &callError{ErrBackendFailed, e.Error()}
	}
	return err
}
