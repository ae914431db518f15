// SPDX-License-Identifier: Apache-2.0

// Package redact takes out of texts that others wrote (librepo, curl, dnf, rpm, the
// kernel) what must not be passed on: credentials, and for a bug report addresses.
package redact

import (
	"regexp"
	"strings"
)

// removed stands in the place of what was taken out.
const removed = "REMOVED"

var (
	// What stands before "://", and behind it: a host and its port. And what else may
	// be before it: "baseurl=".
	scheme    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*$`)
	authority = regexp.MustCompile(`^(?:\[[0-9A-Fa-f:.%]+\]|[0-9A-Za-z._-]+)(?::[0-9]{1,5})?`)

	keyBefore = regexp.MustCompile(`^([A-Za-z_]+=["']?)[A-Za-z][A-Za-z0-9+.-]*://`)

	// dnf5 makes the id of a repository of its URL: without the scheme, each run of
	// "/", ":" and the like as "_", and "@" as "_40" (addrepo.cpp).
	userInID = regexp.MustCompile(`^.+_40([A-Za-z]|[0-9]+\.[0-9]+\.[0-9]+\.[0-9])`)
	pathInID = regexp.MustCompile(`^((?:REMOVED_40)?(?:[0-9A-Za-z-]+\.)+[A-Za-z]{2,})_.+`)

	// password=..., and the parameters of a URL whose beginning is missing.
	setting    = regexp.MustCompile(`(?i)((?:password|passwd|token|secret|apikey|api_key)["']?[=:]["']?).*`)
	parameters = regexp.MustCompile(`\?.*=.*`)

	// The files of a repository and their names tell nothing.
	publicFile = regexp.MustCompile(`/(?:repomd\.xml(?:\.asc|\.key)?|[0-9A-Za-z][0-9A-Za-z._+~^-]*\.rpm)$`)
)

// sysctl is the one name of driverd's own messages that could be such an id.
const sysctl = "kernel.modules_disabled"

const (
	blanks = " \t\r\n"
	quotes = `'"`
	// What may stand before a word, and behind it.
	brackets    = `'"([{<=`
	punctuation = `'")]}>,;:.`
	maxTail     = 3
)

// Text returns s without credentials. Of a URL it keeps the scheme, the host, the
// port and the name of a file that every repository has, for a token can be any
// other part. Whatever stands before an "@" goes, as passwords are not always
// written as they should be, but for the names of systemd's units.
func Text(s string) string {
	var kept strings.Builder
	for s != "" {
		blank := len(s) - len(strings.TrimLeft(s, blanks))
		kept.WriteString(s[:blank])
		s = s[blank:]
		end := wordEnd(s)
		kept.WriteString(word(s[:end]))
		s = s[end:]
	}
	return kept.String()
}

// wordEnd returns where the word ends that s begins with: at a blank, or if it is
// quoted and may hold credentials, behind its quote. curl quotes proxies as they are
// configured.
func wordEnd(s string) int {
	if s != "" && strings.IndexByte(quotes, s[0]) >= 0 {
		for at := 1; at < len(s) && s[at] != '\n'; at++ {
			if s[at] == s[0] && (at+1 == len(s) || strings.IndexByte(blanks+punctuation, s[at+1]) >= 0) {
				if strings.Contains(s[:at], "@") {
					return at + 1
				}
				break
			}
		}
	}
	if blank := strings.IndexAny(s, blanks); blank >= 0 {
		return blank
	}
	return len(s)
}

// word cleans what stands between two blanks, or in quotes.
func word(w string) string {
	begin := len(w) - len(strings.TrimLeft(w, brackets))
	if key := keyBefore.FindStringSubmatch(w[begin:]); key != nil {
		begin += len(key[1])
	}
	lead, w := w[:begin], w[begin:]
	w, tail := cutTail(w)
	before, rest, found := strings.Cut(w, "://")
	switch {
	case found && scheme.MatchString(before):
		if strings.EqualFold(before, "file") && strings.HasPrefix(rest, "/") {
			return lead + w + tail // of this guest
		}
		return lead + before + "://" + location(rest) + tail
	case strings.LastIndexByte(w, '@') > 0 && !isUnit(w):
		return lead + location(w) + tail
	case parameters.MatchString(w):
		return lead + parameters.ReplaceAllString(w, "?"+removed) + tail
	case setting.MatchString(w):
		return lead + setting.ReplaceAllString(w, "${1}"+removed) + tail
	}
	if w == sysctl {
		return lead + w + tail
	}
	w = userInID.ReplaceAllString(w, removed+"_40$1")
	return lead + pathInID.ReplaceAllString(w, "${1}_"+removed) + tail
}

// cutTail cuts off what punctuation stands behind a word; more of it than that may
// belong to a secret.
func cutTail(w string) (word, tail string) {
	end := max(len(strings.TrimRight(w, punctuation)), len(w)-maxTail)
	return w[:end], w[end:]
}

// location cleans what follows a scheme: credentials, a host, a path.
func location(rest string) string {
	user := ""
	if at := strings.LastIndexByte(rest, '@'); at > 0 && !groupOfCopr(rest, at) {
		user, rest = removed+"@", rest[at+1:]
	}
	host := authority.FindString(rest)
	path := rest[len(host):]
	switch {
	case rest == "" || host != "" && (path == "" || path == "/"):
		return user + rest
	case host == "" || !strings.ContainsAny(path[:1], "/?#"):
		return user + removed // "user:pass", cut off before the "@"
	}
	return user + host + "/" + removed + publicFile.FindString(path)
}

// groupOfCopr says whether the "@" is a part of a path, as in
// https://copr.example/results/@group/project.
func groupOfCopr(rest string, at int) bool {
	return authority.FindString(rest)+"/results/" == rest[:at]
}

// isUnit says whether a word is the name of a unit that was made of a template.
func isUnit(w string) bool {
	name, instance, _ := strings.Cut(w, "@")
	return strings.HasSuffix(instance, ".service") && !strings.ContainsAny(name, ":/") && !strings.Contains(instance, "@")
}
