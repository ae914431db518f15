// SPDX-License-Identifier: Apache-2.0

package outside

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Ways returns by what something beyond the guest can be reached now: the
// addresses of links that run, and the default routes over these. What cannot be
// read is not there.
func (Guest) Ways() []string {
	var ways []string
	running := make(map[uint32]string)
	links, _ := net.Interfaces()
	for _, link := range links {
		if link.Flags&net.FlagRunning == 0 {
			continue
		}
		running[uint32(link.Index)] = link.Name
		addresses, _ := link.Addrs()
		for _, address := range addresses {
			if n, ok := address.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
				ways = append(ways, n.String()+" on "+link.Name)
			}
		}
	}
	for _, r := range defaultRoutes() {
		if name, ok := running[r.link]; ok {
			ways = append(ways, fmt.Sprintf("default via %s on %s", r.gateway, name))
		}
	}
	slices.Sort(ways)
	return slices.Compact(ways)
}

type route struct {
	link    uint32
	gateway netip.Addr
}

// defaultRoutes lists those of the main table.
func defaultRoutes() []route {
	table, err := syscall.NetlinkRIB(syscall.RTM_GETROUTE, syscall.AF_UNSPEC)
	if err != nil {
		return nil
	}
	messages, err := syscall.ParseNetlinkMessage(table)
	if err != nil {
		return nil
	}
	var routes []route
	for _, m := range messages {
		// struct rtmsg of linux/rtnetlink.h: the second byte is the length of the
		// destination's prefix, the fifth the table, the eighth the type.
		if m.Header.Type != syscall.RTM_NEWROUTE || len(m.Data) < unix.SizeofRtMsg ||
			m.Data[1] != 0 || m.Data[4] != unix.RT_TABLE_MAIN || m.Data[7] != unix.RTN_UNICAST {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			continue
		}
		var r route
		for _, a := range attributes {
			switch a.Attr.Type {
			case unix.RTA_OIF:
				if len(a.Value) == 4 {
					r.link = binary.NativeEndian.Uint32(a.Value)
				}
			case unix.RTA_GATEWAY:
				r.gateway, _ = netip.AddrFromSlice(a.Value)
			}
		}
		routes = append(routes, r)
	}
	return routes
}
