// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"net"
	"net/netip"
	"regexp"
	"strings"
)

var (
	addressLike = regexp.MustCompile(`[0-9A-Fa-f:.]{7,}|[0-9A-Fa-f]*::[0-9A-Fa-f:.]*`)
	// With dashes: the address of a network card, and the names that EC2 makes of
	// those of hosts.
	dashed = regexp.MustCompile(`\b(?:[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}|(?:ip|ec2)(?:-[0-9]{1,3}){4})\b`)
)

// Report returns s as a bug report may show it: without credentials, and without the
// addresses of network cards and hosts.
func Report(s string) string {
	s = dashed.ReplaceAllString(Text(s), "ADDRESS")
	var kept strings.Builder
	last := 0
	for _, at := range addressLike.FindAllStringIndex(s, -1) {
		word := strings.TrimRight(s[at[0]:at[1]], ".")
		if !isAddress(word) {
			word = strings.TrimRight(word, ":")
		}
		if !isAddress(word) || inWord(s, at[0]-1) || inWord(s, at[0]+len(word)) {
			continue
		}
		kept.WriteString(s[last:at[0]])
		kept.WriteString("ADDRESS")
		last = at[0] + len(word)
	}
	kept.WriteString(s[last:])
	return kept.String()
}

// isAddress says whether a word is the address of a network card or of a host,
// which may name a port. That of a PCI device is none of these.
func isAddress(word string) bool {
	if _, err := net.ParseMAC(word); err == nil {
		return strings.ContainsAny(word, ":.") // else it is a number
	}
	if _, err := netip.ParseAddrPort(word); err == nil {
		return true
	}
	_, err := netip.ParseAddr(word)
	return err == nil
}

// inWord says whether the byte at i makes its neighbour a part of something
// longer: what looks like an address is the version of a package then.
func inWord(s string, i int) bool {
	if i < 0 || i >= len(s) {
		return false
	}
	c := s[i]
	return c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
