package http1

import (
	"strconv"
	"unsafe"
)

// AppendRequestLine appends the start line of a request. query comes without its question mark. False: a part cannot stand
// in a request line, and b is as it was: what came by another protocol may not smuggle a second line in.
func AppendRequestLine(b []byte, method, path, query string) ([]byte, bool) {
	if !isToken(method) || path == "" || !isTarget(path) || !isTarget(query) {
		return b, false
	}
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, path...)
	if query != "" {
		b = append(b, '?')
		b = append(b, query...)
	}
	return append(b, " HTTP/1.1\r\n"...), true
}

func isTarget(s string) bool {
	for i := range len(s) {
		if target[s[i]] == 0 {
			return false
		}
	}
	return true
}

// AppendHost appends the Host field. False: authority is not a host with an optional port, or empty.
func AppendHost(b []byte, authority string) ([]byte, bool) {
	if authority != "" && !validAuthority(authority, false) {
		return b, false
	}
	b = append(b, "host: "...)
	b = append(b, authority...)
	return append(b, "\r\n"...), true
}

// AppendStatusLine appends the start line of a response.
func AppendStatusLine(b []byte, status int) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, Reason(status)...)
	return append(b, "\r\n"...)
}

// AppendField appends a field line. False: the name is not a token, or the value has control characters, and b is
// as it was.
func AppendField(b []byte, name, value string) ([]byte, bool) {
	if !isToken(name) || !isValue(value) {
		return b, false
	}
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...), true
}

func isValue(s string) bool {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	for i := control(b); i < len(b); i += 1 + control(b[i+1:]) {
		if b[i] != '\t' {
			return false
		}
	}
	return true
}

// AppendLength appends a Content-Length field.
func AppendLength(b []byte, n int64) []byte {
	b = append(b, "content-length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}

// AppendChunkSize appends the line before a chunk of n bytes; a chunk ends with CRLF.
func AppendChunkSize(b []byte, n int) []byte {
	b = strconv.AppendUint(b, uint64(n), 16)
	return append(b, "\r\n"...)
}
