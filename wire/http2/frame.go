package http2

import (
	"encoding/binary"
	"strconv"
)

// Preface is what a client sends first (RFC 9113 section 3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

const (
	HeaderLen        = 9     // of a frame header, in bytes
	DefaultWindow    = 65535 // flow-control window before any SETTINGS or WINDOW_UPDATE
	DefaultFrameSize = 16384 // the smallest maximum of a frame's payload, and the one before any SETTINGS
	MaxFrameSize     = 1<<24 - 1
	MaxWindow        = 1<<31 - 1
	MaxStream        = 1<<31 - 1
)

// FrameType is the fourth byte of a frame (RFC 9113 section 6).
type FrameType uint8

const (
	TypeData         FrameType = 0x0
	TypeHeaders      FrameType = 0x1
	TypePriority     FrameType = 0x2
	TypeRSTStream    FrameType = 0x3
	TypeSettings     FrameType = 0x4
	TypePushPromise  FrameType = 0x5
	TypePing         FrameType = 0x6
	TypeGoAway       FrameType = 0x7
	TypeWindowUpdate FrameType = 0x8
	TypeContinuation FrameType = 0x9
)

var typeNames = [...]string{"DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY",
	"WINDOW_UPDATE", "CONTINUATION"}

func (t FrameType) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "frame type 0x" + strconv.FormatUint(uint64(t), 16)
}

// Flags is the fifth byte of a frame; what a bit means depends on the type.
type Flags uint8

const (
	FlagEndStream  Flags = 0x1 // DATA, HEADERS
	FlagAck        Flags = 0x1 // SETTINGS, PING
	FlagEndHeaders Flags = 0x4 // HEADERS, CONTINUATION
	FlagPadded     Flags = 0x8 // DATA, HEADERS
	FlagPriority   Flags = 0x20
)

// Has says whether all bits of g are set.
func (f Flags) Has(g Flags) bool { return f&g == g }

func flagIf(on bool, f Flags) Flags {
	if on {
		return f
	}
	return 0
}

// FrameHeader stands before each payload (RFC 9113 section 4.1).
type FrameHeader struct {
	Length uint32 // of the payload, at most MaxFrameSize
	Type   FrameType
	Flags  Flags
	Stream uint32
}

// ParseFrameHeader reads the first HeaderLen bytes of b; false if there are fewer. The reserved bit is ignored.
func ParseFrameHeader(b []byte) (FrameHeader, bool) {
	if len(b) < HeaderLen {
		return FrameHeader{}, false
	}
	return FrameHeader{
		Length: uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]),
		Type:   FrameType(b[3]),
		Flags:  Flags(b[4]),
		Stream: binary.BigEndian.Uint32(b[5:]) & MaxStream,
	}, true
}

// Append writes the header.
func (h FrameHeader) Append(b []byte) []byte {
	return append(b, byte(h.Length>>16), byte(h.Length>>8), byte(h.Length), byte(h.Type), byte(h.Flags),
		byte(h.Stream>>24), byte(h.Stream>>16), byte(h.Stream>>8), byte(h.Stream))
}

// unpad takes the padding off a payload whose PADDED flag is set (RFC 9113 section 6.1).
func unpad(h FrameHeader, p []byte) ([]byte, error) {
	if !h.Flags.Has(FlagPadded) {
		return p, nil
	}
	if len(p) == 0 {
		return nil, connError(FrameSizeError, "padded frame without a pad length")
	}
	n := int(p[0])
	if n > len(p)-1 {
		return nil, connError(ProtocolError, "padding longer than the payload")
	}
	return p[1 : len(p)-n], nil
}
