package http2

import "encoding/binary"

// GoAway says that no stream above Last was or will be acted on (RFC 9113 section 6.8).
type GoAway struct {
	Last  uint32
	Code  ErrCode
	Debug []byte
}

// ParseGoAway lends the debug data.
func ParseGoAway(h FrameHeader, p []byte) (GoAway, error) {
	if h.Stream != 0 {
		return GoAway{}, connError(ProtocolError, "GOAWAY on a stream")
	}
	if len(p) < 8 {
		return GoAway{}, connError(FrameSizeError, "GOAWAY shorter than 8 bytes")
	}
	return GoAway{binary.BigEndian.Uint32(p) & MaxStream, ErrCode(binary.BigEndian.Uint32(p[4:])), p[8:]}, nil
}

// Append writes the frame.
func (f GoAway) Append(b []byte) []byte {
	b = FrameHeader{uint32(8 + len(f.Debug)), TypeGoAway, 0, 0}.Append(b)
	b = binary.BigEndian.AppendUint32(b, f.Last)
	b = binary.BigEndian.AppendUint32(b, uint32(f.Code))
	return append(b, f.Debug...)
}
