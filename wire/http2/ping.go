package http2

// Ping is echoed with Ack set (RFC 9113 section 6.7).
type Ping struct {
	Ack  bool
	Data [8]byte
}

// ParsePing reads the frame.
func ParsePing(h FrameHeader, p []byte) (Ping, error) {
	if h.Stream != 0 {
		return Ping{}, connError(ProtocolError, "PING on a stream")
	}
	if len(p) != 8 {
		return Ping{}, connError(FrameSizeError, "PING is not 8 bytes long")
	}
	return Ping{h.Flags.Has(FlagAck), [8]byte(p)}, nil
}

// Append writes the frame.
func (f Ping) Append(b []byte) []byte {
	b = FrameHeader{8, TypePing, flagIf(f.Ack, FlagAck), 0}.Append(b)
	return append(b, f.Data[:]...)
}
