package http1

import (
	"slices"
	"strconv"
	"strings"
)

// parseField reads the field line at b[i:] and returns where the next line begins. The name is put into lower case in place.
func parseField(b []byte, i int) (f Field, next int, err error) {
	begin := i
	for i < len(b) {
		c := lower[b[i]]
		if c == 0 {
			break
		}
		b[i] = c
		i++
	}
	if i == begin || i == len(b) || b[i] != ':' {
		return f, 0, badName(b, begin, i)
	}
	f.Name = lend(b[begin:i])
	for i++; i < len(b) && (b[i] == ' ' || b[i] == '\t'); i++ {
	}
	begin = i
	for i += control(b[i:]); i < len(b) && b[i] == '\t'; i += 1 + control(b[i+1:]) {
	}
	if i+1 >= len(b) || b[i] != '\r' || b[i+1] != '\n' {
		return f, 0, badValue(b, i)
	}
	end := i
	for end > begin && (b[end-1] == ' ' || b[end-1] == '\t') {
		end--
	}
	f.Value = lend(b[begin:end])
	return f, i + 2, nil
}

func badName(b []byte, begin, i int) error {
	white := i < len(b) && (b[i] == ' ' || b[i] == '\t')
	switch {
	case white && i == begin:
		return ErrFold
	case white:
		return ErrColon
	case i < len(b) && b[i] == '\n':
		return ErrBareLF
	}
	return ErrName
}

func badValue(b []byte, i int) error {
	switch {
	case i >= len(b):
		return ErrCut
	case b[i] == '\n':
		return ErrBareLF
	case b[i] == '\r':
		return ErrBareCR
	}
	return ErrControl
}

// message is what fields say about the message itself and its connection. Those fields are for one hop (RFC 9110 section
// 7.6.1): they are understood here and left out of what is forwarded.
type message struct {
	fields    []Field
	nominated []string // by Connection, beside what is known
	length    int64    // -1: none
	host      string
	upgrade   string
	hosts     uint8
	coded     bool // there is a Transfer-Encoding
	chunked   bool // its last coding is chunked
	passed    bool // chunked is not its last coding
	others    bool // there are other codings
	close     bool
	keep      bool
	upgrading bool
	expect    bool
	trailers  bool // TE: trailers
}

func (m *message) reset() {
	*m = message{fields: m.fields[:0], nominated: m.nominated[:0], length: -1}
}

// parse reads all field lines of a head from b[i:] on.
func (m *message) parse(b []byte, i int) error {
	for i+1 < len(b) {
		if b[i] == '\r' && b[i+1] == '\n' {
			if i+2 != len(b) {
				return ErrCut
			}
			m.drop()
			return nil
		}
		f, next, err := parseField(b, i)
		if err != nil {
			return err
		}
		if err := m.take(f); err != nil {
			return err
		}
		i = next
	}
	return ErrCut
}

func (m *message) take(f Field) error {
	switch f.Name {
	case "host":
		m.host = f.Value
		m.hosts = min(m.hosts+1, 2)
		return nil
	case "content-length":
		if m.length >= 0 {
			return ErrTwoLengths
		}
		n, ok := ParseLength(f.Value)
		if !ok {
			return ErrLength
		}
		m.length = n
	case "transfer-encoding":
		m.codings(f.Value)
		return nil
	case "connection":
		m.options(f.Value)
		return nil
	case "upgrade":
		m.protocols(f.Value)
		return nil
	case "te":
		if m.trailers || !hasTrailers(f.Value) {
			return nil
		}
		m.trailers = true
		f.Value = "trailers"
	case "keep-alive", "proxy-connection", "http2-settings":
		return nil
	case "expect":
		if !strings.EqualFold(f.Value, "100-continue") {
			return ErrExpect
		}
		m.expect = true
	}
	m.fields = append(m.fields, f)
	return nil
}

// ParseLength reads a Content-Length: digits alone, and not more than an int64 holds.
func ParseLength(s string) (int64, bool) {
	if s == "" || len(s) > 19 {
		return 0, false
	}
	for i := range len(s) {
		if s[i]-'0' > 9 {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// codings notes a Transfer-Encoding; several lines are one list (RFC 9110 section 5.3).
func (m *message) codings(list string) {
	m.coded = true
	for more := true; more; {
		var c string
		c, list, more = strings.Cut(list, ",")
		m.passed = m.passed || m.chunked
		m.chunked = strings.EqualFold(strings.Trim(c, " \t"), "chunked")
		m.others = m.others || !m.chunked
	}
}

// options notes what Connection lists: close, keep-alive, upgrade, and names of fields that are for this hop.
func (m *message) options(list string) {
	for list != "" {
		var o string
		o, list = member(list)
		switch {
		case strings.EqualFold(o, "close"):
			m.close = true
		case strings.EqualFold(o, "keep-alive"):
			m.keep = true
		case strings.EqualFold(o, "upgrade"):
			m.upgrading = true
		case o != "" && !strings.EqualFold(o, "te"):
			m.nominated = append(m.nominated, o)
		}
	}
}

// protocols notes the first protocol that can be passed on. HTTP/2 cannot: an upgrade to it would carry requests past
// whoever judges them (RFC 9113 section 3.1 has dropped it).
func (m *message) protocols(list string) {
	for list != "" && m.upgrade == "" {
		var p string
		p, list = member(list)
		name, _, _ := strings.Cut(p, "/")
		if !isToken(name) || strings.EqualFold(name, "h2c") || strings.EqualFold(name, "h2") || strings.EqualFold(name, "http") {
			continue
		}
		m.upgrade = p
	}
}

func hasTrailers(list string) bool {
	for list != "" {
		var c string
		if c, list = member(list); strings.EqualFold(c, "trailers") {
			return true
		}
	}
	return false
}

// drop leaves out the fields that Connection nominates.
func (m *message) drop() {
	if len(m.nominated) == 0 {
		return
	}
	m.fields = slices.DeleteFunc(m.fields, func(f Field) bool {
		return slices.ContainsFunc(m.nominated, func(n string) bool { return strings.EqualFold(n, f.Name) })
	})
}

// persists says whether the connection can carry another message (RFC 9112 section 9.3).
func (m *message) persists(minor int) bool { return !m.close && (minor >= 1 || m.keep) }
