package http2

// maxInteger bounds HPACK integers: every use of one is a length, an index or a table size, none of which needs more.
const maxInteger = 1<<31 - 1

// appendInteger writes n behind the bits of first, with a prefix of bits (RFC 7541 section 5.1).
func appendInteger(b []byte, first byte, bits uint, n uint32) []byte {
	limit := uint32(1)<<bits - 1
	if n < limit {
		return append(b, first|byte(n))
	}
	b = append(b, first|byte(limit))
	for n -= limit; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// parseInteger reads an integer whose prefix is in the low bits of b[0], and returns what follows it. "Integer encodings
// that exceed implementation limits, in value or octet length, MUST be treated as decoding errors" (section 5.1).
func parseInteger(b []byte, bits uint) (uint32, []byte, error) {
	if len(b) == 0 {
		return 0, nil, errTruncated
	}
	limit := uint64(1)<<bits - 1
	n := uint64(b[0]) & limit
	b = b[1:]
	if n < limit {
		return uint32(n), b, nil
	}
	for shift := 0; shift <= 28; shift += 7 {
		if len(b) == 0 {
			return 0, nil, errTruncated
		}
		n += uint64(b[0]&0x7f) << shift
		last := b[0] < 0x80
		b = b[1:]
		if n > maxInteger {
			break
		}
		if last {
			return uint32(n), b, nil
		}
	}
	return 0, nil, errInteger
}
