# xen-disk.sh ROOT INIT DIR: make DIR/disk.raw, dom0's disk, and DIR/xen, which QEMU boots.
#
# Runs in namespaces of its own. ROOT is the read-only lower layer of an overlay; INIT is
# the first program that runs from the disk.
set -eu
root=$1 init=$2 dir=$3

gzip -dc "$root"/boot/xen-[0-9]*-amd64.gz >"$dir/xen"
mkdir "$dir/work"
mount -t tmpfs -o size=1G lab "$dir/work"
mkdir "$dir/work/upper" "$dir/work/overlay" "$dir/work/dom0"
mount -t overlay -o "lowerdir=$root,upperdir=$dir/work/upper,workdir=$dir/work/overlay" lab "$dir/work/dom0"
# Where systemd is installed, that name is a link to it.
rm -f "$dir/work/dom0/usr/sbin/init"
install -m 755 "$init" "$dir/work/dom0/usr/sbin/init"
truncate -s 1G "$dir/disk.raw"
mke2fs -q -t ext4 -J size=16 -E lazy_itable_init=1 -L dom0 -d "$dir/work/dom0" "$dir/disk.raw"
umount --lazy "$dir/work/dom0" "$dir/work"
rmdir "$dir/work"
