// SPDX-License-Identifier: Apache-2.0

package modalias_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"driverd/hwdetect/modalias"
	"driverd/hwdetect/modalias/internal/cfnmatch"
)

const igb = "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00"

func TestMatchKernelAliases(t *testing.T) {
	for _, c := range []struct {
		pattern string
		want    bool
	}{
		{"pci:v00008086d000010C9sv*sd*bc*sc*i*", true},
		{"pci:v00008086d000010CAsv*sd*bc*sc*i*", false},
		{"pci:v00008086d*sv*sd*bc02sc00i*", true},
		{"pci:v*d*sv*sd*bc02sc00i00*", true},
		{"pci:v*d*sv*sd*bc01sc08i02*", false},
		{"pci:v00008086d000010C[0-9]sv*", true},
		{"pci:v00008086d000010C[!0-8]sv*", true},
		{"pci:v00008086d000010C[^9]sv*", false},
		{"pci:v00008086d000010c9sv*", false},
		{"pci:v00008086d0000????sv*", true},
		{"usb:v*", false},
		{"*", true},
		{"", false},
	} {
		if got := modalias.Match(c.pattern, igb); got != c.want {
			t.Errorf("Match(%q, igb) = %v, want %v", c.pattern, got, c.want)
		}
	}
}

// seeds are patterns at the edges of the C library's bracket rules, each with a
// name worth trying.
var seeds = [][2]string{
	{"[", "["}, {"[a", "[a"}, {"[a", "a"}, {"[!", "[!"}, {"[]", "[]"}, {"[]]", "]"}, {"[!]]", "a"},
	{"[a-", "[a-"}, {"[a-]", "-"}, {"[a-]", "a"}, {"[--a]", "."}, {"[z-a]", "m"}, {"[a-c-e]", "-"},
	{`[\]]`, "]"}, {`[a\`, `[a\`}, {`\`, `\`}, {`\a`, "a"}, {`[\a-\c]`, "b"}, {`[a-\`, "[a-"},
	{"[[:digit:]]", "7"}, {"[![:digit:]]", "x"}, {"[[:nope:]]", "n"}, {"[x[:nope:]]", "x"},
	{"[[:alphaz:]]", "["}, {"[[:al", "[[:al"}, {"[[::]]", ":"}, {"[[:alpha:]-z]", "-"},
	{"[[=a=]]", "a"}, {"[[=a=]-c]", "b"}, {"[[=a]]", "=]"}, {"[x[=a]]", "x]"}, {"[[==]]", "="},
	{"[[.a.]]", "a"}, {"[[.a.]-c]", "b"}, {"[[.a.]-]", "a"}, {"[[.a.]-]", "-"}, {"[[.ab.]]", "a"},
	{"[a-[.c.]]", "b"}, {"[[.]", "[."}, {"[...]", "."}, {"[[...]]", "."}, {"[[..]]", "."},
	{"*[", "a["}, {"*[a", "x[a"}, {"a*b*c", "abbc"}, {"*?*", ""}, {"**", "x"}, {"[/]", "/"}, {".*", ".x"},
	{"[\xff]", "\xff"}, {"[\x80-\xff]", "\xc0"}, {"?", "\xc3\xa4"},
}

func TestMatchAgreesWithC(t *testing.T) {
	for _, s := range seeds {
		if got, want := modalias.Match(s[0], s[1]), cfnmatch.Match(s[0], s[1]); got != want {
			t.Errorf("Match(%q, %q) = %v, fnmatch says %v", s[0], s[1], got, want)
		}
	}
}

func TestClassesAgreeWithC(t *testing.T) {
	for _, class := range []string{
		"alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit",
	} {
		pattern := "[[:" + class + ":]]"
		for c := 1; c < 256; c++ {
			name := string([]byte{byte(c)})
			if got, want := modalias.Match(pattern, name), cfnmatch.Match(pattern, name); got != want {
				t.Errorf("Match(%q, %q) = %v, fnmatch says %v", pattern, name, got, want)
			}
		}
	}
}

// The generator writes with an alphabet in which brackets and their insides
// are frequent; random bytes would hardly ever close one.
func TestMatchAgreesWithCOnGeneratedPatterns(t *testing.T) {
	pattern := rapid.SliceOfN(rapid.SampledFrom([]string{
		"[", "]", "!", "^", "-", ":", "=", ".", `\`, "*", "?", "a", "b", "z", "0",
		"[:", ":]", "[=", "=]", "[.", ".]", "[:alpha:]", "[:digit:]", "[:zz:]", "[=a=]", "[.b.]",
	}), 0, 12)
	name := rapid.StringOfN(rapid.SampledFrom([]rune(`ab0z[]-:=.\!^`)), 0, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		p, n := strings.Join(pattern.Draw(t, "pattern"), ""), name.Draw(t, "name")
		if got, want := modalias.Match(p, n), cfnmatch.Match(p, n); got != want {
			t.Fatalf("Match(%q, %q) = %v, fnmatch says %v", p, n, got, want)
		}
	})
}

// A pattern whose stars were tried in every combination would not end in the
// lifetime of the test.
func TestMatchIsNotExponential(t *testing.T) {
	pattern := strings.Repeat("a*", 2000) + "b"
	if modalias.Match(pattern, strings.Repeat("a", 4000)) {
		t.Error("matched a name without a b")
	}
}

// longestPattern is how long a pattern may be for Match to promise agreement:
// the C library gives up on class names of CHARCLASS_NAME_MAX bytes.
const longestPattern = 2048

func FuzzMatch(f *testing.F) {
	for _, s := range seeds {
		f.Add(s[0], s[1])
	}
	f.Add("pci:v00008086d000010C9sv*sd*bc*sc*i*", igb)
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.Contains(pattern+name, "\x00") || len(pattern) > longestPattern {
			return // outside of what Match promises
		}
		if got, want := modalias.Match(pattern, name), cfnmatch.Match(pattern, name); got != want {
			t.Errorf("Match(%q, %q) = %v, fnmatch says %v", pattern, name, got, want)
		}
	})
}
