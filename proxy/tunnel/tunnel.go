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
		var b []byte
		if b, err = body.Next(); len(b) > 0 {
			if _, werr := nc.Write(b); werr != nil {
				body.Close(werr)
				return // what the callee says decides
			}
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
		if t, ok := nc.(interface{ SetLinger(sec int) error }); ok {
			_ = t.SetLinger(0)
		}
		nc.Close()
	}
}

func (r *raw) Next() ([]byte, error) {
	if r.stop.Load() {
		return nil, traffic.ErrInterrupted
	}
	b, err := r.buf.ReadFrom(r.conn)
	switch {
	case err == io.EOF:
		r.ended = true
	case err != nil && r.stop.Load():
		err = traffic.ErrInterrupted
	case err != nil:
		err = errors.Join(traffic.ErrReset, err)
	}
	return b, err
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
		if t, ok := r.conn.(interface{ SetLinger(sec int) error }); ok {
			_ = t.SetLinger(0)
		}
		r.conn.Close()
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

// CloseWrite half-closes, or closes what cannot be.
func CloseWrite(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}
