package h1

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http1"
)

// Server answers callers. Its fields are set once, before the first connection; zero fields take the value in brackets.
type Server struct {
	// Serve answers a call: it returns once c.Response has a head, or an error. It runs on the connection's goroutine.
	Serve func(c *traffic.Call) error
	// Done hears of the end of each call that Serve got, when both bodies have ended: the place to finish and record it. What
	// broke a response off is in c.Response.Err. Strings of the call are good until it returns. [nobody hears]
	Done func(c *traffic.Call)
	// Refused hears of each caller that was turned away before there was a call: an *http1.Error, ErrSlow or ErrCrowded. [nobody hears]
	Refused func(info *traffic.Conn, err error)
	// Trailer takes from a request's trailers what may not come from its sender. [all come through]
	Trailer func(h *traffic.Header)

	// Parks says that whoever serves a connection can wait for its next byte without it: Serve returns ErrIdle then. [Serve waits]
	Parks bool
	// Crowded says that a connection which has hardly been used is given up soon, with Parks. [it is not]
	Crowded func() bool

	Limits   http1.Limits  // of heads and trailers
	Head     time.Duration // for the whole head of a request, from its first byte [30 s]
	Idle     time.Duration // for the first byte of a request [1 h]
	Body     time.Duration // for the next bytes of a request's body, while they are waited for [60 s]
	Rate     int           // bytes a second that a request's body has to bring while it is waited for, beyond a first Body of time [any]
	Heads    int64         // bytes of memory that heads of which a part is missing may hold, all connections together [64 MiB]
	Write    time.Duration // for a write to make progress [60 s]
	HalfOpen time.Duration // a tunnel that the callee has half-closed is cut after so long without a byte from the caller [5 min]

	once sync.Once
	held atomic.Int64 // against Heads
}

func (s *Server) defaults() {
	s.Limits = s.Limits.Or()
	for _, d := range []struct {
		d *time.Duration
		v time.Duration
	}{{&s.Head, 30 * time.Second}, {&s.Idle, time.Hour}, {&s.Body, time.Minute}, {&s.Write, time.Minute}, {&s.HalfOpen, 5 * time.Minute}} {
		if *d.d <= 0 {
			*d.d = d.v
		}
	}
	if s.Heads <= 0 {
		s.Heads = 64 << 20
	}
	if s.Done == nil {
		s.Done = func(*traffic.Call) {}
	}
	if s.Refused == nil {
		s.Refused = func(*traffic.Conn, error) {}
	}
}

// Conn is a caller's connection.
type Conn struct {
	s      *Server
	nc     net.Conn
	info   *traffic.Conn
	host   traffic.Host
	scheme string
	in     reader
	out    writer
	x      *exchange // of the request being served; nil while idle
	inform func(int, *traffic.Header)
	watch  watch
	sent   func(wrote int, err error) func() []byte // answered, made once

	ahead *probe // see hasMore; made for the first look
	held  bool   // the end of the response waits in out for the next request to be waited for
	over  bool   // the connection is not to be read again
	looks uint8  // of ahead
	eager bool

	mu    sync.Mutex // of what follows, of the body's expects, and of out until the final head is written, as long as a write takes
	final bool       // the final head has been begun: no interim response may follow

	idle     bool       // waiting for the first byte of a request; of ends, as are
	draining bool       //
	hasty    bool       // draining, and closed where it would idle
	ends     sync.Mutex // held for no time, so that whoever ends connections does not wait for callers
}

