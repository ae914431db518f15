root=/srv/container
mkdir -p $root/dev $root/etc $root/proc $root/run $root/sys $root/tmp $root/usr/bin $root/var $root/www
ln -s usr/bin $root/bin
cp /bin/busybox $root/bin/
for applet in cat httpd id ip mount ps sh sleep test wget; do
	ln -s busybox $root/bin/$applet
done
echo container >$root/www/index.html
echo root:x:0:0:root:/:/bin/sh >$root/etc/passwd
echo root:x:0: >$root/etc/group
cp /usr/bin/driverd $root/usr/bin/
ldd /usr/bin/driverd | grep -o '/[^ ]*' | while read -r library; do
	mkdir -p "$root$(dirname "$library")"
	cp -L "$library" "$root$library"
done
chroot $root /usr/bin/driverd --version
for unit in docker.service docker.socket containerd.service lxc.service lxc-net.service podman.socket podman-restart.service podman-auto-update.timer; do
	rm -f /etc/systemd/system/*.wants/$unit
done
