// Package grpc holds the codecs of the gRPC protocol over HTTP/2 (PROTOCOL-HTTP2.md in the grpc repository): message
// framing, and the percent-encoding of statuses' messages. It is pure and append-style; it imports the standard library
// only.
package grpc

import (
	"encoding/binary"
	"errors"
)

// prefixLen is the length of what stands before each message: a flag and four bytes of length.
const prefixLen = 5

// ErrTooLarge is returned for a message above the reader's limit.
var ErrTooLarge = errors.New("gRPC message larger than the limit")

var errFlag = errors.New("gRPC message with an unknown compressed flag")

// appendPrefix writes the prefix of a message of n bytes.
func appendPrefix(b []byte, compressed bool, n int) []byte {
	flag := byte(0)
	if compressed {
		flag = 1
	}
	return binary.BigEndian.AppendUint32(append(b, flag), uint32(n))
}

// AppendMessage writes a message with its prefix.
func AppendMessage(b []byte, compressed bool, message []byte) []byte {
	return append(appendPrefix(b, compressed, len(message)), message...)
}

// prefix is what stands before a message.
type prefix struct {
	Compressed bool
	Length     uint32
}

// parsePrefix reads the first prefixLen bytes of b; false if there are fewer. A flag that is neither 0 nor 1 is an error.
func parsePrefix(b []byte) (prefix, bool, error) {
	if len(b) < prefixLen {
		return prefix{}, false, nil
	}
	if b[0] > 1 {
		return prefix{}, true, errFlag
	}
	return prefix{b[0] == 1, binary.BigEndian.Uint32(b[1:])}, true, nil
}

// Reader takes messages out of a stream of bytes that comes in pieces of any size. The zero value is ready and has no limit.
type Reader struct {
	Limit uint32 // of a message's length; 0: none
	buf   []byte
}

// Feed adds bytes.
func (r *Reader) Feed(p []byte) { r.buf = append(r.buf, p...) }

// Next takes the next whole message, lent until the next Feed; false: there is none yet.
func (r *Reader) Next() (message []byte, compressed, ok bool, err error) {
	p, ok, err := parsePrefix(r.buf)
	if !ok || err != nil {
		return nil, false, false, err
	}
	if r.Limit > 0 && p.Length > r.Limit {
		return nil, false, false, ErrTooLarge
	}
	end := prefixLen + int(p.Length)
	if len(r.buf) < end {
		return nil, false, false, nil
	}
	message = r.buf[prefixLen:end:end]
	if r.buf = r.buf[end:]; len(r.buf) == 0 {
		r.buf = nil
	}
	return message, p.Compressed, true, nil
}

// Rest is the number of bytes that make no whole message yet: 0 at the end of a well-formed stream.
func (r *Reader) Rest() int { return len(r.buf) }
