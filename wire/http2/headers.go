package http2

// Headers opens a stream or carries its response or trailers (RFC 9113 section 6.2). A priority is skipped: it is deprecated.
type Headers struct {
	Stream     uint32
	EndStream  bool
	EndHeaders bool
	Fragment   []byte // of the field block; the rest follows in CONTINUATION frames
}

// ParseHeaders lends the fragment.
func ParseHeaders(h FrameHeader, p []byte) (Headers, error) {
	if h.Stream == 0 {
		return Headers{}, connError(ProtocolError, "HEADERS on stream 0")
	}
	p, err := unpad(h, p)
	if err != nil {
		return Headers{}, err
	}
	if h.Flags.Has(FlagPriority) {
		if len(p) < priorityLen {
			return Headers{}, connError(FrameSizeError, "HEADERS too short for its priority")
		}
		dep := parsePriority(p)
		p = p[priorityLen:]
		if dep == h.Stream {
			// The block is still lent: the compression state must see it.
			err = streamError(h.Stream, ProtocolError, "stream depends on itself")
		}
	}
	return Headers{h.Stream, h.Flags.Has(FlagEndStream), h.Flags.Has(FlagEndHeaders), p}, err
}

// Append writes the frame without padding or priority.
func (f Headers) Append(b []byte) []byte {
	h := FrameHeader{uint32(len(f.Fragment)), TypeHeaders,
		flagIf(f.EndStream, FlagEndStream) | flagIf(f.EndHeaders, FlagEndHeaders), f.Stream}
	return append(h.Append(b), f.Fragment...)
}

// AppendBlock writes the field block that stands at b[start+HeaderLen:] as one HEADERS frame, or as HEADERS and CONTINUATION
// frames of at most maxFrame bytes each. The HeaderLen bytes at b[start:] are room that the caller left.
func AppendBlock(b []byte, start int, stream uint32, endStream bool, maxFrame int) []byte {
	block := b[start+HeaderLen:]
	first := min(len(block), maxFrame)
	h := FrameHeader{uint32(first), TypeHeaders,
		flagIf(endStream, FlagEndStream) | flagIf(first == len(block), FlagEndHeaders), stream}
	h.Append(b[:start])
	if first == len(block) {
		return b
	}
	rest := append([]byte(nil), block[first:]...) // rare: a block larger than a frame
	b = b[:start+HeaderLen+first]
	for len(rest) > 0 {
		n := min(len(rest), maxFrame)
		b = Continuation{stream, n == len(rest), rest[:n]}.Append(b)
		rest = rest[n:]
	}
	return b
}
