// SPDX-License-Identifier: Apache-2.0

package main

// What stands before and after the interfaces in their page.
const (
	head = `.\" SPDX-License-Identifier: Apache-2.0
.\" Made by make docs from api/org.fedoraproject.Driverd1.xml: write there.
.TH ORG.FEDORAPROJECT.DRIVERD1 5 %s "driverd %s" D\-Bus
.nh
.SH NAME
org.fedoraproject.Driverd1 \- the D-Bus interface of driverd
.SH SYNOPSIS
.nf
Service:  org.fedoraproject.Driverd1, on the system bus
Root:     /org/fedoraproject/Driverd1
.fi
.SH DESCRIPTION
What
.BR driverd (8)
does can be read by everybody, and watched; what changes something is guarded by
an action of
.BR polkit (8).
All properties are read-only and announced by
.IR PropertiesChanged ;
objects that come and go are announced by
.I org.freedesktop.DBus.ObjectManager
at the root.
.PP
A method's last argument holds options; a key that it does not know is refused
with
.IR InvalidArgs .
Polkit asks a person for a password only if the call carries the flag
ALLOW_INTERACTIVE_AUTHORIZATION.
Errors of driverd's own are named
.IR org.fedoraproject.Driverd1.Error.NAME .
.PP
Types are those of D-Bus: s a string, u and t numbers without sign of 32 and
64 bits, b a boolean, d a floating point number, o an object path, a an array,
a{sv} a dictionary.
Times are microseconds since 1970, sizes are in bytes.
The description in XML is
.IR /usr/share/dbus\-1/interfaces/org.fedoraproject.Driverd1.xml .
`
	tail = `.SH EXAMPLES
What there is, and the state of one device:
.PP
.EX
busctl tree org.fedoraproject.Driverd1
busctl get\-property org.fedoraproject.Driverd1 \e
  /org/fedoraproject/Driverd1/devices/0000_01_00_0 \e
  org.fedoraproject.Driverd1.Device State
.EE
.PP
Why a card would get the driver that it gets:
.PP
.EX
busctl call org.fedoraproject.Driverd1 /org/fedoraproject/Driverd1 \e
  org.fedoraproject.Driverd1.Manager Explain \(aqsa{sv}\(aq 8086:10c9 0
.EE
.PP
Have it installed, which gives the path of a job, and look at that:
.PP
.EX
busctl call org.fedoraproject.Driverd1 /org/fedoraproject/Driverd1 \e
  org.fedoraproject.Driverd1.Manager Install \(aqasa{sv}\(aq 1 8086:10c9 0
busctl introspect org.fedoraproject.Driverd1 \e
  /org/fedoraproject/Driverd1/jobs/1
.EE
.PP
Every change, as it happens:
.PP
.EX
busctl monitor org.fedoraproject.Driverd1
.EE
.SH SEE ALSO
.BR driverd (1),
.BR driverd (8),
.BR busctl (1)
`
)
