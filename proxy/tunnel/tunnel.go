// Package tunnel moves bytes that have no protocol: it makes the connection to a callee a call's response, whose directions end each
// by itself.
package tunnel

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/traffic"
)

// raw is a callee's connection: the response's body.
type raw struct {
	conn  net.Conn
	call  *traffic.Call
	buf   Buffer
	sent  chan struct{} // closed when nobody reads the request's body any more
	ended bool          // the callee has ended
	shut  bool          // by Close
	stop  atomic.Bool
}

// Join makes a call and a callee's connection one: the connection is the response's body from then on. run has the request's body
// sent on a goroutine.
func Join(c *traffic.Call, nc net.Conn, run func(func())) {
	r := &raw{conn: nc, call: c, sent: make(chan struct{})}
	c.Response.Status, c.Response.Body = 200, r
	c.AtEnd(r)
	body := c.Body
	run(func() {
		defer close(r.sent)
		send(nc, body)
	})
}

// send moves what the caller sends. A caller that breaks off makes the callee's connection be reset.
func send(nc net.Conn, body traffic.Body) {
	err := io.EOF
	for body != nil {
		var werr error
		if _, err, werr = Pass(body, nc); werr != nil {
			body.Close(werr)
			return // what the callee says decides
		}
		if err != nil {
			break
		}
	}
	switch {
	case err == io.EOF:
		_ = CloseWrite(nc)
	case errors.Is(err, traffic.ErrInterrupted):
	default:
		Reset(nc)
	}
}

// Pass writes what body brings next to a connection: n bytes, without copying them where body can move them. read is what Next fails
// with, write what writing does.
func Pass(body traffic.Body, to net.Conn) (n int, read, write error) {
	body = traffic.Direct(body)
	if m, ok := body.(interface {
		Move(to net.Conn) (n int, read, write error, moved bool)
	}); ok {
		if n, read, write, ok = m.Move(to); ok {
			return n, read, write
		}
	}
	b, read := body.Next()
	if len(b) > 0 {
		_, write = to.Write(b)
	}
	return len(b), read, write
}

func (r *raw) Next() ([]byte, error) {
	if r.stop.Load() {
		return nil, traffic.ErrInterrupted
	}
	b, err := r.buf.ReadFrom(r.conn)
	return b, r.seen(err)
}

// Move is Next and a Write.
func (r *raw) Move(to net.Conn) (n int, read, write error, moved bool) {
	if r.stop.Load() {
		return 0, traffic.ErrInterrupted, nil, true
	}
	n, read, write, moved = r.buf.Move(to, r.conn)
	return n, r.seen(read), write, moved
}

// seen says what an error of reading means.
func (r *raw) seen(err error) error {
	switch {
	case err == io.EOF:
		r.ended = true
	case err != nil && r.stop.Load():
		err = traffic.ErrInterrupted
	case err != nil:
		err = errors.Join(traffic.ErrReset, err)
	}
	return err
}

func (r *raw) Interrupt(on bool) {
	r.stop.Store(on)
	if on {
		_ = r.conn.SetReadDeadline(past)
	} else {
		_ = r.conn.SetReadDeadline(time.Time{})
	}
}

// Close waits for the caller to end if the callee has and all is well; else it ends both.
func (r *raw) Close(err error) {
	if r.shut {
		return
	}
	r.shut = true
	if err != nil || !r.ended {
		Reset(r.conn)
		if r.call.Body != nil {
			r.call.Body.Interrupt(true)
			defer r.call.Body.Interrupt(false)
		}
	}
	<-r.sent
	r.conn.Close()
	r.buf.Release()
}

// End is the call's.
func (r *raw) End(*traffic.Call, time.Time, time.Time) { r.Close(traffic.ErrCanceled) }

var past = time.Unix(1, 0)

// Reset closes a connection so that the other side cannot take what it got for the whole: TLS too ends without its close_notify.
func Reset(c net.Conn) {
	for {
		on, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = on.NetConn()
	}
	if t, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = t.SetLinger(0)
	}
	c.Close()
}

// CloseWrite half-closes, or closes what cannot be.
func CloseWrite(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}
