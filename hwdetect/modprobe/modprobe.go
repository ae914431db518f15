// SPDX-License-Identifier: Apache-2.0

// Package modprobe knows which modules modprobe(8) and the kernel refuse to load: by
// the configuration of modprobe.d(5), and by the kernel's command line. It runs
// nothing, and loads nothing.
package modprobe

import (
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"

	"driverd/hwdetect/modalias"
	"driverd/internal/tree"
	"driverd/kernelbuild"
)

// Configuration is what forbids modules. The zero Configuration forbids none.
type Configuration struct {
	blacklist map[string]string // why, by module
	kernel    map[string]string // the same, of what the kernel itself denies
	aliases   []directive
	installs  []directive
	softdeps  []directive
}

// directive is a line that holds for what matches a pattern.
type directive struct {
	pattern string
	words   []string // what follows: the module of an alias, a command, soft dependencies
	why     string
}

// Read reads the configuration of the guest whose files are under root. What cannot be
// read forbids nothing here: modprobe, which root runs, obeys it all the same.
func Read(root string) *Configuration {
	c := &Configuration{blacklist: make(map[string]string), kernel: make(map[string]string)}
	for file, text := range Texts(root) {
		if file == CommandLine {
			c.commandLine(text)
		} else {
			c.file(file, text)
		}
	}
	return c
}

// Cache is Read of one guest, again and again: nothing is read of files that have not changed.
// It may be used by one goroutine at a time.
type Cache struct {
	Root string
	kept tree.Kept[Configuration]
}

// Read is Read of the files as they are now.
func (c *Cache) Read() *Configuration {
	kept, _ := c.kept.Get(tree.At(c.Root), append(slices.Clone(Folders), CommandLine), func() (Configuration, error) { return *Read(c.Root), nil })
	return kept
}

// Denial says what forbids to load a module for the device with this modalias, and
// where that is written; it is empty if nothing does.
func (c *Configuration) Denial(device, module string) string {
	name := kernelbuild.ModulePattern(module)
	if why := c.redirected(device, name); why != "" {
		return why
	}
	if why := c.blacklist[name]; why != "" {
		return why
	}
	for _, d := range c.installs {
		if loadsNothing(d.words) && modalias.Match(d.pattern, name) {
			return d.why
		}
	}
	return c.kernel[name]
}

// Command returns the command that modprobe runs instead of loading a module, empty if
// there is none.
func (c *Configuration) Command(module string) string {
	for _, d := range c.installs {
		if modalias.Match(d.pattern, kernelbuild.ModulePattern(module)) {
			return strings.Join(d.words, " ")
		}
	}
	return ""
}

// Softdeps returns the modules that modprobe loads before and after a module, if they
// are there.
func (c *Configuration) Softdeps(module string) (names []string) {
	for _, d := range c.softdeps {
		if !modalias.Match(d.pattern, kernelbuild.ModulePattern(module)) {
			continue
		}
		for _, word := range d.words {
			if word != "pre:" && word != "post:" {
				names = append(names, kernelbuild.ModuleName(word))
			}
		}
	}
	return names
}

// redirected says which alias line gives a device to other modules. modprobe asks the
// aliases in the modules only where no line of the configuration matches
// (kmod: kmod_module_new_from_lookup in libkmod/libkmod-module.c).
func (c *Configuration) redirected(device, module string) (why string) {
	for _, d := range c.aliases {
		if !modalias.Match(d.pattern, device) {
			continue
		}
		if kernelbuild.ModuleName(d.words[0]) == module {
			return ""
		}
		if why == "" {
			why = d.why
		}
	}
	return why
}

// file takes in the text of a file in modprobe.d. What makes no sense is passed over, as
// kmod does (kmod: kmod_config_parse in libkmod/libkmod-config.c).
func (c *Configuration) file(name, text string) {
	for number, line := range logicalLines(text) {
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(words) > 1 {
			c.line(words, fmt.Sprintf("%.80q in /%s:%d", strings.Join(words, " "), name, number))
		}
	}
}

// logicalLines are the lines of a text, each with its number. A backslash takes the meaning
// from what follows it: from a newline, so that the line goes on.
func logicalLines(text string) iter.Seq2[int, string] {
	return func(yield func(number int, line string) bool) {
		number := 1
		for text != "" {
			var line strings.Builder
			begins := number
			for text != "" {
				c := text[0]
				text = text[1:]
				if c == '\n' {
					number++
					break
				}
				if c == '\\' && text != "" {
					c, text = text[0], text[1:]
					if c == '\n' {
						number++
						continue
					}
				}
				line.WriteByte(c)
			}
			if !yield(begins, line.String()) {
				return
			}
		}
	}
}

// line takes in the words of one line, of which there are two at least.
func (c *Configuration) line(words []string, why string) {
	if words[0] == "blacklist" {
		c.forbid(words[1], why)
	}
	if len(words) < 3 {
		return
	}
	d := directive{kernelbuild.ModulePattern(words[1]), words[2:], why}
	switch words[0] {
	case "alias":
		c.aliases = append(c.aliases, d)
	case "install":
		c.installs = append(c.installs, d)
	case "softdep":
		c.softdeps = append(c.softdeps, d)
	}
}

// forbid puts a module on the blacklist, by its name as Denial spells it.
func (c *Configuration) forbid(module, why string) {
	note(c.blacklist, kernelbuild.ModulePattern(module), why)
}

// loadsNothing says whether a command is one of those that are written to keep a module out: a
// lone "/bin/false", say. What another one does, only running it shows.
func loadsNothing(command []string) bool {
	if i := slices.IndexFunc(command, func(word string) bool { return strings.HasPrefix(word, "#") }); i >= 0 {
		command = command[:i] // the shell runs it
	}
	switch len(command) {
	case 1:
		return slices.Contains([]string{"false", "true", ":", "exit"}, path.Base(command[0]))
	case 2:
		return command[0] == "exit"
	}
	return false
}

// parameters are those of the kernel's command line that forbid modules: modprobe's, and the
// kernel's own.
var parameters = []string{"modprobe.blacklist", "module_blacklist"}

// parameter returns the name of a parameter, in which "-" and "_" are one.
func parameter(word string) string {
	name, _, _ := strings.Cut(word, "=")
	return kernelbuild.ModuleName(name)
}

// endOfParameters is the word behind which the kernel reads no parameters.
const endOfParameters = "--"

// commandLine takes in the kernel's command line. Its parameters name modules, with commas
// between them. Of several module_blacklist= the kernel takes the last, and it wants names as it
// spells them (Linux: kernel/module/main.c, kernel/params.c).
func (c *Configuration) commandLine(text string) {
	forKernel := true
	for word := range strings.FieldsSeq(text) {
		forKernel = forKernel && word != endOfParameters
		_, names, _ := strings.Cut(word, "=")
		why := fmt.Sprintf("%.80q on the kernel command line", word)
		switch parameter(word) {
		case parameters[0]:
			for name := range strings.SplitSeq(names, ",") {
				c.forbid(name, why)
			}
		case parameters[1]:
			if !forKernel {
				continue
			}
			clear(c.kernel)
			for name := range strings.SplitSeq(names, ",") {
				note(c.kernel, name, why)
			}
		}
	}
}

// note keeps the first reason for each name.
func note(why map[string]string, name, reason string) {
	if _, known := why[name]; !known && name != "" {
		why[name] = reason
	}
}
