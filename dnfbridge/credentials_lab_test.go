// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"fmt"
	"strings"
	"testing"

	"driverd/reason"
)

// What librepo and curl really say of a repository whose URL holds a password, and of a
// proxy that does.
func TestCredentialsOfRepositories(t *testing.T) {
	const secret = "Tr0ub4dor"
	g := newGuest(t)
	host := strings.TrimPrefix(g.repo.URL, "http://")
	for _, c := range []struct{ name, base, proxy string }{
		{"baseurl", "http://svc-mirror:" + secret + "@" + host + "/nosuch", "_none_"},
		{"token", g.repo.URL + "/" + secret + "/nosuch", "_none_"},
		{"proxy", g.repo.URL, "http://jdoe:" + secret + "@x@127.0.0.1:9"},
		{"proxy that is none", g.repo.URL, "jdoe:" + secret + "/x@127.0.0.1:9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.write(t, "/etc/yum.repos.d/kernel.repo", fmt.Sprintf("[kernel]\nname=kernel\nbaseurl=%s\nproxy=%s\nskip_if_unavailable=1\n", c.base, c.proxy))
			g.run(t, "rm", "-rf", "/var/cache/libdnf5", "/var/cache/dnf5daemon-server")
			_, err := g.backend(0).KernelPackages(t.Context(), release, false)
			if reason.Of(err) != reason.RepoUnreachable || strings.Contains(err.Error(), secret) {
				t.Errorf("the error is %v", err)
			}
			t.Log(err)
		})
	}
}
