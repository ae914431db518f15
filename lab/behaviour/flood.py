# SPDX-License-Identifier: Apache-2.0
# As a user without rights, asks driverd for what is large and reads no answer: a property
# with a name of 20 MB, then 12 connections with 400 calls each, which stay.
# Writes the file that it is told when all has been asked.
import os, signal, socket, struct, sys

NAME, ROOT = "org.fedoraproject.Driverd1", "/org/fedoraproject/Driverd1"
PATH, INTERFACE, MEMBER, DESTINATION, SIGNATURE = 1, 2, 3, 6, 8


def aligned(data, to):
    return data + bytes(-len(data) % to)


def string(text):
    return struct.pack("<I", len(text)) + text.encode() + b"\0"


def message(serial, destination, path, interface, member, signature="", body=b""):
    fields = b""
    for code, kind, value in (
        (PATH, "o", path), (INTERFACE, "s", interface), (MEMBER, "s", member), (DESTINATION, "s", destination), (SIGNATURE, "g", signature),
    ):
        if value:
            fields = aligned(fields, 8) + bytes([code, 1]) + kind.encode() + b"\0"
            fields += bytes([len(value)]) + value.encode() + b"\0" if kind == "g" else string(value)
    head = struct.pack("<cBBBIII", b"l", 1, 0, 1, len(body), serial, len(fields))
    return aligned(head + fields, 8) + body


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect("/run/dbus/system_bus_socket")
    s.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
    s.recv(1000)
    s.sendall(b"BEGIN\r\n" + message(1, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello"))
    s.recv(1000)
    s.settimeout(20)
    return s


name = aligned(string(NAME + ".Manager"), 4) + string("A" * 20_000_000)
large = connect()
try:
    large.sendall(message(2, NAME, ROOT, "org.freedesktop.DBus.Properties", "Get", "ss", name))
    large.recv(1000)  # its error, or the end of the connection
except OSError:
    pass
unread = [connect() for _ in range(12)]
for s in unread:
    for serial in range(2, 402):
        if serial % 2:
            call = message(serial, NAME, ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        else:
            call = message(serial, NAME, ROOT, NAME + ".Manager", "History", "a{sv}", bytes(8))
        try:
            s.sendall(call)
        except OSError:  # the bus does not listen to it any more
            break
open(sys.argv[1], "w").close()
signal.pause()
