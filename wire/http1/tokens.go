package http1

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// lower maps the characters of a token to lower case, and all others to 0 (RFC 9110 section 5.6.2).
var lower = table(func(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c | 0x20
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		return c
	}
	return 0
})

// target holds what may stand in a request target. The grammar of RFC 3986 is narrower: braces, quotes and raw UTF-8 are in
// common use and cannot be misread, so they pass. A fragment has no place there.
var target = table(func(c byte) byte {
	if c <= ' ' || c == 0x7f || c == '#' {
		return 0
	}
	return 1
})

// regName holds what may stand in a host name (RFC 3986 section 3.2.2).
var regName = table(func(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte("-._~%!$&'()*+,;=", c) >= 0:
		return 1
	}
	return 0
})

// hexValue maps a hexadecimal digit to its value plus one, and all else to 0.
var hexValue = table(func(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0' + 1
	case 'a' <= c && c <= 'f':
		return c - 'a' + 11
	case 'A' <= c && c <= 'F':
		return c - 'A' + 11
	}
	return 0
})

func table(f func(byte) byte) (t [256]byte) {
	for c := range t {
		t[c] = f(byte(c))
	}
	return t
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// control returns the index of the first control character, or len(b). It looks at eight bytes at a time: a value is the
// longest thing in a head.
func control(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		del := x ^ ones*0x7f
		if m := ((x-ones*0x20)&^x | (del-ones)&^del) & highs; m != 0 {
			return i + bits.TrailingZeros64(m)>>3 // the lowest mark is exact; a borrow only marks bytes above it
		}
	}
	for ; i < len(b); i++ {
		if b[i] < ' ' || b[i] == 0x7f {
			return i
		}
	}
	return i
}

// member cuts the first member off a comma-separated list, without the white space around it.
func member(list string) (m, rest string) {
	m, rest, _ = strings.Cut(list, ",")
	return strings.Trim(m, " \t"), rest
}

func isToken(s string) bool {
	for i := range len(s) {
		if lower[s[i]] == 0 {
			return false
		}
	}
	return s != ""
}
