// Package buffer lends memory for bytes that are on their way: both protocols take from the same pools, so that a proxy between
// them holds what the busier one needs and not both.
package buffer

import "sync"

// Buffers come in five sizes, from pools of arrays: putting one back allocates nothing.
var pool4K, pool16K, pool64K, pool256K, pool1M = sync.Pool{New: func() any { return new([4 << 10]byte) }},
	sync.Pool{New: func() any { return new([16 << 10]byte) }},
	sync.Pool{New: func() any { return new([64 << 10]byte) }},
	sync.Pool{New: func() any { return new([256 << 10]byte) }},
	sync.Pool{New: func() any { return new([1 << 20]byte) }}

// watch hears of each buffer that is lent (1) and given back (-1), in tests. nil: nobody does.
var watch func(int)

// Watch has f hear of each buffer that is lent (1) and given back (-1), for tests that look for leaks. It is called before the first is.
func Watch(f func(int)) { watch = f }

// Get returns an empty buffer with room for n bytes, and all the room that its size has.
func Get(n int) []byte {
	if watch != nil && n <= 1<<20 {
		watch(1)
	}
	switch {
	case n <= 4<<10:
		return pool4K.Get().(*[4 << 10]byte)[:0]
	case n <= 16<<10:
		return pool16K.Get().(*[16 << 10]byte)[:0]
	case n <= 64<<10:
		return pool64K.Get().(*[64 << 10]byte)[:0]
	case n <= 256<<10:
		return pool256K.Get().(*[256 << 10]byte)[:0]
	case n <= 1<<20:
		return pool1M.Get().(*[1 << 20]byte)[:0]
	}
	return make([]byte, 0, n)
}

// Put gives up b; sizes that no pool has are left to the collector.
func Put(b []byte) {
	b = b[:cap(b)]
	switch len(b) {
	case 4 << 10:
		pool4K.Put((*[4 << 10]byte)(b))
	case 16 << 10:
		pool16K.Put((*[16 << 10]byte)(b))
	case 64 << 10:
		pool64K.Put((*[64 << 10]byte)(b))
	case 256 << 10:
		pool256K.Put((*[256 << 10]byte)(b))
	case 1 << 20:
		pool1M.Put((*[1 << 20]byte)(b))
	default:
		return
	}
	if watch != nil {
		watch(-1)
	}
}

// Grow returns b with room for n more bytes, in another buffer if need be.
func Grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	g := append(Get(len(b)+n), b...)
	Put(b)
	return g
}
