// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"net"
	"net/netip"
	"regexp"
	"strings"
)

var (
	addressLike = regexp.MustCompile(`[0-9A-Fa-f:.]{7,}|[0-9A-Fa-f]*::[0-9A-Fa-f:.]*`)
	// What a URL may carry beside the address: a name with a password, and
	// parameters, which some repositories take a token in.
	userInURL  = regexp.MustCompile(`://[^\s/@"]+@`)
	queryInURL = regexp.MustCompile(`(://[^\s?"]+\?)[^\s"]+`)
)

// Redact takes out of a text what a bug report must not tell: addresses of the
// network, and what gives access to a repository.
func Redact(text []byte) []byte {
	text = userInURL.ReplaceAll(text, []byte("://REMOVED@"))
	text = queryInURL.ReplaceAll(text, []byte("${1}REMOVED"))
	var kept bytes.Buffer
	last := 0
	for _, at := range addressLike.FindAllIndex(text, -1) {
		word := strings.TrimRight(string(text[at[0]:at[1]]), ".")
		if !isAddress(word) {
			word = strings.TrimRight(word, ":")
		}
		if !isAddress(word) || inWord(text, at[0]-1) || inWord(text, at[0]+len(word)) {
			continue
		}
		kept.Write(text[last:at[0]])
		kept.WriteString("ADDRESS")
		last = at[0] + len(word)
	}
	kept.Write(text[last:])
	return kept.Bytes()
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
func inWord(text []byte, i int) bool {
	if i < 0 || i >= len(text) {
		return false
	}
	c := text[i]
	return c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
