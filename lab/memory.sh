# memory.sh DISK DIR: make DIR/initrd of what is on a guest's disk.
set -eu
disk=$1 dir=$2
mkdir "$dir/tree"
debugfs -R "rdump / $dir/tree" "$disk" 2>/dev/null
cd "$dir/tree"
rm -rf lost+found usr/lib/python3* usr/lib/udev/hwdb* usr/lib/dracut usr/lib/x86_64-linux-gnu/gconv usr/lib/file usr/share/zoneinfo
ln -s usr/lib/systemd/systemd init
# The port that the agent has in other guests takes a module.
mkdir -p etc/systemd/system/multi-user.target.wants
cat >etc/systemd/system/lab-agent.service <<END
[Service]
ExecStart=/usr/sbin/qemu-ga --method=isa-serial --path=/dev/ttyS1
LogLevelMax=warning
END
ln -s ../lab-agent.service etc/systemd/system/multi-user.target.wants/
find . | cpio --quiet -o -H newc >../initrd
rm -rf "$dir/tree"
