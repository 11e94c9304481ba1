package http2

import "strings"

// Response is the head of a response, final or interim. Strings are lent by its Section.
type Response struct {
	Status int
	Length int64 // content-length; -1: none
	Fields []Field
}

// Response checks a section against RFC 9113 sections 8.2 and 8.3.2 and takes it apart.
func (s *Section) Response() (Response, error) {
	r := Response{Length: -1}
	if len(s.Fields) == 0 || s.Fields[0].Name != ":status" {
		return r, malformed("response does not begin with :status")
	}
	if r.Status = parseStatus(s.Fields[0].Value); r.Status == 0 {
		return r, malformed("invalid :status")
	}
	if r.Status == 101 {
		return r, malformed("101 has no place in HTTP/2") // section 8.6
	}
	kept := s.Fields[1:1]
	for _, f := range s.Fields[1:] {
		if strings.HasPrefix(f.Name, ":") {
			return r, malformed("unknown, repeated or late pseudo-header field")
		}
		if err := checkField(&f); err != nil {
			return r, err
		}
		if f.Name == "content-length" {
			again := r.Length >= 0
			var err *Error
			if r.Length, err = length(r.Length, f.Value); err != nil {
				return r, err
			}
			if again {
				continue
			}
		}
		kept = append(kept, f)
	}
	r.Fields = kept
	return r, nil
}

// parseStatus reads three digits; 0: invalid (RFC 9110 section 15: "All valid status codes are within the range of 100 to
// 599"; those above are let through as clients should treat them as 500).
func parseStatus(s string) int {
	if len(s) != 3 {
		return 0
	}
	n := 0
	for i := range 3 {
		if s[i] < '0' || s[i] > '9' {
			return 0
		}
		n = n*10 + int(s[i]-'0')
	}
	if n < 100 {
		return 0
	}
	return n
}

// AppendStatus writes :status.
func (e *Encoder) AppendStatus(b []byte, status int) []byte {
	d := [3]byte{byte('0' + status/100%10), byte('0' + status/10%10), byte('0' + status%10)}
	for i := 8; i <= 14; i++ {
		if staticTable[i].Value == string(d[:]) {
			return append(b, 0x80|byte(i))
		}
	}
	return e.AppendField(b, ":status", lend(d[:]), false)
}
