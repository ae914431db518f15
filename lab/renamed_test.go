// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"strings"
	"testing"
)

// TestWithRelease sees that only what uname reads is changed in a kernel's image, and that
// an image without that is refused.
func TestWithRelease(t *testing.T) {
	const release = "7.2.12+deb14-arm64"
	field := func(text string) string { return text + strings.Repeat("\x00", 65-len(text)) }
	names := field("Linux") + field("(none)") + field(release) + field("#1 SMP")
	const others = "Linux version " + release + " (gcc)\x00" + release + " SMP preempt mod_unload aarch64\x00"
	got, err := withRelease([]byte(others+names+others), release, release+"+64k")
	want := others + strings.Replace(names, field(release), field(release+"+64k"), 1) + others
	if err != nil || !bytes.Equal(got, []byte(want)) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for name, image := range map[string]string{"compressed": "\x1f\x8b", "another release": field("(none)") + field("7.2.12")} {
		if _, err := withRelease([]byte(image), release, release+"+64k"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := withRelease([]byte(names), release, strings.Repeat("7", 65)); err == nil {
		t.Error("a release that is too long: no error")
	}
}
