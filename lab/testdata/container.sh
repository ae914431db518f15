#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs a container as a container engine does: an overlay as its root, a network
# namespace of its own behind a veth pair and a bridge, and NAT, first through
# nftables, then through iptables-nft. The container fetches the package
# repository's index through it; its answer's status is what is printed.
set -eu

mkdir -p /run/container
mount -t tmpfs container /run/container
mkdir /run/container/upper /run/container/work /run/container/root
mount -t overlay -o lowerdir=/,upperdir=/run/container/upper,workdir=/run/container/work container /run/container/root

modprobe br_netfilter
ip link add br0 type bridge
ip address add 10.88.0.1/24 dev br0
ip link set br0 up
ip netns add container
ip link add veth0 type veth peer name eth0 netns container
ip link set veth0 master br0 up
ip -n container address add 10.88.0.2/24 dev eth0
ip -n container link set eth0 up
ip -n container route add default via 10.88.0.1
echo 1 >/proc/sys/net/ipv4/ip_forward

fetch() {
	systemd-nspawn --quiet --console=pipe --register=no --keep-unit --as-pid2 --directory=/run/container/root \
		--network-namespace-path=/run/netns/container \
		timeout 10 bash -c "exec 3<>/dev/tcp/10.0.2.100/80; printf 'GET /repodata/repomd.xml HTTP/1.0\\r\\n\\r\\n' >&3; read -r _ status _ <&3; echo \$status" </dev/null
}

nft -f - <<END
table ip container {
	chain postrouting {
		type nat hook postrouting priority srcnat
		ip saddr 10.88.0.0/24 masquerade
	}
}
END
echo "nft $(fetch)"
nft delete table ip container

iptables-nft -t nat -A POSTROUTING -s 10.88.0.0/24 -m comment --comment container -m addrtype ! --dst-type LOCAL -j MASQUERADE
iptables-nft -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
echo "iptables $(fetch)"
