// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
)

// watchScript counts what nobody tells: how often driverd lists the PCI devices,
// which is once for each of its looks, and never done by udev, and how many udev
// events its sockets have dropped. It writes both at SIGUSR1.
const watchScript = `cat >/run/lab-watch.pl <<'EOF'
my $pid = shift;
my ($looks, %drops) = (0);
my $fd = syscall(294, 0);                     # inotify_init1
my $dir = "/sys/bus/pci/devices";             # syscall takes no constant
syscall(254, $fd, $dir, 0x20) >= 0 or die $!; # inotify_add_watch, IN_OPEN
open(my $in, "<&=", $fd) or die $!;
sub drops {
	my %mine;
	for (glob "/proc/$pid/fd/*") { (readlink($_) // "") =~ /^socket:\[(\d+)\]/ and $mine{$1} = 1 }
	open(my $f, "<", "/proc/net/netlink") or die $!;
	while (<$f>) { my @c = split; $drops{$c[9]} = $c[8] if $c[1] eq "15" and $mine{$c[9]} }
}
$SIG{USR1} = my $say = sub {
	drops();
	my $sum = 0; $sum += $_ for values %drops;
	open(my $f, ">", "/run/lab-watch.new") or die $!;
	print $f "$looks $sum\n"; close $f;
	rename "/run/lab-watch.new", "/run/lab-watch";
};
$say->();
while (1) {
	my $bits = ""; vec($bits, $fd, 1) = 1;
	if (select($bits, undef, undef, 1) > 0) { sysread($in, my $b, 65536); $looks += length($b) / 16; }
	drops();
}
EOF
systemd-run -q --unit=lab-watch perl /run/lab-watch.pl $(systemctl show -P MainPID driverd.service)
until test -e /run/lab-watch; do sleep 0.1; done`

// WatchDriverd counts from now on how often driverd, as it runs now, looks at the
// devices, and how many events it loses: see Watched.
func (g *Guest) WatchDriverd(ctx context.Context) error {
	_, err := g.Output(ctx, watchScript)
	return err
}

// Watched returns driverd's looks at the devices since WatchDriverd, and the udev
// events that its sockets have dropped.
func (g *Guest) Watched(ctx context.Context) (looks, drops int, err error) {
	out, err := g.Output(ctx, "rm -f /run/lab-watch; systemctl kill --signal=USR1 lab-watch.service; until test -e /run/lab-watch; do sleep 0.1; done; cat /run/lab-watch")
	if err != nil {
		return 0, 0, err
	}
	if _, err := fmt.Sscan(out, &looks, &drops); err != nil {
		return 0, 0, fmt.Errorf("cannot read what was watched: %w: %q", err, out)
	}
	return looks, drops, nil
}
