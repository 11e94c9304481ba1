package http2

import "encoding/binary"

// WindowUpdate lets the peer send more bytes, on a stream or (0) on the connection (RFC 9113 section 6.9).
type WindowUpdate struct {
	Stream    uint32
	Increment uint32
}

// ParseWindowUpdate reads the frame. An increment of 0 is an error of the stream, or of the connection for stream 0.
func ParseWindowUpdate(h FrameHeader, p []byte) (WindowUpdate, error) {
	if len(p) != 4 {
		return WindowUpdate{}, connError(FrameSizeError, "WINDOW_UPDATE is not 4 bytes long")
	}
	f := WindowUpdate{h.Stream, binary.BigEndian.Uint32(p) & MaxWindow}
	if f.Increment == 0 {
		return f, streamError(h.Stream, ProtocolError, "WINDOW_UPDATE of 0")
	}
	return f, nil
}

// Append writes the frame.
func (f WindowUpdate) Append(b []byte) []byte {
	b = FrameHeader{4, TypeWindowUpdate, 0, f.Stream}.Append(b)
	return binary.BigEndian.AppendUint32(b, f.Increment)
}
