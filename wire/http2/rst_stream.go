package http2

import "encoding/binary"

// RSTStream ends a stream at once (RFC 9113 section 6.4).
type RSTStream struct {
	Stream uint32
	Code   ErrCode
}

// ParseRSTStream reads the frame.
func ParseRSTStream(h FrameHeader, p []byte) (RSTStream, error) {
	if h.Stream == 0 {
		return RSTStream{}, connError(ProtocolError, "RST_STREAM on stream 0")
	}
	if len(p) != 4 {
		return RSTStream{}, connError(FrameSizeError, "RST_STREAM is not 4 bytes long")
	}
	return RSTStream{h.Stream, ErrCode(binary.BigEndian.Uint32(p))}, nil
}

// Append writes the frame.
func (f RSTStream) Append(b []byte) []byte {
	b = FrameHeader{4, TypeRSTStream, 0, f.Stream}.Append(b)
	return binary.BigEndian.AppendUint32(b, uint32(f.Code))
}
