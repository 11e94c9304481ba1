package h1

import "github.com/weft-mesh/weft/proxy/buffer"

const (
	small = 16 << 10 // holds any usual head
	large = 64 << 10 // for bodies that fill a small one
)

// block returns a buffer to read into.
func block(size int) []byte {
	b := buffer.Get(size)
	return b[:cap(b)]
}
