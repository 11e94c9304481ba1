package tunnel

import (
	"io"
	"net"
	"sync"

	"github.com/weft-mesh/weft/internal/sys"
)

// Buffer is what a direction reads into: small while little comes, large in a stream. Where a stream is in full flow between two
// sockets in the clear, it is passed on without being read.
type Buffer struct {
	b      *[]byte
	flow   int // bytes that came without a small piece among them
	splice *sys.Splice
	copies bool // for good: there is no pipe to be had, or an end is no socket
}

const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
	piece       = 16 << 10  // less is a message
	fullFlow    = 256 << 10 // measured: below some hundred KB one way, two descriptors and their pipe cost more than copies
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
	if x.flow += n; n < min(len(*x.b), piece) {
		x.flow = 0
	}
	if n == smallBuffer && len(*x.b) == smallBuffer { // the lent bytes stay in the small one, which is left to the collector
		x.b = largeBuffers.Get().(*[]byte)
	}
	if n > 0 && err == io.EOF {
		err = nil // it comes again
	}
	return b, err
}

// Move passes on what comes next; moved false: ReadFrom has to, and nothing was done. The errors are those of reading, io.EOF at the
// end, and of writing, after which bytes are lost.
func (x *Buffer) Move(to, from net.Conn) (n int, read, write error, moved bool) {
	if x.flow < fullFlow || x.copies {
		return 0, nil, nil, false
	}
	if x.splice == nil && !x.join(to, from) {
		return 0, nil, nil, false
	}
	n, read, write = x.splice.Move()
	if n == 0 && read == nil && write == nil {
		read = io.EOF
	}
	return n, read, write, true
}

func (x *Buffer) join(to, from net.Conn) bool {
	t, ok := to.(sys.Conn)
	f, also := from.(sys.Conn)
	if ok && also {
		x.splice, _ = sys.NewSplice(t, f)
	}
	x.copies = x.splice == nil
	return !x.copies
}

// Release gives its memory back.
func (x *Buffer) Release() {
	if x.splice != nil {
		x.splice.Close()
		x.splice, x.copies = nil, true
	}
	if x.b != nil {
		if len(*x.b) == largeBuffer {
			largeBuffers.Put(x.b)
		} else {
			smallBuffers.Put(x.b)
		}
	}
	x.b = nil
}
