package hbone

import (
	"net/netip"
	"strings"
)

// Forwarded is the first element of a forwarded field (RFC 7239): whom the peer speaks for, and which host was asked for.
type Forwarded struct {
	For  netip.AddrPort // port 0: not said; invalid: not said, or no address ("unknown", "_hidden")
	Host string
}

// ParseForwarded reads the first element; false: it is malformed.
func ParseForwarded(s string) (Forwarded, bool) {
	var f Forwarded
	for {
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			return f, strings.Trim(s, " \t") == ""
		}
		value, rest, ok := parseValue(rest)
		if !ok {
			return f, false
		}
		switch strings.ToLower(strings.Trim(name, " \t")) {
		case "for":
			f.For = parseNode(value)
		case "host":
			f.Host = value
		}
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" || rest[0] == ',' {
			return f, true
		}
		if rest[0] != ';' {
			return f, false
		}
		s = rest[1:]
	}
}

// parseValue reads "value = token / quoted-string" (section 4), and returns what follows. It is lenient with unquoted colons
// and brackets, which senders forget to quote.
func parseValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, ";, \t")
		if i < 0 {
			i = len(s)
		}
		return s[:i], s[i:], i > 0 && !strings.Contains(s[:i], `"`)
	}
	var plain []byte // only if something is escaped
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"' && plain == nil:
			return s[1:i], s[i+1:], true
		case s[i] == '"':
			return string(plain), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			if plain == nil {
				plain = append(make([]byte, 0, len(s)), s[1:i]...)
			}
			i++
			plain = append(plain, s[i])
		case plain != nil:
			plain = append(plain, s[i])
		}
	}
	return "", "", false
}

// parseNode reads "node = nodename [ ":" node-port ]" (section 6) where the name is an address.
func parseNode(s string) netip.AddrPort {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(ip.Unmap(), 0)
	}
	return netip.AddrPort{}
}

// Append writes the element.
func (f Forwarded) Append(b []byte) []byte {
	if f.For.IsValid() {
		b = append(b, `for="`...)
		switch {
		case f.For.Port() != 0:
			b = f.For.AppendTo(b)
		case f.For.Addr().Is6():
			b = append(f.For.Addr().AppendTo(append(b, '[')), ']')
		default:
			b = f.For.Addr().AppendTo(b)
		}
		b = append(b, '"')
	}
	if f.Host == "" {
		return b
	}
	if f.For.IsValid() {
		b = append(b, ';')
	}
	return appendValue(append(b, "host="...), f.Host)
}

// appendValue quotes what is no token.
func appendValue(b []byte, s string) []byte {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == "" {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
