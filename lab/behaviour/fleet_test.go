// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"driverd/lab"
	"driverd/lab/rpmrepo"
)

// fleet is a guest, at first without driverd, that Ansible configures over ssh.
type fleet struct {
	guest
	dir string // Ansible's working folder
}

const (
	playbook  = "site.yml" // docs/fleet.md has its text
	inventory = "guest ansible_host=%s ansible_port=%s ansible_user=root ansible_ssh_private_key_file=/work/key ansible_python_interpreter=/usr/bin/python3 driverd_package_manager=ansible.builtin.dnf5\n"
)

func newFleet(t *testing.T) fleet {
	t.Helper()
	if err := lab.Prepare(t.Context(), "openssh-client"); err != nil {
		t.Fatal(err)
	}
	image, err := lab.BuildFleetImage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := fleet{dir: t.TempDir()}
	key := filepath.Join(f.dir, "key")
	command(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	dir := variant(t, image.Repo, func(string) {})
	addDriverd(t, filepath.Join(dir, "driverd"))
	f.guest = boot(t, lab.Options{Image: image, Repo: rpmrepo.NewRepository(dir)}, lab.Start{
		Files: map[string]string{"/root/.ssh/authorized_keys": string(public)},
	})
	address, err := f.vm.Forward(f.patient(), 22)
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	f.write("hosts", fmt.Sprintf(inventory, host, port))
	f.write(playbook, documented(t, "fleet.md", "yaml")[0])
	return f
}

// addDriverd makes a repository of driverd's package.
func addDriverd(t *testing.T, dir string) {
	t.Helper()
	program, err := filepath.Abs(rpm(t))
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if err == nil {
		err = os.Symlink(program, filepath.Join(dir, filepath.Base(program)))
	}
	if err != nil {
		t.Fatal(err)
	}
	command(t, "createrepo_c", "--quiet", dir)
}

func (f fleet) write(name, text string) {
	f.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
}

// in returns the fleet for a subtest.
func (f fleet) in(t *testing.T) fleet { return fleet{f.guest.in(t), f.dir} }

// ansible runs a program of Ansible's, and returns its output and whether it succeeded.
func (f fleet) ansible(argv ...string) (string, bool) {
	f.Helper()
	cmd, err := lab.Ansible(f.patient(), f.dir, argv...)
	if err != nil {
		f.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.Logf("%v: %v", argv, err)
	}
	return string(out), err == nil
}

// plays runs the playbook, and returns its output and how many tasks changed something.
func (f fleet) plays(wantOK bool, args ...string) (said, changed string) {
	f.Helper()
	said, ok := f.ansible(append([]string{"ansible-playbook", "-i", "hosts", playbook}, args...)...)
	recap := regexp.MustCompile(`guest +: ok=\d+ +changed=(\d+) `).FindStringSubmatch(said)
	if ok != wantOK || recap == nil {
		f.Fatalf("the play has succeeded: %t\n%s", ok, said)
	}
	f.Log(said)
	return said, recap[1]
}

// query waits until Prometheus in the guest has a result for which jq's filter is true.
func (f fleet) query(expression, accepts string) {
	f.Helper()
	f.until(`curl -sfG --data-urlencode 'query=%s' http://localhost:9090/api/v1/query | jq -e '.data.result | %s'`, expression, accepts)
}

// TestFleet installs driverd in a guest with Debian's Ansible, and watches the guest with
// Debian's node_exporter and Prometheus.
func TestFleet(t *testing.T) {
	t.Parallel()
	f := newFleet(t)

	t.Run("the role is as Ansible's own tool wants it", func(t *testing.T) {
		said, ok := f.in(t).ansible("ansible-lint", "--offline", "--profile", "production", playbook, "roles/driverd")
		if !ok || !regexp.MustCompile(`Passed: 0 failure\(s\), 0 warning\(s\) (on|in) \d+ files`).MatchString(said) {
			t.Errorf("ansible-lint says:\n%s", said)
		}
	})
	t.Run("without a repository that has driverd it says so, and changes nothing", func(t *testing.T) {
		f := f.in(t)
		said, changed := f.plays(false)
		if !strings.Contains(said, "Cannot install driverd: ") || !strings.Contains(said, "Configure a repository that has them") || changed != "0" {
			t.Errorf("%s changes, and it says:\n%s", changed, said)
		}
		f.sh("! rpm -q driverd && ! test -e /etc/driverd")
	})
	f.configureRepository("driverd", "driverd", "gpgcheck=0")
	t.Run("to check changes nothing", func(t *testing.T) {
		f := f.in(t)
		if _, changed := f.plays(true, "--check"); changed != "1" {
			t.Errorf("%s tasks would change something", changed)
		}
		f.sh("! rpm -q driverd")
	})
	t.Run("a guest gets driverd, its configuration and drivers", func(t *testing.T) {
		f := f.in(t)
		f.plays(true)
		f.sh("systemctl is-enabled driverd.service driverd-metrics.timer && driverd check-config")
		if got := f.subpackages(); got["kernel-modules-sriov"] == "" {
			t.Errorf("installed: %v", got)
		}
		f.onlyRunningKernel()
	})
	t.Run("a second time nothing changes", func(t *testing.T) {
		f := f.in(t)
		if said, changed := f.plays(true); changed != "0" {
			t.Errorf("%s tasks have changed something:\n%s", changed, said)
		}
		if said, changed := f.plays(true, "--check"); changed != "0" {
			t.Errorf("%s tasks would change something:\n%s", changed, said)
		}
	})
	t.Run("Prometheus knows it", func(t *testing.T) {
		f := f.in(t)
		f.sh(`cat >/etc/prometheus/prometheus.yml <<'END'
%sEND
systemctl start prometheus-node-exporter.service prometheus.service`, documented(t, "fleet.md", "yaml")[1])
		f.query(`driverd_up`, `.[0].value[1] == "1"`)
		f.query(`sum by (instance) (driverd_devices_needing_help)`, `.[0].value[1] == "0"`)
		f.until(`curl -sf http://localhost:9090/api/v1/rules | jq -e '[.data.groups[].rules[] | select(.health == "ok") | .name] | contains(["DriverdDown", "DriverdDeviceNeedsHelp"])'`)
	})
	t.Run("a card that does not come up is reported, by both", func(t *testing.T) {
		f := f.in(t)
		f.sh("echo blacklist igb >/etc/modprobe.d/nic.conf")
		nic := f.plug("nic", "igb")
		f.refused(nic, "blocked", "blacklisted")
		said, _ := f.plays(false)
		if !strings.Contains(said, nic.String()) || !strings.Contains(said, "/etc/modprobe.d/nic.conf:1") {
			t.Errorf("it says:\n%s", said)
		}
		said, _ = f.plays(true, "-e", "driverd_must_work=false")
		if !strings.Contains(said, nic.String()) {
			t.Errorf("it says:\n%s", said)
		}
		f.query(`driverd_devices_needing_help`, `.[0].value[1] == "1"`)
		f.until(`curl -sf http://localhost:9090/api/v1/alerts | jq -e '.data.alerts[] | select(.labels.alertname == "DriverdDeviceNeedsHelp") | .state == "pending"'`)
		f.sh("rm /etc/modprobe.d/nic.conf; %s", rescan)
		f.bound(nic, "igb")
		f.query(`driverd_devices_needing_help`, `.[0].value[1] == "0"`)
	})
	t.Run("a configuration that is wrong is refused with its line", func(t *testing.T) {
		f := f.in(t)
		wrong, err := json.Marshal(map[string]string{"driverd_config": "mode = \"sleep\"\n"})
		if err != nil {
			t.Fatal(err)
		}
		if said, _ := f.plays(false, "-e", string(wrong)); !strings.Contains(said, "60-ansible.toml:1") {
			t.Errorf("it says:\n%s", said)
		}
		f.sh("grep 10de /etc/driverd/driverd.toml.d/60-ansible.toml && driverd check-config")
	})
	f.healthy()
}
