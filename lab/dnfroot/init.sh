# SPDX-License-Identifier: Apache-2.0
# Process 1 of the root's own mount and PID namespace. Arguments: the read-only
# lower tree, and the scratch folder with mnt/ (where the root gets mounted) and
# bus/ (where the bus socket appears, visible from outside).
# It lives as long as its standard input: when the process that holds the other
# end ends, in whatever way, so does everything in here.
set -eu
lower=$1 scratch=$2
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$scratch/mnt"
cd "$scratch/mnt"
mkdir upper work root
mount -t overlay -o "lowerdir=$lower,upperdir=upper,workdir=work" overlay root
cd root
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
while read -r name minor major; do mknod -m 666 "dev/$name" c "$major" "$minor"; done <<DEV
null 3 1
zero 5 1
full 7 1
random 8 1
urandom 9 1
tty 0 5
DEV
mkdir -p run/dbus run/lock
mount --bind "$scratch/bus" run/dbus
exec chroot . /bin/sh -eu -c '
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin
	# The bus starts polkitd and dnf5daemon-server when they are called.
	dbus-daemon --system --nofork --nopidfile --nosyslog --print-address=1 &
	cat >/dev/null'
