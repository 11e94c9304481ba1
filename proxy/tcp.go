package proxy

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/proxy/sniff"
	"github.com/weft-mesh/weft/proxy/tunnel"
	"github.com/weft-mesh/weft/traffic"
)

// TCP is a call without a head: the request's body is what the caller sends, the response's what comes back, and each direction
// ends by itself.

// flow is a connection that is served as such a call. It is the request's body.
type flow struct {
	p    *Proxy
	conn net.Conn
	t    *talk
	call traffic.Call
	gate *sniff.Gate // nil: everything passes

	read []byte // what was read before
	buf  tunnel.Buffer
	half atomic.Bool // the callee has ended
	stop atomic.Bool // Interrupt
}

func newFlow(p *Proxy, s *slot, t *talk, read []byte) *flow {
	f := &flow{p: p, conn: t.over(s), t: t, read: read}
	_ = f.conn.SetReadDeadline(time.Time{}) // that of the first bytes; an error shows when it is read
	f.call.Begin(t.host, t.info)
	f.call.Proto, f.call.Now, f.call.Body = traffic.TCP, p.now(), f
	return f
}

// tunnel serves a connection as TCP.
func (p *Proxy) tunnel(s *slot, read []byte, t *talk) {
	f := newFlow(p, s, t, read)
	s.becomes(nil)
	t.tcp(&f.call)
	s.leaves()
	if f.call.Response.Body != nil {
		f.pump()
	}
	p.done(&f.call)
	f.buf.Release()
}

// pump moves what comes back until both directions have ended.
func (f *flow) pump() {
	body := f.call.Response.Body
	for {
		n, err := f.pass(body)
		f.call.Received += int64(n)
		switch {
		case err == io.EOF:
			_ = tunnel.CloseWrite(f.conn)
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

// pass writes what comes back next to the caller.
func (f *flow) pass(body traffic.Body) (n int, err error) {
	var b []byte
	var werr error
	if f.passed() {
		n, err, werr = tunnel.Pass(body, f.conn)
	} else if b, err = body.Next(); len(b) > 0 {
		if n = len(b); !f.gate.CalleeSpoke(b) {
			return n, sniff.ErrUndone
		}
		_, werr = f.conn.Write(b)
	}
	if werr != nil {
		err = errors.Join(traffic.ErrCanceled, werr)
	}
	return n, err
}

// broke ends both sides. The caller sees a reset: it must not take what it got for the whole.
func (f *flow) broke(body traffic.Body, err error) {
	body.Close(err)
	if f.gate != nil && f.gate.Outcome().Undone {
		return // the connection goes on, as HTTP
	}
	f.call.Response.Err = err
	tunnel.Reset(f.conn)
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
			b, err = f.gate.Pass(b, err)
		}
		f.call.Sent += int64(len(b))
		if len(b) > 0 || err != nil {
			return b, err
		}
	}
}

// passed says that no byte needs to be looked at any more.
func (f *flow) passed() bool { return f.gate == nil || f.gate.Passed() }

// Move is Next and a Write, without copying where a stream is in full flow.
func (f *flow) Move(to net.Conn) (n int, read, write error, moved bool) {
	if !f.passed() || f.read != nil || f.stop.Load() { // Next says so
		return 0, nil, nil, false
	}
	f.awaitRest()
	if n, read, write, moved = f.buf.Move(to, f.conn); read != nil && f.stop.Load() {
		read = traffic.ErrInterrupted
	}
	f.call.Sent += int64(n)
	return n, read, write, moved
}

func (f *flow) next() ([]byte, error) {
	if b := f.read; b != nil {
		f.read = nil
		return b, nil
	}
	f.awaitRest()
	return f.buf.ReadFrom(f.conn)
}

// awaitRest bounds the wait for what a caller still sends whose callee has ended.
func (f *flow) awaitRest() {
	if f.half.Load() {
		_ = f.conn.SetReadDeadline(time.Now().Add(halfOpen))
	}
}

// Interrupt wakes a Next that waits.
func (f *flow) Interrupt(on bool) {
	f.stop.Store(on)
	if f.gate != nil {
		f.gate.Leave(on)
	}
	if on {
		_ = f.conn.SetReadDeadline(past)
	} else {
		_ = f.conn.SetReadDeadline(time.Time{})
	}
}

var past = time.Unix(1, 0)

// Close says that no more will be read.
func (f *flow) Close(error) { f.Interrupt(true) }
