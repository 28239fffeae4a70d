package wire

import (
	_ "crypto/sha256" // makes sha256 digests valid
	_ "crypto/sha512" // makes sha384 and sha512 digests valid
	"strings"

	"github.com/opencontainers/go-digest"
)

const (
	maxName = 255 // bytes of a repository name, the limit of distribution
	maxTag  = 128 // characters of a tag, by the specification
)

// validName reports whether name is a repository name: components of [a-z0-9]+ joined by ".", "_", "__"
// or dashes, and joined to each other by "/".
func validName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for component := range strings.SplitSeq(name, "/") {
		if !validComponent(component) {
			return false
		}
	}
	return true
}

func validComponent(c string) bool {
	if c == "" || !isLowerAlnum(c[0]) || !isLowerAlnum(c[len(c)-1]) {
		return false
	}
	for i := 0; i < len(c); {
		end := i
		for end < len(c) && !isLowerAlnum(c[end]) {
			end++
		}
		if end > i && !validSeparator(c[i:end]) {
			return false
		}
		i = max(end, i+1)
	}
	return true
}

func validSeparator(s string) bool {
	return s == "." || s == "_" || s == "__" || strings.Trim(s, "-") == ""
}

// validTag reports whether tag matches [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func validTag(tag string) bool {
	if tag == "" || len(tag) > maxTag || tag[0] == '.' || tag[0] == '-' {
		return false
	}
	for i := range len(tag) {
		c := tag[i]
		if !isAlnum(c) && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// validDigest reports whether text is a well-formed digest of a known algorithm (sha256, sha384, sha512).
func validDigest(text string) bool {
	return digest.Digest(text).Validate() == nil
}

// validAlgorithm reports whether text has the form of a digest algorithm, known or not: words of
// [a-z0-9]+ joined by one of "+._-".
func validAlgorithm(text string) bool {
	word := false
	for i := range len(text) {
		switch c := text[i]; {
		case isLowerAlnum(c):
			word = true
		case word && strings.IndexByte("+._-", c) >= 0:
			word = false
		default:
			return false
		}
	}
	return word
}

func isLowerAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func isAlnum(c byte) bool { return isLowerAlnum(c) || 'A' <= c && c <= 'Z' }

// isControl reports whether r could break or disguise a line of output: control characters, line and
// paragraph separators, direction marks, and bytes that are not UTF-8.
func isControl(r rune) bool {
	switch {
	case r < 0x20, 0x7f <= r && r <= 0x9f, r == 0xfffd:
		return true
	case 0x200b <= r && r <= 0x200f, 0x2028 <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069, r == 0xfeff:
		return true
	}
	return false
}
