package h1

import "sync"

// block is a pooled buffer.
type block struct{ b []byte }

const (
	small = 16 << 10 // holds any usual head
	large = 64 << 10 // for bodies that fill a small one
)

var (
	smallBlocks = sync.Pool{New: func() any { return &block{make([]byte, small)} }}
	largeBlocks = sync.Pool{New: func() any { return &block{make([]byte, large)} }}
)

func getBlock(size int) *block {
	switch {
	case size <= small:
		return smallBlocks.Get().(*block)
	case size <= large:
		return largeBlocks.Get().(*block)
	}
	return &block{make([]byte, size)}
}

func putBlock(b *block) {
	switch len(b.b) {
	case small:
		smallBlocks.Put(b)
	case large:
		largeBlocks.Put(b)
	}
}
