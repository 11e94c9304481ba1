package proxy

import (
	"errors"
	"net"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/proxy/entrance"
	"github.com/weft-mesh/weft/proxy/h1"
	"github.com/weft-mesh/weft/proxy/h2"
	"github.com/weft-mesh/weft/proxy/sniff"
	"github.com/weft-mesh/weft/proxy/tunnel"
	"github.com/weft-mesh/weft/traffic"
)

// talk is what is known of a connection before its first byte: who serves it in which protocol.
type talk struct {
	host     traffic.Host
	info     *traffic.Conn
	proto    traffic.Proto // what the port declares
	remember string        // what the port's protocol is remembered by
	h1       *h1.Server
	h2       func(*h2.Stream)
	tcp      func(*traffic.Call) *span
	conn     net.Conn // what is spoken on, where that is not the accepted connection itself: TLS that has ended
}

// over is the connection that is spoken on.
func (t *talk) over(s *slot) net.Conn {
	if t.conn != nil {
		return t.conn
	}
	return sys.Quicken(s.Conn)
}

// How long to wait for the first bytes of a caller.
const (
	// patience is how long a caller on a port that declares nothing may be silent until its callee is dialled, who may be the one
	// that speaks first. Nearly all who speak first do so at once: dialling for them, too, would cost their callee a connection
	// that nobody uses, and a record of it.
	patience = 20 * time.Millisecond
	// lastPatience is how long a silent caller is kept when its callee could not be called.
	lastPatience = time.Second
)

// converse serves a connection in the protocol that its port declares, else in the one that its first bytes show.
func (p *Proxy) converse(s *slot, t *talk) {
	s.becomes(s.closeIdle) // until something is under way
	switch t.proto {
	case traffic.TCP:
		p.tunnel(s, nil, t)
	case traffic.Detect:
		p.detect(s, t)
	default:
		read, proto, err := sniff.First(s.Conn, s.of.patience(t.h1.Idle), nil)
		switch {
		case len(read) == 0:
			p.silent(s, t, err)
		case err == nil && proto == traffic.HTTP2:
			p.http(s, read, t, proto)
		default:
			p.http(s, read, t, traffic.HTTP1) // what is not HTTP gets HTTP's answer to that
		}
	}
}

// silent lets a connection rest that has not said anything yet, and is not to be answered before it has.
func (p *Proxy) silent(s *slot, t *talk, err error) {
	if isTimeout(err) {
		s.rests(t.h1.Idle, func() { p.converse(s, t) })
	}
}

// http serves requests.
func (p *Proxy) http(s *slot, read []byte, t *talk, proto traffic.Proto) {
	if err := s.Conn.SetReadDeadline(time.Time{}); err != nil {
		return
	}
	if proto == traffic.HTTP2 {
		o := p.h2Options()
		o.IdleTimeout, o.Abused, o.Rest = p.opts.Idle, p.shuns(t.host), s.rest
		if o.Abused != nil {
			o.MaxControl = outsideControl
		}
		so := h2.ServerOptions{Options: o, Trailer: t.h1.Trailer, Host: t.host, Conn: t.info}
		_, so.NoConnect = t.host.(*edge) // browsers then ask for a WebSocket in HTTP/1.1, as most applications have it
		if _, in := t.host.(*inbound); in {
			so.Admit, so.Closing = p.gate.Enter, func() { s.leaves() }
		}
		srv := h2.NewServer(tunnel.WithRead(t.over(s), read), so, t.h2)
		s.becomes(func(bool) { srv.Drain() })
		s.serves(srv, func(error) {}) // breaches were reported
		return
	}
	p.http1(s, read, t)
}

func (p *Proxy) http1(s *slot, read []byte, t *talk) {
	c := t.h1.NewConn(t.over(s), read, t.host, t.info, "http")
	s.becomes(c.Shutdown)
	if err := c.Serve(); err == h1.ErrIdle { // what the caller did wrong was reported
		s.rests(t.h1.Idle, func() { p.http1(s, nil, t) })
	}
}

// outsideControl is h2.Options.MaxControl of callers from outside, half of what others have: as many resets as Envoy takes, and twice the
// streams that a caller may have open. 500 of them cost 20 ms.
const outsideControl = 500

// detect serves a connection to a port that declares nothing: whoever speaks first decides. A caller that is silent for a moment may
// be waiting for its callee, so that one is called; if then the caller is the first after all, and speaks HTTP, nothing has come
// of that.
func (p *Proxy) detect(s *slot, t *talk) {
	wait, known := patience, p.memory.Of(t.remember)
	switch known {
	case sniff.Callee:
		p.tunnel(s, nil, t)
		return
	case sniff.Caller:
		wait = s.of.patience(t.h1.Idle)
	}
	read, proto, err := sniff.First(s.Conn, wait, nil)
	if len(read) == 0 && isTimeout(err) && known != sniff.Caller {
		if read, proto, err = p.try(s, t); read == nil {
			return
		}
	}
	switch {
	case len(read) == 0:
		p.silent(s, t, err)
		return
	case err == nil:
		p.memory.Note(t.remember, sniff.Caller)
	}
	if proto == traffic.HTTP1 || proto == traffic.HTTP2 {
		p.http(s, read, t, proto)
		return
	}
	p.tunnel(s, read, t)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// try calls the callee while nobody has said a word. It returns what the caller said in the end, to be served anew; nil: the
// connection has been served.
func (p *Proxy) try(s *slot, t *talk) (read []byte, proto traffic.Proto, err error) {
	f := newFlow(p, s, t, nil)
	f.gate = &sniff.Gate{}
	f.call.Header.Add(tryHeader, "1")
	span := t.tcp(&f.call)
	span.mute = true
	answered := f.call.Response.Body != nil
	var gate *entrance.Gate
	if answered {
		s.becomes(nil)
		gate = s.leaves() // while it is a tunnel
		f.pump()
	}
	defer f.buf.Release()
	defer p.done(&f.call)
	g := f.gate.Outcome()
	switch {
	case g.Undone && gate != nil && !s.enters(gate):
		return nil, 0, nil
	case g.Undone:
		return g.Read, g.Proto, nil
	case answered || g.Open:
		if span.mute = f.call.Sent == 0 && f.call.Received == 0; g.Callee {
			p.memory.Note(t.remember, sniff.Callee)
		}
		return nil, 0, nil
	}
	// Nobody is there, or it may not be called by TCP. If the caller waits for it to speak, it waits for nothing.
	if read, proto, err = sniff.First(s.Conn, lastPatience, g.Read); len(read) == 0 {
		span.mute = false
		return nil, 0, nil
	}
	return read, proto, err
}
