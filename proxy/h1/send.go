package h1

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http1"
)

// send writes the head and what there is of the body; the pump sends the rest.
func (c *Client) send() error {
	f, err := c.appendRequest()
	if err != nil {
		return err
	}
	c.pump.framing = f
	switch {
	case f.Kind != http1.Tunnel && c.call.Body == nil && c.asker != nil:
		c.pump.all, c.asks = true, true
		return nil
	case f.Kind == http1.Tunnel, c.call.Body == nil:
		c.pump.all = true
		return c.out.flush()
	case c.expects():
		c.pump.held, c.pump.until = true, time.Now().Add(c.o.Continue)
		return c.out.flush()
	}
	c.pump.begin()
	return nil
}

func (c *Client) expects() bool {
	v, ok := c.call.Header.Get("expect")
	return ok && strings.EqualFold(v, "100-continue")
}

// appendRequest puts the head of the call into c.out, and says how its body is to be framed.
func (c *Client) appendRequest() (f http1.Framing, err error) {
	call := c.call
	path := call.Path
	if call.Method == "CONNECT" {
		path = call.Authority
	}
	b, ok := http1.AppendRequestLine(c.out.buffer(), call.Method, path, call.Query)
	if !ok {
		return f, fmt.Errorf("%w: method %q, path %q, or its query", ErrRequest, call.Method, call.Path) // a query may hold secrets
	}
	if b, ok = http1.AppendHost(b, call.Authority); !ok {
		return f, fmt.Errorf("%w: the authority", ErrRequest) // it may hold a password
	}
	if b, ok = appendFields(b, &call.Header); !ok {
		return f, fmt.Errorf("%w: a header field", ErrRequest)
	}
	if b, f, err = c.appendFraming(b); err != nil {
		return f, err
	}
	c.out.keep(append(b, crlf...))
	return f, nil
}

// appendFraming appends the fields that are for this hop.
func (c *Client) appendFraming(b []byte) (_ []byte, f http1.Framing, err error) {
	call := c.call
	te, _ := call.Header.Get("te")
	teTrailers := strings.EqualFold(te, "trailers")
	if call.Method == "CONNECT" {
		return b, http1.Framing{Kind: http1.Tunnel}, nil
	}
	if call.Upgrade != "" {
		b, ok := http1.AppendField(append(b, "connection: upgrade\r\n"...), "upgrade", call.Upgrade)
		if !ok {
			err = fmt.Errorf("%w: upgrade %q", ErrRequest, call.Upgrade)
		}
		return b, http1.Framing{Kind: http1.Tunnel}, err
	}
	if teTrailers {
		b = append(b, "te: trailers\r\nconnection: te\r\n"...)
	}
	v, given := call.Header.Get("content-length")
	n, ok := http1.ParseLength(v)
	switch {
	case given && !ok, n > 0 && call.Body == nil:
		return b, f, fmt.Errorf("%w: content-length %q", ErrRequest, v)
	case given:
		return http1.AppendLength(b, n), http1.Framing{Kind: http1.Sized, Length: n}, nil
	case call.Body != nil:
		return append(b, "transfer-encoding: chunked\r\n"...), http1.Framing{Kind: http1.Chunked}, nil
	case call.Method == "POST", call.Method == "PUT", call.Method == "PATCH": // "SHOULD" (RFC 9110 section 8.6)
		b = http1.AppendLength(b, 0)
	}
	return b, http1.Framing{}, nil
}

// pump sends a request's body.
type pump struct {
	c       *Client
	framing http1.Framing
	sent    int64
	held    bool          // it waits for 100 Continue, at most until
	until   time.Time     //
	all     bool          // the request has been sent to its end
	last    atomic.Bool   // its end is being written
	broken  error         // what ended the body too early
	done    chan struct{} // closed when the goroutine ends; nil: there was none
}

// inline is how many bytes of a body are sent before the response is listened to: a write of that much does not wait for a
// peer that waits for us.
const inline = small

// begin sends what is there already, on the caller's goroutine, and starts another for the rest if there is any.
func (p *pump) begin() {
	for p.sent < inline && traffic.Ready(p.c.call.Body) {
		if !p.step() {
			return
		}
	}
	if p.c.out.flush() == nil {
		p.start()
	}
}

func (p *pump) start() {
	p.held = false
	p.done = make(chan struct{})
	go p.run()
}

func (p *pump) run() {
	defer close(p.done)
	for p.flushed() && p.step() {
	}
}

// flushed lets what was gathered leave before the body is waited for.
func (p *pump) flushed() bool {
	if traffic.Ready(p.c.call.Body) {
		return true
	}
	if p.c.out.flush() != nil {
		p.abandon()
		return false
	}
	p.c.out.release()
	return true
}

// step sends the next bytes; false: there are no more, or it makes no sense to go on.
func (p *pump) step() bool {
	b, err := p.c.call.Body.Next()
	p.sent += int64(len(b))
	if p.framing.Kind == http1.Sized && p.sent > p.framing.Length {
		p.fail(fmt.Errorf("%w: the body is longer than its content-length", ErrRequest))
		return false
	}
	if werr := p.write(b); werr != nil {
		p.abandon()
		return false
	}
	switch err {
	case nil:
		return true
	case io.EOF:
		p.end()
	case traffic.ErrInterrupted:
	default:
		p.fail(fmt.Errorf("the request's body: %w", err))
	}
	return false
}

// write writes body bytes. Those that complete a Sized body leave at once: the request is whole then, though the body has not
// said yet that it has ended.
func (p *pump) write(b []byte) error {
	whole := p.framing.Kind == http1.Sized && p.sent == p.framing.Length && !p.all
	if whole {
		p.last.Store(true)
	}
	err := p.c.out.body(b, p.framing.Kind)
	if whole && err == nil {
		err = p.c.out.flush()
		p.all = err == nil
	}
	return err
}

// end ends the request as the body has ended.
func (p *pump) end() {
	p.last.Store(true)
	switch p.framing.Kind {
	case http1.Sized:
		if !p.all {
			p.fail(fmt.Errorf("%w: the body is shorter than its content-length", ErrRequest))
		}
		return
	case http1.Chunked:
		p.c.out.keep(appendTrailers(p.c.out.buffer(), &p.c.call.Trailer))
	}
	if p.c.out.flush() != nil {
		p.abandon()
		return
	}
	if p.all = true; p.framing.Kind == http1.Tunnel {
		closeWrite(p.c.nc)
	}
	p.c.out.release()
}

// fail ends the connection: the request cannot be completed, and the callee must not take it for whole.
func (p *pump) fail(err error) {
	p.broken = err
	p.c.Close()
}

// abandon sends no more. A peer that takes no more may have answered early: what it says decides.
func (p *pump) abandon() {
	p.all = false
	if p.framing.Kind == http1.Tunnel {
		p.c.call.Body.Close(errClosed)
	}
}

// stop ends the pump, and says whether the request was sent to its end. Nobody reads the body when it returns.
func (p *pump) stop() bool {
	if p.done == nil || isClosed(p.done) {
		return p.all
	}
	if !p.last.Load() {
		p.c.Close() // ends a write that waits
	}
	p.c.call.Body.Interrupt(true)
	<-p.done
	p.c.call.Body.Interrupt(false)
	return p.all
}

// wait lets the pump come to its own end.
func (p *pump) wait() {
	if p.done != nil {
		<-p.done
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
