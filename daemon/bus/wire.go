// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/godbus/dbus/v5"
)

// maxMessage is the longest message that is read, in bytes. The bus lets each client send
// 32 MB at a time, which godbus would copy twice.
const maxMessage = 256 << 10

// wire is the connection to the bus as godbus has it. What clients send is read here
// first. Calls do not come to godbus, which begins a goroutine for each; nor does what
// it cannot read, at which it would end the connection, nor what is too long. The bus
// passes on no file descriptors, as godbus asks for them on connections of its own making only.
type wire struct {
	net.Conn
	called func(call) // must not block

	writes sync.Mutex    // held while a message is written
	began  atomic.Bool   // messages are exchanged; before that it is lines of text
	in     *bufio.Reader // of messages
	unread []byte        // of the message that godbus reads
}

// dial connects to the first bus in a list of addresses, as the D-Bus specification has
// them, that answers.
func dial(ctx context.Context, addresses string, called func(call)) (*wire, error) {
	err := errors.New("there is no address of a unix socket")
	for address := range strings.SplitSeq(addresses, ";") {
		settings, ok := strings.CutPrefix(address, "unix:")
		if !ok {
			continue
		}
		for setting := range strings.SplitSeq(settings, ",") {
			key, value, _ := strings.Cut(setting, "=")
			path, bad := dbus.UnescapeBusAddressValue(value)
			switch {
			case bad != nil || key != "path" && key != "abstract":
				continue
			case key == "abstract":
				path = "@" + path
			}
			var conn net.Conn
			if conn, err = (&net.Dialer{}).DialContext(ctx, "unix", path); err == nil {
				return &wire{Conn: conn, called: called, in: bufio.NewReader(conn)}, nil
			}
		}
	}
	return nil, err
}

// Write writes a message of godbus's, or notes that it has authenticated itself.
func (w *wire) Write(p []byte) (int, error) {
	if !w.began.Load() && string(p) == "BEGIN\r\n" {
		w.began.Store(true)
	}
	w.writes.Lock()
	defer w.writes.Unlock()
	return w.Conn.Write(p)
}

// reply answers a call. It waits as long as the bus reads nothing.
func (w *wire) reply(c call, r reply) error {
	w.writes.Lock()
	defer w.writes.Unlock()
	text, err := r.message(c) // one at a time: it may be long
	if err == nil {
		_, err = w.Conn.Write(text)
	}
	return err
}

// Read reads messages that are for godbus.
func (w *wire) Read(p []byte) (int, error) {
	if !w.began.Load() {
		return w.Conn.Read(p)
	}
	for len(w.unread) == 0 {
		if err := w.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.unread)
	w.unread = w.unread[n:]
	return n, nil
}

// The fixed part of a message: byte order, type, flags, version, length of the body,
// serial, length of the fields.
const headSize = 16

// next reads one message.
func (w *wire) next() error {
	head, err := w.in.Peek(headSize)
	if err != nil {
		return err
	}
	var order binary.ByteOrder = binary.LittleEndian
	if head[0] == 'B' {
		order = binary.BigEndian
	}
	fields, body := uint64(order.Uint32(head[12:])), uint64(order.Uint32(head[4:]))
	if size := headSize + (fields+7)&^7 + body; size <= maxMessage {
		return w.read(int(size))
	}
	return w.passOver(order, fields, body)
}

// read reads a message, and passes it on.
func (w *wire) read(size int) error {
	text := make([]byte, size)
	if _, err := io.ReadFull(w.in, text); err != nil {
		return err
	}
	msg, err := dbus.DecodeMessage(bytes.NewReader(text))
	switch {
	case err != nil: // godbus knows fewer messages than the bus lets through
	case msg.Type == dbus.TypeMethodCall:
		w.called(newCall(msg))
	default:
		w.unread = text
	}
	return nil
}

// passOver reads a message that is too long, and keeps who is to be told so.
func (w *wire) passOver(order binary.ByteOrder, fields, body uint64) error {
	head := make([]byte, headSize)
	if _, err := io.ReadFull(w.in, head); err != nil {
		return err
	}
	c := call{flags: dbus.Flags(head[2]), serial: order.Uint32(head[8:])}
	f := fieldReader{in: w.in, order: order, left: fields}
	for f.left > 0 && f.err == nil {
		code, value := f.next()
		if code == byte(dbus.FieldSender) {
			c.sender = value
		}
	}
	if f.err != nil {
		return f.err
	}
	if err := f.skip((8-fields%8)%8 + body); err != nil {
		return err
	}
	if dbus.Type(head[1]) == dbus.TypeMethodCall {
		c.problem = invalidArgs("the call takes more than %d bytes", maxMessage)
		w.called(c)
	}
	return nil
}

// fieldReader reads the fields of a message's header, each as long as it may be.
type fieldReader struct {
	in       *bufio.Reader
	order    binary.ByteOrder
	at, left uint64 // what was read of the fields, and what is to come
	err      error
}

// next returns the code of a field and its value, if that is a short text.
func (f *fieldReader) next() (code byte, value string) {
	f.align(8)
	start := f.bytes(4) // the code, and the signature of the value: one character
	if f.err != nil {
		return 0, ""
	}
	switch start[2] {
	case 's', 'o':
		f.align(4)
		size := f.number()
		if size < 256 {
			value = string(f.bytes(size))
		} else {
			f.take(size)
		}
		f.take(1)
	case 'g':
		size := f.bytes(1)
		if f.err == nil {
			f.take(uint64(size[0]) + 1)
		}
	case 'u':
		f.number()
	default:
		f.err = fmt.Errorf("a field of type %q: %w", start[2], io.ErrUnexpectedEOF)
	}
	return start[0], value
}

func (f *fieldReader) align(to uint64) { f.take((to - f.at%to) % to) }

// number aligns by itself: it may begin anywhere.
func (f *fieldReader) number() uint64 {
	f.align(4)
	text := f.bytes(4)
	if f.err != nil {
		return 0
	}
	return uint64(f.order.Uint32(text))
}

// bytes reads a few bytes.
func (f *fieldReader) bytes(n uint64) []byte {
	text := make([]byte, n)
	if f.err == nil && n > f.left {
		f.err = io.ErrUnexpectedEOF
	}
	if f.err == nil {
		_, f.err = io.ReadFull(f.in, text)
		f.at, f.left = f.at+n, f.left-n
	}
	return text
}

// take reads bytes that nobody wants; those that align the last field do not matter.
func (f *fieldReader) take(n uint64) {
	if f.err == nil {
		n = min(n, f.left)
		f.err = f.skip(n)
		f.at, f.left = f.at+n, f.left-n
	}
}

func (f *fieldReader) skip(n uint64) error {
	_, err := f.in.Discard(int(n))
	return err
}
