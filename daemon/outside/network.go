// SPDX-License-Identifier: Apache-2.0

package outside

import (
	"encoding/binary"
	"fmt"
	"iter"
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
		if link.Flags&net.FlagRunning != 0 {
			running[uint32(link.Index)] = link.Name
		}
	}
	for _, a := range addresses() {
		if name, ok := running[a.link]; ok {
			ways = append(ways, fmt.Sprintf("%s on %s", a.prefix, name))
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

type address struct {
	link   uint32
	prefix netip.Prefix
}

// addresses lists those by which others can be reached. net asks the kernel for all of
// them once for each link.
func addresses() (all []address) {
	for m, attributes := range dump(syscall.RTM_GETADDR) {
		// struct ifaddrmsg of linux/if_addr.h: the second byte is the length of the prefix,
		// the last four are the link.
		if m.Header.Type != syscall.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg {
			continue
		}
		for _, a := range attributes {
			// Of a link to one other host IFA_ADDRESS is that one, and the link's own is IFA_LOCAL.
			ip, ok := netip.AddrFromSlice(a.Value)
			if a.Attr.Type == unix.IFA_ADDRESS && ok && ip.IsGlobalUnicast() {
				all = append(all, address{binary.NativeEndian.Uint32(m.Data[4:]), netip.PrefixFrom(ip, int(m.Data[1]))})
			}
		}
	}
	return all
}

// dump asks the kernel for a table, and returns its messages with their attributes.
func dump(table int) iter.Seq2[syscall.NetlinkMessage, []syscall.NetlinkRouteAttr] {
	return func(yield func(syscall.NetlinkMessage, []syscall.NetlinkRouteAttr) bool) {
		answer, err := syscall.NetlinkRIB(table, syscall.AF_UNSPEC)
		if err != nil {
			return
		}
		messages, err := syscall.ParseNetlinkMessage(answer)
		if err != nil {
			return
		}
		for _, m := range messages {
			if attributes, err := syscall.ParseNetlinkRouteAttr(&m); err == nil && !yield(m, attributes) {
				return
			}
		}
	}
}

type route struct {
	link    uint32
	gateway netip.Addr
}

// defaultRoutes lists those of the main table.
func defaultRoutes() (routes []route) {
	for m, attributes := range dump(syscall.RTM_GETROUTE) {
		// struct rtmsg of linux/rtnetlink.h: the second byte is the length of the
		// destination's prefix, the fifth the table, the eighth the type.
		if m.Header.Type != syscall.RTM_NEWROUTE || len(m.Data) < unix.SizeofRtMsg ||
			m.Data[1] != 0 || m.Data[4] != unix.RT_TABLE_MAIN || m.Data[7] != unix.RTN_UNICAST {
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
