package echo

import (
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf8"
)

// opcode is the kind of a frame (RFC 6455 section 5.2).
type opcode byte

const (
	opContinuation opcode = 0
	opText         opcode = 1
	opBinary       opcode = 2
	opClose        opcode = 8
	opPing         opcode = 9
	opPong         opcode = 10
)

func (o opcode) isControl() bool { return o >= opClose }

func (o opcode) known() bool { return o <= opBinary || o >= opClose && o <= opPong }

// frame is one frame from a client, unmasked.
type frame struct {
	fin     bool
	op      opcode
	payload []byte
}

// readFrame reads a client's frame with a payload of at most limit bytes. A frame that the RFC forbids is a closeError.
func readFrame(r io.Reader, limit int) (frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{fin: head[0]&0x80 != 0, op: opcode(head[0] & 0x0f)}
	size, err := readLength(r, head[1]&0x7f)
	if err != nil {
		return frame{}, err
	}
	switch {
	case head[0]&0x70 != 0: // section 5.2: reserved bits without an extension that gives them a meaning
		return frame{}, closeError{closeProtocol, "reserved bit set"}
	case !f.op.known():
		return frame{}, closeError{closeProtocol, "unknown opcode"}
	case head[1]&0x80 == 0: // section 5.1
		return frame{}, closeError{closeProtocol, "client frame not masked"}
	case f.op.isControl() && (!f.fin || size > 125): // section 5.5
		return frame{}, closeError{closeProtocol, "control frame fragmented or over 125 bytes"}
	case !f.op.isControl() && size > uint64(max(limit, 0)):
		return frame{}, closeError{closeTooBig, "message too big"}
	}
	f.payload, err = readMasked(r, int(size))
	return f, err
}

// readLength reads the extended payload length of section 5.2, if the short one calls for it.
func readLength(r io.Reader, short byte) (uint64, error) {
	var b [8]byte
	switch short {
	case 126:
		_, err := io.ReadFull(r, b[:2])
		return uint64(binary.BigEndian.Uint16(b[:])), unexpected(err)
	case 127:
		_, err := io.ReadFull(r, b[:])
		return binary.BigEndian.Uint64(b[:]), unexpected(err)
	}
	return uint64(short), nil
}

// readMasked reads the masking key and the payload, and takes the mask off (section 5.3).
func readMasked(r io.Reader, size int) ([]byte, error) {
	data := make([]byte, 4+size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, unexpected(err)
	}
	key, payload := [4]byte(data), data[4:]
	for i := range payload {
		payload[i] ^= key[i&3]
	}
	return payload, nil
}

// unexpected says that the end came inside a frame.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendFrame appends a server's frame: whole, and not masked (section 5.1).
func appendFrame(b []byte, op opcode, payload []byte) []byte {
	b = append(b, 0x80|byte(op))
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// Close codes (RFC 6455 section 7.4.1).
const (
	closeNormal    = 1000
	closeGoingAway = 1001
	closeProtocol  = 1002
	closeNoStatus  = 1005 // never sent: a close frame without a code
	closeNotUTF8   = 1007
	closeTooBig    = 1009
)

// closeError is why a connection ends; text is empty when the peer asked for it.
type closeError struct {
	code uint16
	text string
}

func (e closeError) Error() string { return fmt.Sprintf("websocket closed: %d %s", e.code, e.text) }

func (e closeError) fromPeer() bool { return e.text == "" }

func (e closeError) payload() []byte {
	if e.code == closeNoStatus {
		return nil
	}
	return append(binary.BigEndian.AppendUint16(nil, e.code), e.text...)
}

// closeRequest reads a peer's close frame; its code is sent back (section 5.5.1), unless it may not be (7.4).
func closeRequest(payload []byte) closeError {
	if len(payload) == 0 {
		return closeError{code: closeNoStatus}
	}
	if len(payload) == 1 {
		return closeError{closeProtocol, "close frame of one byte"}
	}
	code := binary.BigEndian.Uint16(payload)
	registered := code >= closeNormal && code <= 1014 && code != 1004 && code != closeNoStatus && code != 1006
	private := code >= 3000 && code <= 4999
	if !registered && !private {
		return closeError{closeProtocol, "close code not allowed"}
	}
	if !utf8.Valid(payload[2:]) {
		return closeError{closeNotUTF8, "close reason is not UTF-8"}
	}
	return closeError{code: code}
}
