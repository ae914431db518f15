// SPDX-License-Identifier: Apache-2.0

package outside

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// WatchNetwork calls kick when the guest's Ways are other ones, until ctx ends.
// kick must not block.
func WatchNetwork(ctx context.Context, kick func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("cannot watch the network: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "rtnetlink")
	defer func() { _ = socket.Close() }() // only read: nothing can be lost
	var groups uint32
	for _, group := range []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE} {
		groups |= 1 << (group - 1)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return fmt.Errorf("cannot watch the network: %w", err)
	}
	var guest Guest
	before := guest.Ways()
	kick() // it may have changed before it was watched
	return news(ctx, socket, func() error {
		// Most of what the kernel says of links is no news: counters, containers.
		if now := guest.Ways(); !slices.Equal(now, before) {
			before = now
			kick()
		}
		return nil
	})
}

// WatchFolders calls kick when something in one of the folders is written,
// comes or goes, until ctx ends. kick must not block. A folder that is not there
// is watched once it is, if the one that it comes to is watched too.
func WatchFolders(ctx context.Context, folders []string, kick func()) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("cannot watch folders: %w", err)
	}
	queue := os.NewFile(uintptr(fd), "inotify")
	defer func() { _ = queue.Close() }() // only read: nothing can be lost
	watch := func() error {
		for _, folder := range folders {
			_, err := unix.InotifyAddWatch(fd, folder, unix.IN_ONLYDIR|unix.IN_CREATE|unix.IN_CLOSE_WRITE|unix.IN_MOVE|unix.IN_DELETE|unix.IN_DELETE_SELF)
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
				return fmt.Errorf("cannot watch %s: %w", folder, err)
			}
		}
		kick()
		return nil
	}
	if err := watch(); err != nil {
		return err
	}
	return news(ctx, queue, watch)
}

// news calls tell for whatever can be read from a queue of the kernel, until
// that fails or ctx ends. What was lost of it is news too.
func news(ctx context.Context, queue *os.File, tell func() error) error {
	defer context.AfterFunc(ctx, func() { _ = queue.Close() })()
	buffer := make([]byte, 64<<10)
	for {
		_, err := queue.Read(buffer)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.Is(err, unix.ENOBUFS):
			return fmt.Errorf("cannot read from %s: %w", queue.Name(), err)
		}
		if err := tell(); err != nil {
			return err
		}
	}
}
