package http2

// Data carries bytes of a body (RFC 9113 section 6.1).
type Data struct {
	Stream    uint32
	EndStream bool
	Data      []byte
}

// ParseData lends the bytes of p. Flow control counts h.Length, padding included.
func ParseData(h FrameHeader, p []byte) (Data, error) {
	if h.Stream == 0 {
		return Data{}, connError(ProtocolError, "DATA on stream 0")
	}
	p, err := unpad(h, p)
	return Data{h.Stream, h.Flags.Has(FlagEndStream), p}, err
}

// Append writes the frame without padding.
func (f Data) Append(b []byte) []byte {
	h := FrameHeader{uint32(len(f.Data)), TypeData, flagIf(f.EndStream, FlagEndStream), f.Stream}
	return append(h.Append(b), f.Data...)
}
