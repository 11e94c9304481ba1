package http2

// huffmanLens is the length in bits of the code of each byte, and huffmanEOS that of the end-of-string symbol (RFC 7541
// appendix B). The code is canonical: codes of one length follow each other in the order of their symbols, so that the
// lengths say it all.
var huffmanLens = [256]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
	28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
	6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
	24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
	19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
	26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
}

const (
	huffmanMax  = 30 // bits of the longest code, which is the end-of-string symbol's
	huffmanFast = 10 // bits that one lookup decodes: all of ASCII that is common in headers
)

// huffman is the code, laid out for both directions.
var huffman = newHuffman()

type huffmanCode struct {
	code  [256]uint32              // by symbol, right-aligned
	fast  [1 << huffmanFast]uint16 // by the next bits: length<<8 | symbol; 0: a longer code
	limit [huffmanMax + 2]uint64   // by length: the first 32-bit window beyond the codes of that length
	first [huffmanMax + 1]uint32   // by length: the first code of that length
	index [huffmanMax + 1]uint16   // by length: where its symbols begin
	order [256]uint8               // symbols by length, then value
}

func newHuffman() *huffmanCode {
	h := &huffmanCode{}
	code, n := uint32(0), 0
	for l := uint(1); l <= huffmanMax; l++ {
		code <<= 1
		h.first[l], h.index[l] = code, uint16(n)
		for s := range 256 {
			if uint(huffmanLens[s]) == l {
				h.code[s], h.order[n] = code, uint8(s)
				h.fill(uint8(s), code, l)
				code++
				n++
			}
		}
		h.limit[l] = uint64(code) << (32 - l)
	}
	return h
}

func (h *huffmanCode) fill(s uint8, code uint32, l uint) {
	if l > huffmanFast {
		return
	}
	at := code << (huffmanFast - l)
	for i := range uint32(1) << (huffmanFast - l) {
		h.fast[at+i] = uint16(l)<<8 | uint16(s)
	}
}

// huffmanLen is the encoded length of s in bytes.
func huffmanLen(s string) int {
	n := 0
	for i := range len(s) {
		n += int(huffmanLens[s[i]])
	}
	return (n + 7) / 8
}

// appendHuffman writes s encoded, padded with the most significant bits of the end-of-string symbol (section 5.2).
func appendHuffman(b []byte, s string) []byte {
	var acc uint64
	var bits uint
	for i := range len(s) {
		l := uint(huffmanLens[s[i]])
		acc = acc<<l | uint64(huffman.code[s[i]])
		for bits += l; bits >= 8; {
			bits -= 8
			b = append(b, byte(acc>>bits))
		}
	}
	if bits > 0 {
		b = append(b, byte(acc<<(8-bits))|byte(0xff)>>bits)
	}
	return b
}

// appendDecoded writes what src stands for. A padding of 8 bits or more, one that is not all ones, and an end-of-string
// symbol are decoding errors (section 5.2).
func appendDecoded(b, src []byte) ([]byte, error) {
	var acc uint64 // the low bits are next
	var bits uint
	for {
		for bits <= 56 && len(src) > 0 {
			acc = acc<<8 | uint64(src[0])
			bits += 8
			src = src[1:]
		}
		if bits == 0 {
			return b, nil
		}
		// The next 32 bits, ones behind the end: where only padding is left they are the beginning of the end-of-string.
		var window uint32
		if bits >= 32 {
			window = uint32(acc >> (bits - 32))
		} else {
			window = uint32(acc<<(32-bits)) | (1<<(32-bits) - 1)
		}
		l, sym := uint(0), uint8(0)
		if f := huffman.fast[window>>(32-huffmanFast)]; f != 0 {
			l, sym = uint(f>>8), uint8(f)
		} else if l, sym = huffman.long(window); l == 0 {
			if bits < 8 && len(src) == 0 {
				return b, nil
			}
			return b, errHuffman
		}
		if l > bits {
			return b, errHuffman // padding that is not all ones
		}
		b = append(b, sym)
		bits -= l
	}
}

// long finds the code of more than huffmanFast bits that window begins with; length 0 is the end-of-string symbol.
func (h *huffmanCode) long(window uint32) (uint, uint8) {
	for l := uint(huffmanFast + 1); l <= huffmanMax; l++ {
		if uint64(window) < h.limit[l] {
			return l, h.order[uint32(h.index[l])+window>>(32-l)-h.first[l]]
		}
	}
	return 0, 0
}
