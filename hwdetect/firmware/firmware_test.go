// SPDX-License-Identifier: Apache-2.0

package firmware_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/hwdetect/firmware"
	"driverd/reason"
)

const release = "7.2.12+deb14-amd64"

// guest has these files.
func guest(t *testing.T, files ...string) firmware.Guest {
	t.Helper()
	g := firmware.Guest{Root: t.TempDir(), Release: release}
	for _, name := range files {
		path := filepath.Join(g.Root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("x"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func TestLacking(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		has  []string
		want []string
		of   []string
	}{
		"nothing there":          {nil, []string{"a/b.bin"}, []string{"a/b.bin"}},
		"nothing named":          {nil, nil, nil},
		"plain":                  {[]string{"lib/firmware/a/b.bin"}, []string{"a/c.bin"}, []string{"a/b.bin", "a/c.bin"}},
		"xz":                     {[]string{"lib/firmware/b.bin.xz"}, []string{}, []string{"b.bin"}},
		"zst":                    {[]string{"lib/firmware/b.bin.zst"}, []string{}, []string{"b.bin"}},
		"another suffix":         {[]string{"lib/firmware/b.bin.gz"}, []string{"b.bin"}, []string{"b.bin"}},
		"updates":                {[]string{"lib/firmware/updates/b.bin"}, []string{}, []string{"b.bin"}},
		"updates of the release": {[]string{"lib/firmware/updates/" + release + "/b.bin.xz"}, []string{}, []string{"b.bin"}},
		"of the release":         {[]string{"lib/firmware/" + release + "/b.bin"}, []string{}, []string{"b.bin"}},
		"of another release":     {[]string{"lib/firmware/7.1/b.bin"}, []string{"b.bin"}, []string{"b.bin"}},
		"a folder of that name":  {[]string{"lib/firmware/b.bin/c"}, []string{"b.bin"}, []string{"b.bin"}},
		"names that are none":    {nil, []string{}, []string{"", ".", "..", "../x", "/etc/passwd", "a//b", "brcm/x*.txt", "a?", "[a]", "{a,b}", "a b", "ü", `a\b`}},
		"elsewhere":              {[]string{"opt/fw/b.bin"}, []string{"b.bin"}, []string{"b.bin"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, guest(t, test.has...).Lacking(test.of)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The kernel looks into the folder that firmware_class.path names as well.
func TestFolderOfTheKernelCommandLine(t *testing.T) {
	t.Parallel()
	const parameter = "sys/module/firmware_class/parameters/path"
	g := guest(t, "opt/fw/b.bin", parameter)
	if err := os.WriteFile(filepath.Join(g.Root, parameter), []byte("/opt/fw\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := g.Lacking([]string{"b.bin", "c.bin"}); !cmp.Equal(got, []string{"c.bin"}) {
		t.Errorf("lacking %q", got)
	}
}

func TestPackage(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"amdgpu/navi10_me.bin":                       "amd-gpu-firmware",
		"radeon/R600_me.bin":                         "amd-gpu-firmware",
		"i915/tgl_guc_70.bin":                        "intel-gpu-firmware",
		"xe/bmg_huc.bin":                             "", // linux-firmware
		"nvidia/ad102/gsp/bootloader-535.113.01.bin": "nvidia-gpu-firmware",
		"nvidia/gm200/acr/bl.bin":                    "nvidia-gpu-firmware",
		"nvidia/tu102/sec2/sig.bin":                  "nvidia-gpu-firmware",
		"nvidia/tegra210/xusb.bin":                   "",
		"qed/qed_init_values_zipped-8.59.1.0.bin":    "qed-firmware",
		"netronome/nic_AMDA0058.nffw":                "netronome-firmware",
		"mellanox/mlxsw_spectrum-13.2010.1006.mfa2":  "mlxsw_spectrum-firmware",
		"qcom/aic100/sbl.bin":                        "qcom-accel-firmware",
		"qcom/venus-1.8/venus.mdt":                   "",
		"e100/d102e_ucode.bin":                       "",
		"intel/ice/ddp/ice.pkg":                      "",
		"qed":                                        "",
		"":                                           "",
	} {
		if got := firmware.Package(file); got != want {
			t.Errorf("%s is in %q, want %q", file, got, want)
		}
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	want := []string{
		"/usr/lib/firmware/a/b.bin", "/usr/lib/firmware/a/b.bin.xz", "/usr/lib/firmware/a/b.bin.zst",
		"/lib/firmware/a/b.bin", "/lib/firmware/a/b.bin.xz", "/lib/firmware/a/b.bin.zst",
	}
	if diff := cmp.Diff(want, firmware.Paths("a/b.bin")); diff != "" {
		t.Error(diff)
	}
}

func TestMissingErrorHasItsReason(t *testing.T) {
	t.Parallel()
	cause := errors.New("its driver lacks the firmware /lib/firmware/a.bin")
	var err error = &firmware.MissingError{Files: []string{"a.bin"}, Err: cause}
	if reason.Of(err) != reason.FirmwareMissing || !errors.Is(err, cause) || err.Error() != cause.Error() {
		t.Errorf("%v (%s)", err, reason.Of(err))
	}
}
