package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/traffic"
)

// TCP is a call without a head: the request's body is what the caller sends, the response's what comes back, and each direction
// ends by itself.

// flow is a connection that is served as such a call. It is the request's body.
type flow struct {
	p    *Proxy
	conn net.Conn
	t    talk
	call traffic.Call
	gate *gate // nil: everything passes

	read []byte // what was read before
	buf  buffer
	half atomic.Bool // the callee has ended
	stop atomic.Bool // Interrupt
}

func newFlow(p *Proxy, s *slot, t talk, read []byte) *flow {
	f := &flow{p: p, conn: s.Conn, t: t, read: read}
	_ = f.conn.SetReadDeadline(time.Time{}) // that of the first bytes; an error shows when it is read
	f.call.Begin(t.host, t.info)
	f.call.Proto, f.call.Now, f.call.Body = traffic.TCP, p.now(), f
	return f
}

// tunnel serves a connection as TCP.
func (p *Proxy) tunnel(s *slot, read []byte, t talk) {
	f := newFlow(p, s, t, read)
	s.becomes(nil, nil)
	if t.tcp(&f.call); f.call.Response.Body != nil {
		f.pump()
	}
	p.done(&f.call)
	f.buf.release()
}

// pump moves what comes back until both directions have ended.
func (f *flow) pump() {
	body := f.call.Response.Body
	for {
		b, err := body.Next()
		if len(b) > 0 {
			if f.gate != nil && !f.gate.calleeSpoke() {
				err = errUndone
			} else if _, werr := f.conn.Write(b); werr != nil {
				err = errors.Join(traffic.ErrCanceled, werr)
			}
			f.call.Received += int64(len(b))
		}
		switch {
		case err == io.EOF:
			_ = closeWrite(f.conn)
			f.half.Store(true)
			_ = f.conn.SetReadDeadline(time.Now().Add(halfOpen))
			body.Close(nil)
			return
		case err != nil:
			f.broke(body, err)
			return
		}
	}
}

// broke ends both sides. The caller sees a reset: it must not take what it got for the whole.
func (f *flow) broke(body traffic.Body, err error) {
	body.Close(err)
	if f.gate != nil && f.gate.undone {
		return // the connection goes on, as HTTP
	}
	f.call.Response.Err = err
	if t, ok := f.conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	f.conn.Close()
}

// Next lends what the caller sent.
func (f *flow) Next() ([]byte, error) {
	for {
		if f.stop.Load() {
			return nil, traffic.ErrInterrupted
		}
		b, err := f.next()
		if err != nil && f.stop.Load() {
			return nil, traffic.ErrInterrupted
		}
		if f.gate != nil {
			b, err = f.gate.pass(b, err)
		}
		f.call.Sent += int64(len(b))
		if len(b) > 0 || err != nil {
			return b, err
		}
	}
}

func (f *flow) next() ([]byte, error) {
	if b := f.read; b != nil {
		f.read = nil
		return b, nil
	}
	if f.half.Load() {
		_ = f.conn.SetReadDeadline(time.Now().Add(halfOpen))
	}
	return f.buf.readFrom(f.conn)
}

// Interrupt wakes a Next that waits.
func (f *flow) Interrupt(on bool) {
	f.stop.Store(on)
	if on {
		_ = f.conn.SetReadDeadline(past)
	} else {
		_ = f.conn.SetReadDeadline(time.Time{})
	}
}

var past = time.Unix(1, 0)

// Close says that no more will be read.
func (f *flow) Close(error) { f.Interrupt(true) }

// raw is a callee's connection: the response's body.
type raw struct {
	conn  net.Conn
	call  *traffic.Call
	buf   buffer
	sent  chan struct{} // closed when nobody reads the request's body any more
	ended bool          // the callee has ended
	shut  bool          // by Close
	stop  atomic.Bool
}

// raw makes the two connections one.
func (p *Proxy) raw(c *traffic.Call, nc net.Conn) {
	r := &raw{conn: nc, call: c, sent: make(chan struct{})}
	c.Response.Status, c.Response.Body = 200, r
	c.AtEnd(r)
	body := c.Body
	p.tasks.Go(func() {
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
		_ = closeWrite(nc)
	case errors.Is(err, traffic.ErrInterrupted):
	default:
		if t, ok := nc.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		nc.Close()
	}
}

func (r *raw) Next() ([]byte, error) {
	if r.stop.Load() {
		return nil, traffic.ErrInterrupted
	}
	b, err := r.buf.readFrom(r.conn)
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
		if t, ok := r.conn.(*net.TCPConn); ok {
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
	r.buf.release()
}

// End is the call's.
func (r *raw) End(*traffic.Call, time.Time, time.Time) { r.Close(traffic.ErrCanceled) }

// buffer is what a direction reads into: small while little comes, large in a stream.
type buffer struct{ b *[]byte }

const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

var smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
var largeBuffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}

// readFrom lends what it reads until it is called again.
func (x *buffer) readFrom(c net.Conn) ([]byte, error) {
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

func (x *buffer) release() {
	if x.b != nil {
		if len(*x.b) == largeBuffer {
			largeBuffers.Put(x.b)
		} else {
			smallBuffers.Put(x.b)
		}
	}
	x.b = nil
}
