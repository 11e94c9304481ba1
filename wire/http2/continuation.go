package http2

// Continuation carries on the field block of the HEADERS frame right before it (RFC 9113 section 6.10).
type Continuation struct {
	Stream     uint32
	EndHeaders bool
	Fragment   []byte
}

// ParseContinuation lends the fragment. That it belongs to the open block is for the caller to check.
func ParseContinuation(h FrameHeader, p []byte) (Continuation, error) {
	if h.Stream == 0 {
		return Continuation{}, connError(ProtocolError, "CONTINUATION on stream 0")
	}
	return Continuation{h.Stream, h.Flags.Has(FlagEndHeaders), p}, nil
}

// Append writes the frame.
func (f Continuation) Append(b []byte) []byte {
	h := FrameHeader{uint32(len(f.Fragment)), TypeContinuation, flagIf(f.EndHeaders, FlagEndHeaders), f.Stream}
	return append(h.Append(b), f.Fragment...)
}
