# Builds the module in /tmp/policy, and labels all files. Runs in the guest's root,
# which is at /mnt too.
make -C /tmp/policy -f /usr/share/selinux/devel/Makefile driverd.pp
semodule --noreload --store=default --install=/tmp/policy/driverd.pp
rm -r /tmp/policy
printf 'SELINUX=enforcing\nSELINUXTYPE=default\n' >/etc/selinux/config
# Debian's policy has no domain for the scripts of RPM packages, and rpm's plugin wants one.
mkdir -p /etc/rpm
echo '%__transaction_selinux %{nil}' >/etc/rpm/macros.selinux
# What is written later keeps the label that it has now.
touch /etc/.updated /var/.updated
# One by one, because a file of an overlay can be on another device than its folder, and such
# are left out. -m: this kernel says of no file system that it takes labels.
find /mnt -xdev | setfiles -m -F -r /mnt -e /mnt/proc -f - /etc/selinux/default/contexts/files/file_contexts
# The commands of a test are an administrator's.
chcon system_u:object_r:unconfined_exec_t:s0 /usr/sbin/qemu-ga
