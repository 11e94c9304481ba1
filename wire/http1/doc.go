// Package http1 is the codec of HTTP/1.1 messages (RFC 9110, RFC 9112): heads, body framing, chunked bodies. It knows nothing
// of connections: bytes come in slices, bytes go out by appending, and strings are lent from the bytes that came in.
//
// It promises that a message is read in one way only. What two readers could take for two different messages (a bare line
// feed, a folded line, two lengths, a length beside a transfer coding, a space before a colon) is refused, never repaired;
// what is forwarded is written anew from what was understood.
//
// Its errors are of type *Error: what is wrong, the section that says so, and the status that answers a request like that.
// After one, nothing more can be read from the connection.
package http1

import "unsafe"

// Field is one field line as received: the name in lower case, the value without the white space around it.
type Field struct{ Name, Value string }

// Limits bound a head. Zero fields take the value in brackets.
type Limits struct {
	Line   int // bytes of the start line [8 KiB]; beyond: 414
	Head   int // bytes of the whole head, and of a trailer section [64 KiB]; beyond: 431
	Fields int // field lines of a head, and of a trailer section [128]; beyond: 431
}

// Or fills the zero fields.
func (l Limits) Or() Limits {
	if l.Line <= 0 {
		l.Line = 8 << 10
	}
	if l.Head <= 0 {
		l.Head = 64 << 10
	}
	if l.Fields <= 0 {
		l.Fields = 128
	}
	return l
}

func lend(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
