// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/godbus/dbus/v5"
)

// reply is what a call is answered with, as it is sent. Where many may ask for what is
// long, it is made once for all of them; godbus would encode it three times for each.
type reply struct {
	name      string // of the error, empty if it is none
	signature dbus.Signature
	body      []byte
}

// replyOf makes the reply of what a method returns, if it is not one already.
func replyOf(values []any) reply {
	if len(values) == 1 {
		if r, ok := values[0].(reply); ok {
			return r
		}
	}
	return encode(values)
}

// encode makes the reply of values. Those that cannot be sent are a mistake of ours, and
// the reply is an error that says so.
func encode(values []any) reply {
	if len(values) == 0 {
		return reply{}
	}
	signature := dbus.SignatureOf(values...)
	msg := dbus.Message{Type: dbus.TypeMethodReply, Body: values, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(uint32(0)), dbus.FieldSignature: dbus.MakeVariant(signature),
	}}
	var whole bytes.Buffer
	if err := msg.EncodeTo(&whole, binary.LittleEndian); err != nil {
		r := encode([]any{fmt.Sprintf("cannot send the answer: %v", err)})
		r.name = errorFailed
		return r
	}
	size := binary.LittleEndian.Uint32(whole.Bytes()[4:])
	return reply{signature: signature, body: bytes.Clone(whole.Bytes()[whole.Len()-int(size):])}
}

// message returns the whole message that answers a call. Its serial is of no interest to
// anybody, as no reply is answered.
func (r reply) message(c call) ([]byte, error) {
	headers := map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(c.sender), dbus.FieldReplySerial: dbus.MakeVariant(c.serial),
	}
	msg := dbus.Message{Type: dbus.TypeMethodReply, Headers: headers}
	if r.name != "" {
		msg.Type = dbus.TypeError
		headers[dbus.FieldErrorName] = dbus.MakeVariant(r.name)
	}
	if len(r.body) > 0 {
		headers[dbus.FieldSignature] = dbus.MakeVariant(r.signature)
	}
	var whole bytes.Buffer
	if err := msg.EncodeTo(&whole, binary.LittleEndian); err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint32(whole.Bytes()[4:], uint32(len(r.body)))
	binary.LittleEndian.PutUint32(whole.Bytes()[8:], 1)
	return append(whole.Bytes(), r.body...), nil
}
