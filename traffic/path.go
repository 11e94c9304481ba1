package traffic

import "strings"

// NormalPath is a path as policies and applications are to see it, so that nobody reaches what a rule names by writing it in another
// way: escapes of characters that need none are undone (RFC 3986 section 6.2.2.2), a backslash is a slash, as many servers take it,
// and dot segments are removed (section 5.2.4). That is what Istio does by default (ProxyPathNormalization, BASE). Slashes in a row
// and escaped slashes stay. A path that is normal already, as nearly all are, costs no allocation.
func NormalPath(p string) string {
	if p == "" || p[0] != '/' { // none, or "*"
		return p
	}
	if strings.IndexByte(p, '%') >= 0 || strings.IndexByte(p, '\\') >= 0 {
		p = plainer(p)
	}
	if !dotted(p) {
		return p
	}
	return withoutDots(p)
}

// plainer undoes escapes and backslashes. Once: an escape of a percent sign stays.
func plainer(p string) string {
	b := make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case c == '\\':
			c = '/'
		case c == '%' && i+2 < len(p) && isHex(p[i+1]) && isHex(p[i+2]):
			if c = unhex(p[i+1])<<4 | unhex(p[i+2]); !unreserved(c) || completes(b, c) {
				b = append(b, p[i:i+2]...)
				c = p[i+2]
			}
			i += 2
		}
		b = append(b, c)
	}
	return string(b)
}

// completes says whether c would make an escape of what was none, so that another reader would undo that, too: %%32e.
func completes(b []byte, c byte) bool {
	n := len(b)
	return isHex(c) && (n > 0 && b[n-1] == '%' || n > 1 && b[n-2] == '%')
}

func isHex(c byte) bool {
	l := c | 0x20
	return c >= '0' && c <= '9' || l >= 'a' && l <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// unreserved: RFC 3986 section 2.3.
func unreserved(c byte) bool {
	l := c | 0x20
	return l >= 'a' && l <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func dotted(p string) bool {
	for i := strings.Index(p, "/."); i >= 0; {
		rest := strings.TrimPrefix(p[i+2:], ".")
		if rest == "" || rest[0] == '/' {
			return true
		}
		p = p[i+2:]
		i = strings.Index(p, "/.")
	}
	return false
}

// withoutDots removes the segments "." and ".."; what is above the root is the root.
func withoutDots(p string) string {
	b := make([]byte, 0, len(p))
	for rest := p; rest != ""; {
		end := strings.IndexByte(rest[1:], '/') + 1
		if end == 0 {
			end = len(rest)
		}
		seg, last := rest[:end], end == len(rest)
		switch rest = rest[end:]; seg {
		case "/..":
			b = b[:max(strings.LastIndexByte(string(b), '/'), 0)]
			fallthrough
		case "/.":
			if last {
				b = append(b, '/')
			}
		default:
			b = append(b, seg...)
		}
	}
	return string(b)
}
