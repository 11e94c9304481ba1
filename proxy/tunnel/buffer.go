package tunnel

import (
	"io"
	"net"
	"sync"
)

// Buffer is what a direction reads into: small while little comes, large in a stream.
type Buffer struct{ b *[]byte }

const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

var smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
var largeBuffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}

// ReadFrom lends what it reads until it is called again.
func (x *Buffer) ReadFrom(c net.Conn) ([]byte, error) {
	if x.b == nil {
		x.b = smallBuffers.Get().(*[]byte)
	}
	n, err := c.Read(*x.b)
	b := (*x.b)[:n]
	if n == smallBuffer && len(*x.b) == smallBuffer { // the lent bytes stay in the small one, which is left to the collector
		x.b = largeBuffers.Get().(*[]byte)
	}
	if n > 0 && err == io.EOF {
		err = nil // it comes again
	}
	return b, err
}

// Release gives its memory back.
func (x *Buffer) Release() {
	if x.b != nil {
		if len(*x.b) == largeBuffer {
			largeBuffers.Put(x.b)
		} else {
			smallBuffers.Put(x.b)
		}
	}
	x.b = nil
}
