// SPDX-License-Identifier: Apache-2.0

// Package rpmrepo makes small RPM repositories for tests: packages that say of
// themselves what a test wants them to say, signed with a throwaway key, and
// served over HTTP with the faults that a network has.
package rpmrepo

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

// Package describes one RPM, architecture x86_64. If PayloadBytes is not 0, one of its
// files is of so many incompressible bytes.
type Package struct {
	Name    string
	Epoch   int // 0 is written as no epoch, as most packages have it
	Version string
	Release string
	Vendor  string // who built it, empty for nobody

	Provides  []string // as in a spec: "kmod(igb.ko)", "a = 1"
	Requires  []string
	Obsoletes []string
	Conflicts []string

	// Pre and Post are scriptlets in rpm's embedded Lua, which need no shell
	// and so no /bin/sh to be provided by anyone.
	Pre, Post string

	PayloadBytes int
	Files        map[string][]byte // further files by their absolute paths
	Unsigned     bool
	Forged       bool // it is signed, and its contents are others than those that were signed
}

// NEVRA is the package's identity as rpm prints it.
func (p Package) NEVRA() string {
	epoch := ""
	if p.Epoch != 0 {
		epoch = fmt.Sprintf("%d:", p.Epoch)
	}
	return fmt.Sprintf("%s-%s%s-%s.x86_64", p.Name, epoch, p.Version, p.Release)
}

var spec = template.Must(template.New("spec").Parse(`Name: {{.Name}}
{{- if .Epoch}}
Epoch: {{.Epoch}}
{{- end}}
Version: {{.Version}}
Release: {{.Release}}
{{- if .Vendor}}
Vendor: {{.Vendor}}
{{- end}}
Summary: test package {{.Name}}
License: CC0-1.0
BuildArch: x86_64
AutoReqProv: no
{{- range .Provides}}
Provides: {{.}}
{{- end}}
{{- range .Requires}}
Requires: {{.}}
{{- end}}
{{- range .Obsoletes}}
Obsoletes: {{.}}
{{- end}}
{{- range .Conflicts}}
Conflicts: {{.}}
{{- end}}
%description
A test package.
%install
mkdir -p %{buildroot}
{{- if .PayloadBytes}}
mkdir -p %{buildroot}/opt/test
head -c {{.PayloadBytes}} /dev/urandom >%{buildroot}/opt/test/{{.Name}}-{{.Version}}-{{.Release}}
{{- end}}
{{- if .Files}}
cp -r %{_topdir}/files/. %{buildroot}
{{- end}}
{{- if .Pre}}
%pre -p <lua>
{{.Pre}}
{{- end}}
{{- if .Post}}
%post -p <lua>
{{.Post}}
{{- end}}
%files
{{- if .PayloadBytes}}
/opt/test/*
{{- end}}
{{- range $path, $_ := .Files}}
{{$path}}
{{- end}}
`))

// build makes the package's RPM in dir, signed unless the package says no.
func (p Package) build(ctx context.Context, dir string, key *Key) (err error) {
	top, err := os.MkdirTemp("", "rpmbuild-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(top)) }()

	var text bytes.Buffer
	if err := spec.Execute(&text, p); err != nil {
		return err
	}
	file := filepath.Join(top, p.Name+".spec")
	if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
		return err
	}
	for path, data := range p.Files {
		file := filepath.Join(top, "files", path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, data, 0o644)); err != nil {
			return err
		}
	}
	err = run(exec.CommandContext(ctx, "rpmbuild", "-bb", "--quiet", "--noclean",
		"--define", "_topdir "+top,
		"--define", "_rpmdir "+dir,
		"--define", "_build_name_fmt %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
		"--define", "_binary_payload w1.zstdio",
		"--define", "_dbpath "+filepath.Join(top, "rpmdb"),
		"--define", "__os_install_post %{nil}",
		file))
	if err != nil || p.Unsigned {
		return err
	}
	rpm := filepath.Join(dir, fmt.Sprintf("%s-%s-%s.x86_64.rpm", p.Name, p.Version, p.Release))
	if err := key.Sign(ctx, rpm); err != nil || !p.Forged {
		return err
	}
	p.Forged, p.Unsigned = false, true
	if err := p.build(ctx, top, nil); err != nil {
		return err
	}
	return forge(rpm, filepath.Join(top, filepath.Base(rpm)))
}

// forge gives a package the contents of another one.
func forge(rpm, other string) error {
	signed, err := os.ReadFile(rpm)
	if err != nil {
		return err
	}
	contents, err := os.ReadFile(other)
	if err != nil {
		return err
	}
	return os.WriteFile(rpm, slices.Concat(signed[:payloadAt(signed)], contents[payloadAt(contents):]), 0o644)
}

// payloadAt is where the contents of a package begin: behind a lead, a header with
// signatures, padded, and the package's header (rpm: docs/manual/format_v4.md).
func payloadAt(rpm []byte) int {
	const lead, intro, entry = 96, 16, 16
	header := func(at int) int {
		return at + intro + entry*int(binary.BigEndian.Uint32(rpm[at+8:])) + int(binary.BigEndian.Uint32(rpm[at+12:]))
	}
	return header((header(lead) + 7) &^ 7)
}

func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot run %s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
