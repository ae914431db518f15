// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"driverd/api"
	"driverd/lab"
)

// engine is a way to run a container. Its scripts run in the guest.
type engine struct {
	name    string
	start   string   // starts the engine, and a container that serves /www on its port 80
	inside  string   // runs a command in that container: a format
	address string   // at which the guest reaches the container's server
	stop    string   // ends the container and the engine
	modules []string // that it makes the kernel load, among others
}

// serve is what the container runs.
const serve = "httpd -f -p 80 -h /www"

var engines = []engine{
	{
		name: "LXC, unprivileged, bridge",
		start: `useradd --create-home tenant
chmod 755 /home/tenant
echo tenant:100000:65536 | tee /etc/subuid >/etc/subgid
echo tenant veth lxcbr0 2 >/etc/lxc/lxc-usernet
cp -r ` + lab.ContainerRoot + ` /srv/lxc
chown -R 100000:100000 /srv/lxc
cat >/home/tenant/config <<END
lxc.uts.name = web
lxc.rootfs.path = dir:/srv/lxc
lxc.init.cmd = /bin/` + serve + `
lxc.idmap = u 0 100000 65536
lxc.idmap = g 0 100000 65536
lxc.mount.auto = proc:mixed sys:mixed
lxc.apparmor.profile = unconfined
lxc.net.0.type = veth
lxc.net.0.link = lxcbr0
lxc.net.0.flags = up
lxc.net.0.ipv4.address = 10.0.3.50/24
lxc.net.0.ipv4.gateway = 10.0.3.1
END
setpriv --reuid=tenant --regid=tenant --clear-groups mkdir -p /home/tenant/.local/share/lxc
systemctl start lxc-net.service
systemd-run --quiet --unit=web --uid=tenant --property=Delegate=yes --setenv=HOME=/home/tenant lxc-start --foreground --name=web --rcfile=/home/tenant/config`,
		inside:  "lxc-attach --lxcpath=/home/tenant/.local/share/lxc --name=web -- %s",
		address: "10.0.3.50",
		stop:    "systemctl stop web.service lxc-net.service",
		modules: []string{"veth", "bridge", "nf_tables", "nft_masq", "nf_nat", "nf_conntrack"},
	},
	{
		name: "podman, crun, netavark",
		start: `test "$(podman info --format '{{.Host.OCIRuntime.Name}} {{.Host.NetworkBackend}}')" = "crun netavark"
tar -C ` + lab.ContainerRoot + ` -c . | podman import --quiet - localhost/container
podman run --detach --name web --publish 8080:80 localhost/container ` + serve,
		inside:  "podman exec web %s",
		address: "10.0.2.15:8080",
		stop:    "podman rm --force --time 0 web && nft flush ruleset",
		modules: []string{"overlay", "veth", "bridge", "nf_tables", "nft_masq", "nf_nat", "nf_conntrack"},
	},
	docker("nft", "nf_tables", "nft_compat"),
	docker("legacy", "ip_tables", "iptable_filter", "iptable_nat", "ip6table_filter", "ip6table_nat"),
}

// docker returns Docker with one of the two kinds of iptables. Without its proxy in user
// space, the kernel alone forwards the published port.
func docker(iptables string, modules ...string) engine {
	return engine{
		name: "docker, iptables-" + iptables,
		start: `update-alternatives --quiet --set iptables /usr/sbin/iptables-` + iptables + `
update-alternatives --quiet --set ip6tables /usr/sbin/ip6tables-` + iptables + `
mkdir -p /etc/docker
echo '{"userland-proxy": false}' >/etc/docker/daemon.json
systemctl start docker.service
tar -C ` + lab.ContainerRoot + ` -c . | docker import - local/container
docker run --detach --name web --publish 8080:80 local/container ` + serve + `
iptables-` + iptables + ` -t nat -S DOCKER | grep -q -e '--dport 8080 -j DNAT'`,
		inside:  "docker exec web %s",
		address: "10.0.2.15:8080",
		stop:    "docker rm --force web && systemctl stop docker.socket docker.service containerd.service && ip link delete docker0 && nft flush ruleset",
		modules: append([]string{"overlay", "veth", "bridge", "nf_nat", "nf_conntrack", "xt_conntrack", "xt_addrtype", "xt_MASQUERADE"}, modules...),
	}
}

// TestContainerEngines runs a container with each engine, in a guest that has the base of
// its kernel alone. The container is reached through its bridge or its published port, and
// it reaches the package repository through NAT. driverd in it is inactive.
func TestContainerEngines(t *testing.T) {
	t.Parallel()
	g := boot(t, lab.Options{Image: imageBy(t, lab.BuildEnginesImage)}, lab.Start{})
	const kernelPackages = `rpm -qa --qf '%%{NAME}\n' 'kernel*' | sort`
	if got := g.sh(kernelPackages); got != "kernel-core\nkernel-modules-core" {
		t.Fatalf("the guest has %q, and is to have the base alone", got)
	}
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			g := g.in(t)
			g.sh("set -e; %s", e.start)
			g.until(`test "$(busybox wget -q -O - http://%s/index.html)" = container`, e.address)
			g.sh(e.inside, `sh -c "wget -q -O - `+lab.RepoURL+`repodata/repomd.xml | grep -q '<repomd'"`)
			g.driverdInside(e.inside)
			loaded := strings.Fields(g.sh("lsmod | tail -n +2 | cut -d' ' -f1"))
			for _, name := range e.modules {
				if !slices.Contains(loaded, name) {
					t.Errorf("%s is not loaded", name)
				}
			}
			if got := g.sh("rpm -qf --qf '%%{NAME}\\n' $(modinfo -n %s) | sort -u", strings.Join(loaded, " ")); got != "kernel-modules-core" {
				t.Errorf("the loaded modules are of %q", got)
			}
			g.sh("%s", e.stop)
			if t.Failed() {
				return
			}
			_, _ = fmt.Printf("table: %-26s serves, reaches the outside, driverd in it is inactive (container); %d modules loaded, all of the base\n", e.name, len(loaded))
		})
	}

	t.Run("systemd-nspawn", func(t *testing.T) {
		g := g.in(t)
		g.driverdInside("systemd-nspawn --quiet --console=pipe --register=no --keep-unit --as-pid2 --directory=" + lab.ContainerRoot + " %s </dev/null")
	})
	if got := g.sh(kernelPackages); got != "kernel-core\nkernel-modules-core" {
		t.Errorf("the guest has %q now", got)
	}
	if got := g.sh("journalctl -b -q --no-pager -o cat | grep -E 'modprobe: (FATAL|ERROR)|Module .* not found' || true"); got != "" {
		t.Errorf("a module was asked for that the guest lacks: %s", got)
	}
	g.sh("systemctl is-active -q driverd.service || test -e %s", api.RestFile)
}

// driverdInside sees that driverd in a container says why it does nothing. inside is how
// a command runs there.
func (g guest) driverdInside(inside string) {
	g.Helper()
	for command, says := range map[string]string{
		"driverd status":        " is inactive (container)",
		"driverd status --json": `"reason": "container"`,
	} {
		r, err := g.vm.Run(g.patient(), fmt.Sprintf(inside, command))
		if err != nil || r.Code != 4 || !strings.Contains(strings.Join(strings.Fields(r.Stdout+r.Stderr), " "), says) {
			g.Errorf("%s in a container: %v, exit code %d, want 4 and %q: %s%s", command, err, r.Code, says, r.Stdout, r.Stderr)
		}
	}
}
