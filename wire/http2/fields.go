package http2

import "strings"

// malformed is the stream error of RFC 9113 section 8.1.1; the caller knows the stream.
func malformed(reason string) *Error { return &Error{Code: ProtocolError, Reason: reason} }

// ConnectionSpecific says whether HTTP/2 has no place for a field: "An endpoint MUST NOT generate an HTTP/2 message
// containing connection-specific header fields" (RFC 9113 section 8.2.2).
func ConnectionSpecific(name string) bool {
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// checkField judges a regular field.
func checkField(f *Field) *Error {
	switch {
	case !only(f.Name, inName):
		return malformed("field name is not a token in lower case")
	case !validValue(f.Value):
		return malformed("field value with a control character or white space around it")
	case ConnectionSpecific(f.Name):
		return malformed("connection-specific field")
	case f.Name == "te" && !strings.EqualFold(f.Value, "trailers"):
		return malformed("te is not trailers")
	}
	return nil
}

// length reads a content-length, which may come again only with the same value (RFC 9110 section 8.6).
func length(have int64, value string) (int64, *Error) {
	if value == "" || len(value) > 18 {
		return 0, malformed("content-length is not a number")
	}
	n := int64(0)
	for i := range len(value) {
		c := value[i]
		if c < '0' || c > '9' {
			return 0, malformed("content-length is not a number")
		}
		n = n*10 + int64(c-'0')
	}
	if have >= 0 && have != n {
		return 0, malformed("content-length twice and different")
	}
	return n, nil
}

// Trailers checks a section of trailers: "Trailers MUST NOT include pseudo-header fields" (RFC 9113 section 8.1), nor what
// frames or routes a message (RFC 9110 section 6.5.1).
func (s *Section) Trailers() error {
	for i := range s.Fields {
		f := &s.Fields[i]
		if err := checkField(f); err != nil {
			return err
		}
		if f.Name == "content-length" || f.Name == "host" || f.Name == "te" {
			return malformed("trailer field that frames or routes")
		}
	}
	return nil
}

// joinCookies makes one field of the crumbs that a peer may split a cookie into; they "MUST be concatenated into a single
// octet string using the two-octet delimiter" "; " before a non-HTTP/2 context sees them (RFC 9113 section 8.2.3).
func (s *Section) joinCookies(fields []Field, crumbs, size int) []Field {
	if crumbs < 2 {
		return fields
	}
	s.need(size + 2*crumbs)
	at := len(s.buf)
	var into *Field
	kept := fields[:0]
	for _, f := range fields {
		if f.Name != "cookie" {
			kept = append(kept, f)
			continue
		}
		if into == nil {
			kept = append(kept, f)
			into = &kept[len(kept)-1]
		} else {
			s.buf = append(s.buf, "; "...)
		}
		s.buf = append(s.buf, f.Value...)
		into.Never = into.Never || f.Never
	}
	into.Value = lend(s.buf[at:])
	return kept
}
