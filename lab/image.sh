#!/bin/sh
# image.sh ROOT REPO STUB KERNEL ARCH OTHER FILES FINISH DISK [RPM...]: make the guest's disk.
#
# KERNEL is the version of its kernel's *-uname-r capabilities, ARCH its architecture, as
# RPM names it. OTHER is empty, or the files of ROOT's packages for ARCH if ROOT is of this
# machine's architecture: their usr is laid over the root at the end, when nothing runs in
# it any more.
# Runs in namespaces of its own. ROOT is the read-only lower layer of an
# overlay; STUB is the package that speaks for its Debian ones; REPO holds repo/ and key.asc; FILES are laid over the root; RPMs are
# driverd's packages, none for a guest without it; FINISH is a file with a script
# that runs in the guest's root at the end, with that root at /mnt too; empty for none.
set -eu
root=$1 repo=$2 stub=$3 kernel=$4 arch=$5 other=$6 files=$7 finish=$8 disk=$9
shift 9

work=$(dirname "$disk")/work
mkdir "$work"
mount -t tmpfs -o size=4G lab "$work"
mkdir "$work/upper" "$work/overlay" "$work/guest"
guest=$work/guest
mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/overlay" lab "$guest"

cp -r "$files/." "$guest/"
mkdir -p "$guest/etc/pki/rpm-gpg"
cp "$repo/key.asc" "$guest/etc/pki/rpm-gpg/lab.asc"

echo guest >"$guest/etc/hostname"
# An id of its own: with none, systemd would take every boot for the first one.
echo 64726976657264206c61622067756573 >"$guest/etc/machine-id"
sed -i 's/^root:[^:]*:/root::/' "$guest/etc/shadow"
# What a throwaway guest does not need, and what would make noise in a test.
for unit in apt-daily.timer apt-daily-upgrade.timer dnf5-automatic.timer dnf5-makecache.timer \
	dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
	dracut-shutdown.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
	systemd-networkd.service systemd-networkd.socket systemd-pstore.service systemd-tpm2-setup.service \
	systemd-hwdb-update.service systemd-random-seed.service getty@tty1.service \
	modprobe@drm.service modprobe@configfs.service sys-kernel-config.mount \
	dev-hugepages.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount; do
	ln -sf /dev/null "$guest/etc/systemd/system/$unit"
done

# A /dev of its own: the host's devtmpfs is one for the whole machine.
mount -t tmpfs lab "$guest/dev"
mknod -m 666 "$guest/dev/null" c 1 3
mknod -m 666 "$guest/dev/zero" c 1 5
mknod -m 666 "$guest/dev/random" c 1 8
mknod -m 666 "$guest/dev/urandom" c 1 9
mount -t proc lab "$guest/proc"
mount -t tmpfs lab "$guest/run"
mkdir "$guest/run/repo" "$guest/run/rpms"
mount --bind "$repo/repo" "$guest/run/repo"

chroot "$guest" rpm --import /etc/pki/rpm-gpg/lab.asc
cp "$stub" "$guest/run/stub.rpm"
chroot "$guest" dnf5 -y ${other:+"--forcearch=$arch"} --setopt=lab.baseurl=file:///run/repo install /run/stub.rpm \
	"kernel-core-uname-r = $kernel" "kernel-modules-core-uname-r = $kernel"
if [ $# -gt 0 ]; then
	cp "$@" "$guest/run/rpms/"
	chroot "$guest" sh -c 'dnf5 -y "$@" --setopt=lab.baseurl=file:///run/repo install /run/rpms/*' sh ${other:+"--forcearch=$arch"}
fi
if [ -s "$finish" ]; then
	sed -i 's,^baseurl=.*,baseurl=file:///run/repo,' "$guest/etc/yum.repos.d/lab.repo"
	mount --rbind "$guest" "$guest/mnt"
	cp "$finish" "$guest/run/finish"
	chroot "$guest" sh -eu /run/finish
	umount --recursive --lazy "$guest/mnt"
	cp "$files/etc/yum.repos.d/lab.repo" "$guest/etc/yum.repos.d/"
fi
chroot "$guest" dnf5 clean all
rm -rf "$guest"/var/log/dnf5.log* "$guest"/boot/*
# Otherwise systemd rebuilds its caches at boot: systemd-update-done.service(8).
touch "$guest/etc/.updated" "$guest/var/.updated"

# Not at once: what dnf and systemd have started here may be on its way out.
umount --lazy "$guest/run/repo" "$guest/run" "$guest/proc" "$guest/dev"
if [ -n "$other" ]; then
	rm "$guest/etc/ld.so.cache"
	# An emulator is for the root's packages that OTHER lacks. They need their libraries.
	[ -e "$other/usr/bin/qemu-x86_64-static" ] || rm -r "$guest"/usr/lib/*-linux-gnu "$guest/usr/lib64"
	cp -a --remove-destination "$other/usr" "$guest/"
	# Owners and modes that a package's script has set.
	cut -d ' ' -f 4 "$root/var/lib/dpkg/statoverride" | while read -r file; do
		chown --reference="$root$file" "$guest$file"
		chmod --reference="$root$file" "$guest$file"
	done
fi
truncate -s 2G "$disk"
mke2fs -q -t ext4 -J size=16 -E lazy_itable_init=1 -L guest -d "$guest" "$disk"
umount --lazy "$guest" "$work"
rmdir "$work"
