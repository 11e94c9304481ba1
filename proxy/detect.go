package proxy

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/proxy/h1"
	"github.com/weft-mesh/weft/proxy/h2"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// talk is what is known of a connection before its first byte: who serves it in which protocol.
type talk struct {
	host     traffic.Host
	info     *traffic.Conn
	proto    traffic.Proto // what the port declares
	remember string        // what the port's protocol is remembered by
	probe    bool          // somebody is there who may speak first
	h1       *h1.Server
	h2       func(*h2.Stream)
	tcp      func(*traffic.Call) *span
}

// How long to wait for the first bytes of a caller.
const (
	// patience is how long a caller on a port that declares nothing may be silent until its callee is dialled, who may be the one
	// that speaks first. Nearly all who speak first do so at once: dialling for them, too, would cost their callee a connection
	// that nobody uses, and a record of it.
	patience = 20 * time.Millisecond
	// lastPatience is how long a silent caller is kept when its callee could not be called.
	lastPatience = time.Second
	// undecided is how long a caller may take from its first byte to what tells its protocol.
	undecided = 10 * time.Second
)

// converse serves a connection in the protocol that its port declares, else in the one that its first bytes show.
func (p *Proxy) converse(s *slot, t talk) {
	s.becomes(func() { s.Conn.Close() }, nil) // until something is under way
	switch t.proto {
	case traffic.TCP:
		p.tunnel(s, nil, t)
	case traffic.Detect:
		p.detect(s, t)
	default:
		read, proto, err := first(s.Conn, min(tick, t.h1.Idle), nil)
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

// tick is how long a silent connection holds a goroutine.
const tick = 500 * time.Millisecond

// silent lets a connection rest that has not said anything yet, and is not to be answered before it has.
func (p *Proxy) silent(s *slot, t talk, err error) {
	if isTimeout(err) {
		s.rests(t.h1.Idle, func() { p.converse(s, t) })
	}
}

// http serves requests.
func (p *Proxy) http(s *slot, read []byte, t talk, proto traffic.Proto) {
	if err := s.Conn.SetReadDeadline(time.Time{}); err != nil {
		return
	}
	if proto == traffic.HTTP2 {
		o := p.h2Options()
		o.IdleTimeout = p.opts.Idle
		srv := h2.NewServer(&readConn{Conn: s.Conn, read: read}, h2.ServerOptions{Options: o, Trailer: t.h1.Trailer, Host: t.host, Conn: t.info}, t.h2)
		s.becomes(srv.Drain, nil)
		_ = srv.Serve() // breaches were reported
		return
	}
	p.http1(s, read, t)
}

func (p *Proxy) http1(s *slot, read []byte, t talk) {
	c := t.h1.NewConn(s.Conn, read, t.host, t.info, "http")
	s.becomes(c.Shutdown, nil)
	if err := c.Serve(); err == h1.ErrIdle { // what the caller did wrong was reported
		s.rests(t.h1.Idle, func() { p.http1(s, nil, t) })
	}
}

// readConn is a connection of which the first bytes were read already.
type readConn struct {
	net.Conn
	read []byte
}

func (c *readConn) Read(b []byte) (int, error) {
	if len(c.read) > 0 {
		n := copy(b, c.read)
		c.read = c.read[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// CloseWrite half-closes.
func (c *readConn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}

// first reads behind have until it is clear what the caller speaks. An error with no bytes read: the caller is silent, or gone.
func first(c net.Conn, wait time.Duration, have []byte) (read []byte, proto traffic.Proto, err error) {
	read = append(make([]byte, 0, firstBytes), have...)
	err = c.SetReadDeadline(time.Now().Add(wait))
	for err == nil {
		var n int
		n, err = c.Read(read[len(read):cap(read)])
		if n > 0 {
			if len(read) == 0 {
				err = errors.Join(err, c.SetReadDeadline(time.Now().Add(undecided)))
			}
			read = read[:len(read)+n]
			if proto, ok := sniff(read); ok {
				return read, proto, nil
			}
		}
	}
	return read, traffic.TCP, err
}

// firstBytes is more than sniff ever wants.
const firstBytes = 512

// methods are those that HTTP/1.1 requests on undeclared ports are known by (RFC 9110 section 9, RFC 5789, RFC 4918, and those of
// the UPnP and WebDAV families that are in use).
var methods = strings.Fields(`GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK
	REPORT SEARCH MERGE MKCALENDAR SUBSCRIBE UNSUBSCRIBE NOTIFY PURGE QUERY`)

// sniff says what a caller speaks from its first bytes; ok false: more are needed. HTTP/2 begins with its preface (RFC 9113 section
// 3.4), HTTP/1.1 with a method, a space, and the target's first character. Everything else is TCP, TLS too.
func sniff(b []byte) (proto traffic.Proto, ok bool) {
	if n := min(len(b), len(http2.Preface)); string(b[:n]) == http2.Preface[:n] {
		return traffic.HTTP2, n == len(http2.Preface)
	}
	more := false
	for _, m := range methods {
		n := min(len(b), len(m)+1)
		switch {
		case string(b[:n]) != (m + " ")[:n]:
		case n < len(m)+1 || len(b) == n:
			more = true
		case b[n] == '/' || b[n] == 'h' || b[n] == '*' || m == "CONNECT":
			return traffic.HTTP1, true
		}
	}
	return traffic.TCP, !more
}

// memory remembers what ports speak: whether the callee speaks first.
type memory struct {
	ports sync.Map // name -> speaker
	n     atomic.Int64
}

type speaker uint8

const (
	nobodyYet speaker = iota
	theCaller
	theCallee
)

const maxMemory = 4096

func (m *memory) of(name string) speaker {
	if v, ok := m.ports.Load(name); ok {
		return v.(speaker)
	}
	return nobodyYet
}

func (m *memory) note(name string, s speaker) {
	if m.of(name) == s {
		return
	}
	if _, old := m.ports.Swap(name, s); !old && m.n.Add(1) > maxMemory {
		m.ports.Clear()
		m.n.Store(0)
	}
}

// detect serves a connection to a port that declares nothing: whoever speaks first decides. A caller that is silent for a moment may
// be waiting for its callee, so that one is called; if then the caller is the first after all, and speaks HTTP, nothing has come
// of that.
func (p *Proxy) detect(s *slot, t talk) {
	wait := patience
	switch known := p.memory.of(t.remember); {
	case known == theCallee:
		p.tunnel(s, nil, t)
		return
	case known == theCaller || !t.probe:
		wait = min(tick, t.h1.Idle)
	}
	read, proto, err := first(s.Conn, wait, nil)
	if len(read) == 0 && isTimeout(err) && wait == patience {
		if read, proto, err = p.try(s, t); read == nil {
			return
		}
	}
	switch {
	case len(read) == 0:
		p.silent(s, t, err)
		return
	case err == nil:
		p.memory.note(t.remember, theCaller)
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
func (p *Proxy) try(s *slot, t talk) (read []byte, proto traffic.Proto, err error) {
	f := newFlow(p, s, t, nil)
	f.gate = &gate{}
	f.call.Header.Add(tryHeader, "1")
	span := t.tcp(&f.call)
	span.mute = true
	answered := f.call.Response.Body != nil
	if answered {
		s.becomes(nil, nil)
		f.pump()
	}
	defer f.buf.release()
	defer p.done(&f.call)
	g := f.gate
	switch {
	case g.undone:
		return g.read, g.proto, nil
	case answered || g.open:
		if span.mute = f.call.Sent == 0 && f.call.Received == 0; g.callee {
			p.memory.note(t.remember, theCallee)
		}
		return nil, 0, nil
	}
	// Nobody is there, or it may not be called by TCP. If the caller waits for it to speak, it waits for nothing.
	if read, proto, err = first(s.Conn, lastPatience, g.read); len(read) == 0 {
		span.mute = false
		return nil, 0, nil
	}
	return read, proto, err
}

// gate holds the first bytes of a caller back until it is clear what they are, unless the callee has spoken before.
type gate struct {
	mu     sync.Mutex
	open   bool          // it is clear: TCP
	callee bool          // because the callee spoke first
	undone bool          // it is HTTP: the try has to be undone
	read   []byte        // what was held back
	proto  traffic.Proto //
}

var errUndone = errors.New("the caller speaks HTTP: a try is undone")

// calleeSpoke opens the gate, unless the try is undone; it says whether the bytes may pass.
func (g *gate) calleeSpoke() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.undone {
		return false
	}
	if !g.open {
		g.open, g.callee = true, len(g.read) == 0
	}
	return true
}

// pass takes what the caller sent and says what may go on.
func (g *gate) pass(b []byte, end error) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open && len(g.read) == 0 {
		return b, end
	}
	g.read = append(g.read, b...)
	if !g.open {
		proto, ok := sniff(g.read)
		switch {
		case ok && proto != traffic.TCP:
			g.undone, g.proto = true, proto
			return nil, errUndone
		case !ok && end == nil:
			return nil, nil // not yet
		}
		g.open = true
	}
	b, g.read = g.read, nil
	if end == io.EOF && len(b) > 0 {
		end = nil // the end comes again
	}
	return b, end
}
