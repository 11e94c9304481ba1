package http2

// class says where a byte may stand.
type class uint8

const (
	inName   class = 1 << iota // a token in lower case: RFC 9113 section 8.2.1 and RFC 9110 section 5.6.2
	inToken                    // a token in either case: methods
	inTarget                   // a path or an authority: printable ASCII without the fragment's '#', which never travels
)

var classes = newClasses()

func newClasses() *[256]class {
	t := &[256]class{}
	for c := '!'; c <= '~'; c++ {
		t[c] |= inTarget
	}
	t['#'] = 0
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" {
		t[c] |= inName | inToken
	}
	for c := 'A'; c <= 'Z'; c++ {
		t[c] |= inToken
	}
	return t
}

func only(s string, k class) bool {
	for i := range len(s) {
		if classes[s[i]]&k == 0 {
			return false
		}
	}
	return len(s) > 0
}

// validValue says whether a field value holds no control character but tabs, and neither begins nor ends with white space
// ("A field value MUST NOT contain the zero value, line feed, or carriage return at any position", "MUST NOT start or end
// with an ASCII whitespace character": RFC 9113 section 8.2.1; other controls: RFC 9110 section 5.5).
func validValue(s string) bool {
	if s == "" {
		return true
	}
	if first, last := s[0], s[len(s)-1]; first == ' ' || first == '\t' || last == ' ' || last == '\t' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