// exchange is what one request needs; a connection has none between two requests.
type exchange struct {
	call traffic.Call
	req  http1.Request
	scan http1.Scan
	body requestBody
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// NewConn readies a connection. scheme is http or https; read is what was already read from nc.
func (s *Server) NewConn(nc net.Conn, read []byte, host traffic.Host, info *traffic.Conn, scheme string) *Conn {
	s.once.Do(s.defaults)
	c := &Conn{s: s, nc: nc, info: info, host: host, scheme: scheme, in: reader{conn: nc}, out: newWriter(nc, s.Write)}
	c.in.preload(read)
	c.inform = c.interim
	return c
}

// Serve answers requests until the connection ends, and closes it. The error says what the caller did wrong, if it did; ErrIdle
// says that the connection goes on, and that a new Conn is to serve it when there is something to read.
func (c *Conn) Serve() error {
	err := c.serve()
	if err != ErrIdle {
		c.nc.Close()
	}
	c.watch.stop()
	c.in.use(len(c.in.bytes()))
	c.in.release()
	c.out.release()
	c.letGo()
	return err
}

func (c *Conn) serve() error {
	for {
		err := c.head()
		if err == ErrIdle {
			return err
		}
		if err != nil {
			return c.refuse(err)
		}
		again := c.exchange()
		if c.held {
			continue
		}
		c.out.release()
		c.letGo() // the next request may be another connection's, and finds it warm
		if !again {
			return nil
		}
	}
}

// Shutdown makes the response that is next announce the end of the connection. idle: if the connection is idle it is closed at
// once, though a request may just be on its way.
func (c *Conn) Shutdown(idle bool) {
	c.ends.Lock()
	defer c.ends.Unlock()
	c.draining, c.hasty = true, c.hasty || idle
	if c.idle && c.hasty {
		c.in.interrupt(true)
	}
}

// Close ends the connection whatever it is doing.
func (c *Conn) Close() { c.nc.Close() }

// letGo gives the exchange back, without what it refers to.
func (c *Conn) letGo() {
	if c.x != nil {
		c.x.call.Begin(nil, nil)
		c.x.body.c = nil
		exchanges.Put(c.x)
		c.x = nil
	}
}

// errOver is an end between two requests: nobody did anything wrong.
var errOver = errors.New("over")

// head reads the head of the next request into c.x.
func (c *Conn) head() error {
	if err := c.await(); err != nil {
		return err
	}
	c.x = exchanges.Get().(*exchange)
	c.x.scan = http1.Scan{}
	n, err := c.x.scan.Head(c.in.bytes(), &c.s.Limits)
	if n == 0 && err == nil {
		n, err = c.missing()
	}
	if err != nil {
		return err
	}
	return c.begin(n)
}

// missing waits for the rest of a head. All that wait so share a bound on memory: nobody knows yet who they are.
func (c *Conn) missing() (n int, err error) {
	until, held := time.Now().Add(c.s.Head), 0
	defer func() { c.s.held.Add(-int64(held)) }()
	for n == 0 {
		more := len(c.in.buf) - held
		if held += more; c.s.held.Add(int64(more)) > c.s.Heads {
			return 0, ErrCrowded
		}
		if err := c.in.fill(until); err != nil {
			return 0, c.cut(err)
		}
		if n, err = c.x.scan.Head(c.in.bytes(), &c.s.Limits); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// cut is an end in the middle of a head. The empty line that some senders put behind a body is not a head.
func (c *Conn) cut(err error) error {
	switch {
	case len(bytes.Trim(c.in.bytes(), "\r\n")) == 0:
		return errOver
	case err == io.EOF:
		return http1.ErrTruncated
	}
	return err
}

// await waits for the first byte of a request, for long only if nobody else can.
func (c *Conn) await() error {
	if len(c.in.bytes()) > 0 {
		return nil
	}
	c.in.hurried = c.looks < maxLooks && c.s.Parks && c.s.Crowded != nil && c.s.Crowded()
	err := c.look()
	if left := c.spare(); err == ErrSlow && left > 0 {
		err = c.in.fill(time.Now().Add(left))
	}
	if err == ErrSlow {
		if c.s.Parks {
			return c.idles()
		}
		err = c.in.fill(time.Now().Add(c.s.Idle))
	}
	c.rest(false)
	if err != nil {
		return errOver
	}
	return nil
}

// spare is what is left of the tick since the last response: the deadline that has passed may be an earlier wait's. To rest and to be woken
// costs more than the call itself; at 1,000 calls a second by 32 callers, one of sixteen would.
func (c *Conn) spare() time.Duration {
	return c.in.tick() - (time.Since(c.out.begin) - c.out.last)
}

// look waits for a tick. ErrSlow: nothing has come.
func (c *Conn) look() error {
	if c.held {
		return c.answer()
	}
	if !c.rest(true) {
		return errOver
	}
	return c.in.glance()
}

// idles gives the connection up, unless it was told to end meanwhile.
func (c *Conn) idles() error {
	c.ends.Lock()
	defer c.ends.Unlock()
	if c.hasty {
		return errOver
	}
	return ErrIdle
}

// drains says whether the response that is next is the last one.
func (c *Conn) drains() bool {
	c.ends.Lock()
	defer c.ends.Unlock()
	return c.draining
}

// rest notes that the connection idles, or does no more; false: it is to be closed instead.
func (c *Conn) rest(idle bool) bool {
	c.ends.Lock()
	defer c.ends.Unlock()
	if c.idle = idle; !idle {
		c.in.interrupt(false)
	}
	return !c.hasty
}

// begin makes the call of the head that is the next n bytes.
func (c *Conn) begin(n int) error {
	x := c.x
	call, req := &x.call, &x.req
	call.Begin(c.host, c.info)
	if err := req.Parse(own(&call.Header, c.in.bytes()[:n])); err != nil {
		return err
	}
	if req.Scheme == "https" && c.scheme == "http" {
		return http1.ErrUnsecured
	}
	c.in.use(n)
	call.Proto, call.Method, call.Scheme, call.Authority = traffic.HTTP1, req.Method, c.scheme, req.Authority
	call.Path, call.Query, call.Upgrade = traffic.NormalPath(req.Path), req.Query, strings.ToLower(req.Upgrade)
	if req.Scheme != "" {
		call.Scheme = req.Scheme
	}
	for _, f := range req.Fields {
		if f.Name == "expect" && !req.Expects {
			continue
		}
		call.Header.Receive(f.Name, f.Value)
	}
	if req.Minor > 0 { // "a server MUST NOT send a 1xx response to an HTTP/1.0 client" (RFC 9110 section 15.2)
		call.Inform = c.inform
	}
	call.Now = c.host.Now()
	c.final = false
	x.body.start(c)
	c.watch.begin(c)
	call.Gone = c.watch.gone
	c.in.release()
	return nil
}

// own copies a head into memory of the header that will lend its strings, and returns the copy to be parsed, which puts
// names into lower case in place.
func own(h *traffic.Header, head []byte) []byte {
	s := h.LendBytes(head)
	return unsafe.Slice(unsafe.StringData(s), len(s))
}

// interim passes an interim response on. That of 100 is the request body's to send: it knows when its bytes are wanted.
func (c *Conn) interim(status int, h *traffic.Header) {
	if status == 100 || status == 101 || status/100 != 1 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.final {
		return
	}
	b, ok := appendFields(http1.AppendStatusLine(c.out.buffer(), status), h)
	if !ok {
		return
	}
	c.out.keep(append(b, crlf...))
	c.out.flush() // an error shows when the final response is written
}

// proceed sends 100 Continue, unless the final response is on its way: then the body may never come.
func (c *Conn) proceed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.final {
		return errClosed
	}
	c.x.body.expects = false
	c.out.keep(append(http1.AppendStatusLine(c.out.buffer(), 100), crlf...))
	return c.out.flush()
}
