// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/internal/report"
)

// manual returns a page of the manual as a person reads it, by its sections.
func manual(t *testing.T, page string) map[string]string {
	t.Helper()
	source, err := os.Open("../../packaging/man/" + page + ".scd")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	convert := exec.Command("scdoc")
	convert.Stdin = source
	roff, err := convert.Output()
	if err != nil {
		t.Fatalf("cannot convert %s: %v", page, err)
	}
	command := exec.Command("man", "--local-file", "-")
	command.Stdin = bytes.NewReader(roff)
	command.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=1000")
	text, err := command.Output()
	if err != nil {
		t.Fatalf("cannot read %s: %v", page, err)
	}
	sections := make(map[string]string)
	heads := regexp.MustCompile(`(?m)^[A-Z][A-Z ]+$`)
	at := heads.FindAllStringIndex(string(text), -1)
	for i, head := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		sections[string(text[head[0]:head[1]])] = string(text[head[1]:end])
	}
	return sections
}

// forUnits are the commands that units run; driverd(8) is about them.
var forUnits = []string{"daemon", "load", "install-step", "vendor-step"}

// TestManual sees that driverd(1) tells of every command and flag that there
// is, in its synopsis and where it explains them, and of no other.
func TestManual(t *testing.T) {
	t.Parallel()
	page, units := manual(t, "driverd.1"), manual(t, "driverd.8")
	flags := make(map[string]bool)
	root := rootCommand(console{})
	for _, flag := range flagsIn(root.PersistentFlags().FlagUsages()) {
		flags[flag] = true
		if !strings.Contains(page["OPTIONS"], flag) {
			t.Errorf("driverd(1) does not explain %s", flag)
		}
	}
	for _, command := range leaves(root) {
		name := strings.TrimPrefix(command.CommandPath(), "driverd ")
		if slices.Contains(forUnits, name) {
			if !strings.Contains(units["DESCRIPTION"], "driverd "+name) {
				t.Errorf("driverd(8) does not tell of driverd %s", name)
			}
			for _, flag := range flagsOf(command) {
				if !strings.Contains(units["DESCRIPTION"]+units["FILES"], flag) {
					t.Errorf("driverd(8) does not tell of %s of driverd %s", flag, name)
				}
			}
			continue
		}
		if !regexp.MustCompile(`(?m)^ +` + name + `\b`).MatchString(page["COMMANDS"]) {
			t.Errorf("driverd(1) does not explain %s", name)
		}
		synopsis := regexp.MustCompile(`(?m)^ +driverd \[?` + name + `\b.*$`).FindString(page["SYNOPSIS"])
		if synopsis == "" {
			t.Errorf("the synopsis of driverd(1) lacks %s", name)
		}
		for _, flag := range flagsOf(command) {
			flags[flag] = true
			if !strings.Contains(synopsis, flag) {
				t.Errorf("the synopsis of driverd(1) lacks %s in %q", flag, synopsis)
			}
			if !strings.Contains(page["COMMANDS"]+page["JSON"], flag) {
				t.Errorf("driverd(1) does not explain %s of %s", flag, name)
			}
		}
	}
	for section, text := range page {
		text = regexp.MustCompile(`(?m)^ +systemctl .*$`).ReplaceAllString(text, "") // has flags of its own
		for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(text, -1) {
			if !flags[flag] {
				t.Errorf("driverd(1) tells of %s in %s, which no command has", flag, section)
			}
		}
	}
}

// TestManualOfJSON sees that driverd(1) tells of every key that a program may meet.
func TestManualOfJSON(t *testing.T) {
	t.Parallel()
	text := manual(t, "driverd.1")["JSON"]
	var look func(reflect.Type)
	look = func(of reflect.Type) {
		for of.Kind() == reflect.Slice || of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct {
			return
		}
		for field := range of.Fields() {
			key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if key != "" && !regexp.MustCompile(`\b`+key+`\b`).MatchString(text) {
				t.Errorf("driverd(1) does not tell of %s of %s", key, of)
			}
			look(field.Type)
		}
	}
	for _, value := range []any{report.Status{}, api.Explanation{}, api.Plan{}, api.Job{}, api.Entry{}} {
		look(reflect.TypeOf(value))
	}
}

// leaves returns the commands that do something.
func leaves(command *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, c := range command.Commands() {
		if c.HasSubCommands() {
			all = append(all, leaves(c)...)
		} else {
			all = append(all, c)
		}
	}
	return all
}

// flagsOf returns the flags of a command, as its help lists them.
func flagsOf(command *cobra.Command) []string { return flagsIn(command.LocalFlags().FlagUsages()) }

func flagsIn(usages string) []string {
	var flags []string
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z-]+)`).FindAllStringSubmatch(usages, -1) {
		flags = append(flags, m[1])
	}
	return flags
}
