#!/bin/busybox sh
# The initrd's only program: mount the disk, hand over to the first program there. Of the
# kernel's command line, the word root= names the disk, and lab.probe asks to say that the
# guest runs, and to end. What lies in /files is laid over the disk, once.
export PATH=/bin
disk=/dev/vda
busybox mount -t devtmpfs dev /dev
busybox mount -t proc proc /proc
for word in $(busybox cat /proc/cmdline); do
	case $word in
	root=*) disk=${word#root=} ;;
	lab.probe) echo "lab: guest runs"; busybox poweroff -f ;;
	esac
done
for module in /modules/*; do
	busybox insmod "$module"
done
# Xen's is there a moment after its driver.
until [ -b "$disk" ]; do
	busybox sleep 0.1
done
busybox mount -t ext4 -o noatime "$disk" /root
if [ -d /files ] && [ ! -e /root/etc/lab-files ]; then
	busybox cp -r /files/. /root/
	echo >/root/etc/lab-files
fi
busybox umount /proc
busybox mount --move /dev /root/dev
exec busybox switch_root /root /usr/sbin/init
