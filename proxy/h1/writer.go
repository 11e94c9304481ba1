package h1

import (
	"net"
	"time"

	"github.com/weft-mesh/weft/proxy/buffer"
	"github.com/weft-mesh/weft/wire/http1"
)

// gather is up to where body bytes are copied behind a head, to leave in one write; larger ones leave beside it (writev).
const gather = 4 << 10

var crlf = []byte("\r\n")

// writer gathers bytes for a connection. One goroutine writes at a time.
type writer struct {
	conn    net.Conn
	limit   time.Duration // of a write; 0: none
	out     []byte        // what waits; nil: there is no buffer
	begin   time.Time     // of the connection: spans since then cost half of what time.Now does, 50 ns less for each message
	armed   time.Duration // the deadline that is set, since begin
	last    time.Duration // when something was written, since begin
	parts   [3][]byte
	vec     net.Buffers
	wrote   bool // something has left since reset
	vectors bool // the connection knows writev
}

func newWriter(conn net.Conn, limit time.Duration) writer {
	_, tcp := conn.(lingerer)
	_, unix := conn.(*net.UnixConn)
	return writer{conn: conn, begin: time.Now(), limit: limit, vectors: tcp || unix}
}

// buffer returns what waits, to append to and hand to keep.
func (w *writer) buffer() []byte {
	if w.out == nil {
		w.out = buffer.Get(small)
	}
	return w.out
}

func (w *writer) keep(b []byte) { w.out = b }

// release gives the buffer back; what waits is dropped.
func (w *writer) release() {
	if w.out != nil {
		buffer.Put(w.out)
	}
	w.out = nil
}

// arm moves the write deadline if it comes too early. A write never meets a deadline nearer than limit.
func (w *writer) arm() error {
	if w.limit <= 0 {
		return nil
	}
	now := time.Since(w.begin)
	if w.last = now; w.armed-now >= w.limit {
		return nil
	}
	w.armed = now + 2*w.limit
	return w.conn.SetWriteDeadline(w.begin.Add(w.armed))
}

func (w *writer) flush() error {
	if len(w.out) == 0 {
		return nil
	}
	if err := w.arm(); err != nil {
		return err
	}
	n, err := w.conn.Write(w.out)
	w.out, w.wrote = w.out[:0], w.wrote || n > 0
	return slow(err)
}

func slow(err error) error {
	if err != nil && isTimeout(err) {
		return ErrSlow
	}
	return err
}

// body adds bytes of a body in its framing.
func (w *writer) body(b []byte, f http1.Kind) error {
	if len(b) == 0 {
		return nil
	}
	if f != http1.Chunked {
		return w.put(b, nil)
	}
	w.keep(http1.AppendChunkSize(w.buffer(), len(b)))
	return w.put(b, crlf)
}

// put adds b and tail. Few bytes wait for flush; many leave now, with what waits.
func (w *writer) put(b, tail []byte) error {
	w.buffer()
	if len(b) > gather && w.vectors {
		return w.writev(b, tail)
	}
	for _, p := range [2][]byte{b, tail} {
		for len(p) > 0 {
			if len(w.out) >= cap(w.out) {
				if err := w.flush(); err != nil {
					return err
				}
			}
			n := min(len(p), cap(w.out)-len(w.out))
			w.out = append(w.out, p[:n]...)
			p = p[n:]
		}
	}
	return nil
}

func (w *writer) writev(b, tail []byte) error {
	if err := w.arm(); err != nil {
		return err
	}
	w.vec = w.parts[:0]
	for _, p := range [3][]byte{w.out, b, tail} {
		if len(p) > 0 {
			w.vec = append(w.vec, p)
		}
	}
	n, err := w.vec.WriteTo(w.conn)
	w.out, w.wrote = w.out[:0], w.wrote || n > 0
	w.parts = [3][]byte{}
	return slow(err)
}
