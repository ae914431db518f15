// SPDX-License-Identifier: Apache-2.0

package redact_test

import (
	"strings"
	"testing"

	"driverd/internal/redact"
)

// What librepo, curl and dnf5 print of repositories and proxies, and what is left of it.
func TestCredentials(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"cannot download a: Status code: 401 for https://svc:Tr0ub4dor@mirror.example/el9/repodata/repomd.xml (IP: 192.0.2.10)"://
		"cannot download a: Status code: 401 for https://REMOVED@mirror.example/REMOVED/repomd.xml (IP: 192.0.2.10)",
		// A token in the path, of Cloudsmith and of packagecloud.
		"Status code: 402 for https://dl.cloudsmith.io/AbCdEfGh12345678/acme/prod/rpm/el/9/x86_64/repodata/repomd.xml (IP: 192.0.2.10)"://
		"Status code: 402 for https://dl.cloudsmith.io/REMOVED/repomd.xml (IP: 192.0.2.10)",
		"Status code: 404 for https://packagecloud.io/priv/0a1b2c3d4e5f6789/acme/k-1-1.x86_64.rpm (IP: 192.0.2.11)"://
		"Status code: 404 for https://packagecloud.io/REMOVED/k-1-1.x86_64.rpm (IP: 192.0.2.11)",
		// A token as a parameter, with the rest of the URL and without.
		"Status code: 403 for https://acct.blob.example/rpm/repodata/repomd.xml?sv=1&sig=zzz (IP: 192.0.2.12)"://
		"Status code: 403 for https://acct.blob.example/REMOVED (IP: 192.0.2.12)",
		"repodata/repomd.xml?sv=1&sig=zzz": "repodata/repomd.xml?REMOVED",
		// Passwords that do not belong in a URL as they are.
		"Curl error (3): URL using bad/illegal format or missing URL for http://jdoe:pa/ssw0rd@mirror.example/x"://
		"Curl error (3): URL using bad/illegal format or missing URL for http://REMOVED@mirror.example/REMOVED",
		"for http://jdoe:pa?ss#w0rd@mirror.example/x [Port number was not a decimal number between 0 and 65535]"://
		"for http://REMOVED@mirror.example/REMOVED [Port number was not a decimal number between 0 and 65535]",
		"for http://jdoe:pa/repodata/repomd.xml": "for http://REMOVED", // dnf has split it at a blank
		// Proxies, quoted by curl as they are configured.
		"Could not resolve proxy name [Unsupported proxy syntax in 'http://jdoe:Spec@ial!@proxy.example:3128': Bad hostname]"://
		"Could not resolve proxy name [Unsupported proxy syntax in 'http://REMOVED@proxy.example:3128': Bad hostname]",
		"Unsupported proxy syntax in 'jdoe:hun ter2@proxy.example:3128'":  "Unsupported proxy syntax in 'REMOVED@proxy.example:3128'",
		"Unsupported proxy syntax in 'jdoe:hun'ter2@proxy.example:3128'":  "Unsupported proxy syntax in 'REMOVED@proxy.example:3128'",
		"Unsupported proxy scheme for 'foo://jdoe:pw@proxy.example:3128'": "Unsupported proxy scheme for 'foo://REMOVED@proxy.example:3128'",
		// Ids that dnf5 config-manager addrepo has made of URLs.
		"cannot download S3cr3tInId_40mirror.example_el9: Status code: 404": "cannot download REMOVED_40mirror.example_REMOVED: Status code: 404",
		"S3cr3tInId_40192.0.2.10_el9":                                       "REMOVED_40192.0.2.10_el9",
		"dl.cloudsmith.io_AbCdEfGh12345678_acme_prod":                       "dl.cloudsmith.io_REMOVED",
		// Several in one word, and configuration that is quoted.
		"baseurl=http://a:b@c.example/,https://d:e@f.example/": "baseurl=http://REMOVED@f.example/",
		`Invalid line "proxy_password=hunter2"`:                `Invalid line "proxy_password=REMOVED"`,
		"Fedora (44) <fedora-44-primary@fedoraproject.org>":    "Fedora (44) <REMOVED@fedoraproject.org>",

		// What is to stay.
		"the kernel loads no more modules (kernel.modules_disabled is 1): reboot":                             "",
		"see journalctl -u driverd-load@0000:01:00.0.service.":                                                "",
		"Status code: 404 for http://127.0.0.1:8080/ (IP: 127.0.0.1)":                                         "",
		"https://[2001:db8::1]:8443/":                                                                         "",
		"Couldn't open file:///usr/share/driverd/packages/repodata/repomd.xml":                                "",
		"Curl error (7): Couldn't connect to server [Failed to connect to mirror.example port 80]":            "",
		"https://copr.example/results/@group/project/repodata/repomd.xml":                                     "https://copr.example/REMOVED/repomd.xml",
		"kernel-modules-core-5.14.0-427.13.1.el9_4.x86_64 copr:copr.fedorainfracloud.org:user:project":        "",
		"i915/skl_dmc_ver1_40.bin amdgpu/navi10_gpu_info.bin modules.builtin.modinfo 7.2.12+deb14-amd64":      "",
		"the transaction would also do this: remove polkit-0:126-3.fc44.x86_64; pci:v00008086d000010C9sv*sd*": "",
		"nothing provides 'libfoo.so.1()(64bit)' needed by \"a\"\n - b":                                       "",
	} {
		if want == "" {
			want = text
		}
		if got := redact.Text(text); got != want {
			t.Errorf("%q became\n%q, want\n%q", text, got, want)
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"mac 52:54:00:12:34:56, ip 192.0.2.7.":                                     "mac ADDRESS, ip ADDRESS.",
		"link 52-54-00-12-34-56":                                                   "link ADDRESS",
		"Could not resolve host: ip-10-0-3-17.eu-west-1.compute.internal":          "Could not resolve host: ADDRESS.eu-west-1.compute.internal",
		"from fe80::5054:ff:fe12:3456%eth0":                                        "from ADDRESS%eth0",
		"[2001:db8::1]:443 and ::1":                                                "[ADDRESS]:443 and ADDRESS",
		"dial tcp 10.0.0.1:8080: connection refused":                               "dial tcp ADDRESS: connection refused",
		"00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01 (InfiniBand)": "ADDRESS (InfiniBand)",
		"https://me:secret@mirror.example/f44?token=abc&x=1: 404":                  "https://REMOVED@mirror.example/REMOVED: 404",

		// What only looks like one.
		"0000:01:00.0 10000:e1:00.0 8086:10c9 16:30:01 2026-11-25T16:30:01.123456+0000": "",
		"kernel-modules-6.1.0.23-1.x86_64 5.14.0-427.13.1.el9_4 6.1.0.23-cloud":         "",
		`"time": 1764089151123456, "class": 131072, "name": "deadbeefdead"`:             "",
		"pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00 std::string":             "",
		"6d1d8a4e-5c3c-4f5e-9c1e-1b7f7a0c9d11":                                          "",
	} {
		if want == "" {
			want = text
		}
		if got := redact.Report(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// templates are texts of librepo, curl and dnf5; SECRET is where a secret can stand,
// which is made of some characters only, if it says so.
var templates = []struct{ text, of string }{
	{"Status code: 401 for https://svc:SECRET@mirror.example/el9/repodata/repomd.xml (IP: 192.0.2.10)", ""},
	{"Status code: 401 for https://SECRET@mirror.example:8443/el9/repodata/repomd.xml (IP: 192.0.2.10)", ""},
	{"Curl error (3): URL using bad/illegal format or missing URL for ftp://jdoe:SECRET@[2001:db8::1]:21/x [why]", ""},
	{"Could not resolve proxy name [Unsupported proxy syntax in 'http://jdoe:SECRET@proxy.example:3128': Bad hostname]", ""},
	{"Could not resolve proxy name [Unsupported proxy syntax in 'jdoe:SECRET@proxy.example:3128']", ""},
	{"Failed to download metadata (baseurl: \"https://svc:SECRET@mirror.example/el9\") for repository \"lab\"", ""},
	{"first https://a:SECRET@one.example/x, then https://b:SECRET@two.example/y\nand jdoe:SECRET@three.example", ""},
	{"Status code: 402 for https://dl.cloudsmith.io/SECRET/acme/repodata/repomd.xml (IP: 192.0.2.10)", token},
	{"Status code: 402 for https://mirror.example/priv/SECRET: try again", token},
	{"Status code: 403 for https://acct.blob.example/rpm/?sv=1&sig=SECRET (IP: 192.0.2.12)", token + "%+/=&"},
	{"GET /rpm/repodata/repomd.xml?sig=SECRET", token + "%+/=&"},
	{"proxy_password=SECRET", token + "%+/=&!$*"},
	{"cannot download SECRET_40mirror.example_el9: Status code: 404", token + ":"},
	{"cannot download dl.cloudsmith.io_SECRET_acme_prod: Status code: 404", strings.ReplaceAll(token, "_", "")},
}

// token is what a token in a URL is made of.
const token = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.~"

// FuzzText sees that of no secret four characters survive, wherever it stands, and
// that nothing changes the second time.
func FuzzText(f *testing.F) {
	for _, secret := range []string{
		"Tr0ub4dor", "Spec@ial!", "pa/ssw0rd", "p?a#ss&w=0rd", "a:b:c:d", "http://x", "%40%3a", "(x)[y]{z}", "::::", "@@@@", "....", "x://y@z",
		`"quoted"`, "'quoted'", "user@x.service", "_40host", "file:///etc", "\u00e9\u00e8\u2026", "password=pw", "AbCdEfGh12345678",
	} {
		for n := range templates {
			f.Add(secret, n)
		}
	}
	f.Fuzz(func(t *testing.T, secret string, n int) {
		template := templates[uint(n)%uint(len(templates))]
		if strings.ContainsAny(secret, " \t\r\n") || strings.HasSuffix(secret, ".rpm") || template.of != "" && strings.Trim(secret, template.of) != "" {
			return
		}
		with := func(secret string) string { return strings.ReplaceAll(template.text, "SECRET", secret) }
		text := with(secret)
		got := redact.Text(text)
		const size = 4
		known, seen := with(" ")+" "+redact.Text(with("x")), strings.ReplaceAll(got, "REMOVED", " ")
		for i := 0; i+size <= len(secret); i++ {
			if part := secret[i : i+size]; strings.Contains(seen, part) && !strings.Contains(known, part) {
				t.Fatalf("%q survives in %q, which was %q", part, got, text)
			}
		}
		if again := redact.Text(got); again != got {
			t.Fatalf("%q becomes %q the second time", got, again)
		}
	})
}
