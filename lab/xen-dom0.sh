#!/bin/sh
# The first program of dom0: it starts what Xen's guests need of dom0, and the lab's agent.
# There is no systemd, which would take a minute more under software emulation.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs run /run
mkdir -p /dev/pts /run/lock /run/xen /run/xenstored
# Without its folder for logs, xenconsoled ends at once and says nothing.
mkdir -p /var/log/xen/console
mount -t devpts devpts /dev/pts
mount -t xenfs xenfs /proc/xen
# udevd would make these. The hot-plug scripts take no lock without /dev/stdin, and try for ever.
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr

# A guest's network card and QEMU's are on one bridge; dom0 itself has no address.
ip link add xenbr0 address "$(cat /sys/class/net/eth0/address)" type bridge
ip link set eth0 master xenbr0 up
ip link set xenbr0 up

set -- /usr/lib/xen-[0-9]*/bin
xen=$1
"$xen/xenstored" --pid-file /run/xen/xenstored.pid
until xenstore-read / >/dev/null 2>&1; do
	sleep 0.1
done
"$xen/xen-init-dom0"
"$xen/xenconsoled" --pid-file=/run/xen/xenconsoled.pid --log=all

until [ -c "$1" ]; do
	sleep 0.1
	set -- /dev/vport*p1
done
while :; do
	qemu-ga --method=virtio-serial --path="$1" --statedir=/run
done
