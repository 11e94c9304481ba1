package http2

import "encoding/binary"

const priorityLen = 5

// Priority is deprecated (RFC 9113 section 5.3.2): it is checked and otherwise ignored.
type Priority struct {
	Stream uint32
	On     uint32 // the stream that this one depends on
}

// ParsePriority checks the frame.
func ParsePriority(h FrameHeader, p []byte) (Priority, error) {
	if h.Stream == 0 {
		return Priority{}, connError(ProtocolError, "PRIORITY on stream 0")
	}
	if len(p) != priorityLen {
		return Priority{}, streamError(h.Stream, FrameSizeError, "PRIORITY is not 5 bytes long")
	}
	f := Priority{h.Stream, parsePriority(p)}
	if f.On == f.Stream {
		return f, streamError(h.Stream, ProtocolError, "stream depends on itself")
	}
	return f, nil
}

func parsePriority(p []byte) uint32 { return binary.BigEndian.Uint32(p) & MaxStream }
