// SPDX-License-Identifier: Apache-2.0

package dnfbridge_test

import (
	"strings"
	"testing"

	"driverd/dnfbridge"
	"driverd/reason"
)

// What rpmkeys of rpm 6.1 and 4.18 say, and what of it an administrator needs to read.
func TestUntrusted(t *testing.T) {
	t.Parallel()
	const digests = "    Header SHA256 digest: OK\n    Payload SHA256 digest: OK\n"
	const unsigned = "    Header OpenPGP DSA signature: NOTFOUND\n    Header OpenPGP RSA signature: NOTFOUND\n    Header OpenPGP signature: NOTFOUND\n" +
		digests + "    Legacy OpenPGP DSA signature: NOTFOUND\n    Legacy OpenPGP RSA signature: NOTFOUND\n"
	const noKey = "    Header OpenPGP V4 RSA/SHA512 signature, key ID 4cda20eee71df620: NOKEY\n    Header OpenPGP signature: NOTFOUND\n" + digests
	for _, test := range []struct{ said, want string }{
		{"/cache/a.rpm:\n" + noKey, "a.rpm: Header OpenPGP V4 RSA/SHA512 signature, key ID 4cda20eee71df620: NOKEY;"},
		{"/cache/a.rpm:\n" + unsigned, "a.rpm has no signature;"},
		{"/cache/a.rpm:\n    Header V4 RSA/SHA512 Signature, key ID e71df620: OK\n" + digests + "/cache/b.rpm:\n" + unsigned, "says b.rpm has no signature;"},
		{"/cache/a.rpm:\n" + noKey + "/cache/b.rpm:\n" + unsigned, "key ID 4cda20eee71df620: NOKEY; b.rpm has no signature;"},
		{
			"/cache/a.rpm:\n    Header OpenPGP V4 RSA/SHA512 signature, key ID 4cda20eee71df620: OK\n    Payload SHA512 digest: NOTFOUND\n" +
				"    Payload SHA256 ALT digest: BAD (Expected 2faf49cf != b1f36464)\n    Payload SHA256 digest: BAD (Expected a06b4d58 != b1f36464)\n",
			"a.rpm: Payload SHA256 ALT digest: BAD: Payload SHA256 digest: BAD;",
		},
		{ // signed, and of its contents nothing is known
			"/cache/a.rpm:\n    Header OpenPGP V4 RSA/SHA512 signature, key ID 4cda20eee71df620: OK\n    Payload SHA256 digest: NOTFOUND\n",
			"says a.rpm:; Header OpenPGP V4 RSA/SHA512 signature, key ID 4cda20eee71df620: OK; Payload SHA256 digest: NOTFOUND;",
		},
		{"error: /cache/a.rpm: not an rpm package (or package manifest)\n", "says error: a.rpm: not an rpm package;"},
	} {
		err := dnfbridge.Untrusted(test.said, []string{"/cache/a.rpm", "/cache/b.rpm"})
		if reason.Of(err) != reason.UntrustedPackage || !strings.Contains(err.Error(), test.want) {
			t.Errorf("the reason of %v is %q; want %q", err, reason.Of(err), test.want)
		}
	}
}
