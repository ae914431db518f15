# Runs in the root of a guest of 32 bits: its DNF is that of x86_64.

mkdir /etc/systemd/system/dnf5daemon-server.service.d
cat >/etc/systemd/system/dnf5daemon-server.service.d/emulated.conf <<END
[Service]
ExecStart=
ExecStart=/usr/bin/qemu-x86_64-static /usr/sbin/dnf5daemon-server
END
# So is the rpm in it, which reads the guest's own macros.
mkdir -p /etc/rpm
echo '%__plugindir /usr/lib/x86_64-linux-gnu/rpm-plugins' >/etc/rpm/macros.emulated

# Debian has this for kernels of 64 bits alone.
rm /usr/lib/sysctl.d/50-pid-max.conf
