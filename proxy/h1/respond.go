package h1

import (
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http1"
)

// exchange serves the call that head has read; false: the connection cannot carry another request. If the response waits in c.out, the
// call is not over yet.
func (c *Conn) exchange() (again bool) {
	x := c.x
	if err := c.s.Serve(&x.call); x.call.Response.Status == 0 {
		x.body.fail(&x.call, err)
	}
	keep, err := c.respond(&x.call, x.req.Persists)
	if c.held {
		return true
	}
	again = c.finish(keep, err)
	switch {
	case errors.Is(err, errBroken):
		c.reset()
	case !again && err == nil:
		c.linger()
	}
	return again
}

// finish ends a call whose response has been written, or could not be.
func (c *Conn) finish(keep bool, err error) (again bool) {
	x := c.x
	x.call.Response.Err = firstError(x.call.Response.Err, err)
	c.watch.end()
	again = x.body.leave(keep && err == nil) && keep && err == nil
	c.s.Done(&x.call)
	return again
}

// holds says that the end of the response may wait for the next request to be waited for: it leaves then at once, and a look at the
// connection is saved that would hardly ever find something, 0.4 µs of the 14 that a hop costs.
func (c *Conn) holds(keep bool) bool {
	_, c.held = c.nc.(asker)
	c.held = c.held && keep && len(c.out.out) > 0 && len(c.in.bytes()) == 0 && c.x.body.dec.Framing().Kind == http1.NoBody && !c.hasMore()
	return c.held
}

// hasMore says that the caller does not wait for the response before it says more, or ends: what came before the next request is waited
// for would be noticed a tick too late. Such callers are looked for behind their first responses, and whenever a tick has passed.
func (c *Conn) hasMore() bool {
	if c.looks < maxLooks && !c.eager {
		c.looks++
		if c.ahead == nil {
			c.ahead = new(probe)
		}
		c.eager = c.ahead.look(c.nc) != sawNothing
	}
	return c.eager
}

const maxLooks = 4

// answer writes the response that waits, ends its call, and looks for the next request as glance does.
func (c *Conn) answer() error {
	if c.held = false; c.sent == nil {
		c.sent = c.answered
	}
	err := c.out.arm()
	if err == nil {
		var told bool
		if told, err = c.in.ask(c.nc.(asker), c.out.out, c.sent, time.Time{}, true); told {
			switch {
			case c.over:
				return errOver
			case err == ErrSlow && c.ahead.look(c.nc) != sawNothing:
				c.eager = true
				return c.in.glance()
			}
			return err
		}
	}
	c.answered(0, err) // nothing could be written
	return errOver
}

// answered hears what was written of the response that waited.
func (c *Conn) answered(_ int, err error) (room func() []byte) {
	c.in.told, c.over = true, !c.finish(true, left(slow(err)))
	c.out.release()
	c.letGo()
	if c.over = c.over || !c.rest(true); c.over {
		return nil
	}
	return c.in.room
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// fail answers where Serve did not. A body that the caller broke is the caller's fault, whatever became of the call.
func (b *requestBody) fail(call *traffic.Call, err error) {
	status := 502
	var bad *http1.Error
	switch {
	case b.err == ErrSlow:
		status = 408
	case errors.As(b.err, &bad):
		status = bad.Status
	case errors.Is(err, ErrRequest):
		status = 400
	case errors.Is(err, traffic.ErrDeadline):
		status = 504
	case errors.Is(err, traffic.ErrConnect), errors.Is(err, traffic.ErrRefused):
		status = 503
	}
	call.Response.Status, call.Response.Local, call.Response.Err = status, true, err
}

// errBroken is a response that cannot be completed: the caller must see that it is cut off.
var errBroken = errors.New("the response broke off")

// respond writes the response. keep: both sides agree that the connection can go on, as far as the response goes.
func (c *Conn) respond(call *traffic.Call, persists bool) (keep bool, err error) {
	f, keep := c.startResponse(call, persists)
	body := call.Response.Body
	switch f.Kind {
	case http1.Tunnel:
		return false, c.tunnel(call)
	case http1.NoBody:
		if !c.holds(keep) {
			err = c.out.flush()
		}
		if body != nil {
			body.Close(err)
		}
		return keep, left(err)
	}
	n, err := c.pump(call, body, f)
	if err != nil {
		body.Close(err)
		return false, err
	}
	if f.Kind == http1.Sized && n != f.Length {
		c.out.flush() // what came before is the caller's
		return false, errors.Join(errBroken, errors.New("the response's body is not as long as its Content-Length says"))
	}
	if !c.holds(keep) {
		err = c.out.flush()
	}
	return keep, left(err)
}

func left(err error) error {
	if err != nil && !errors.Is(err, ErrSlow) {
		return errors.Join(ErrLeft, err)
	}
	return err
}

// startResponse puts the head into c.out and says how the body is to be framed.
func (c *Conn) startResponse(call *traffic.Call, persists bool) (f http1.Framing, keep bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.final = true
	keep = persists && !c.drains() && !c.x.body.expects && !(call.Response.Local && c.x.body.isBroken())
	at := len(c.out.buffer())
	b, f, ok := c.appendResponse(c.out.out, call, keep)
	if !ok { // it came from a filter or by HTTP/2, and would have become a second response
		call.Response.Err = ErrRequest
		if call.Response.Body != nil {
			call.Response.Body.Close(ErrRequest)
		}
		call.Response.Body, call.Response.Status = nil, 502
		b, f = c.local(b[:at], call, keep)
	}
	c.out.keep(b)
	if f.Kind != http1.Tunnel {
		c.x.body.decide(refused)
	}
	return f, keep && f.Kind != http1.UntilClose
}

// appendResponse appends the head of the response.
func (c *Conn) appendResponse(b []byte, call *traffic.Call, keep bool) (_ []byte, f http1.Framing, ok bool) {
	r := &call.Response
	f = c.frame(call)
	b = http1.AppendStatusLine(b, r.Status)
	if b, ok = appendFields(b, &r.Header); !ok {
		return b, f, false
	}
	if r.Local {
		b = appendDate(b, r, call.Now)
	}
	switch {
	case f.Kind == http1.Sized:
		b = http1.AppendLength(b, f.Length)
	case f.Kind == http1.Chunked:
		b = append(b, "transfer-encoding: chunked\r\n"...)
	case f.Kind == http1.NoBody && r.Status != 204 && r.Status >= 200:
		b = appendNoBody(b, call)
	}
	switch {
	case r.Status == 101:
		b, ok = http1.AppendField(append(b, "connection: upgrade\r\n"...), "upgrade", call.Upgrade)
	case f.Kind == http1.Tunnel:
	case !keep || f.Kind == http1.UntilClose:
		b = append(b, "connection: close\r\n"...)
	case c.x.req.Minor == 0:
		b = append(b, "connection: keep-alive\r\n"...)
	}
	return append(b, crlf...), f, ok
}

// local appends the head of a response without a field or a body.
func (c *Conn) local(b []byte, call *traffic.Call, keep bool) ([]byte, http1.Framing) {
	b = appendDate(http1.AppendStatusLine(b, call.Response.Status), &traffic.Response{}, call.Now)
	if !keep {
		b = append(b, "connection: close\r\n"...)
	}
	return append(http1.AppendLength(b, 0), crlf...), http1.Framing{}
}

// appendDate dates what has no other origin than this proxy (RFC 9110 section 6.6.1).
func appendDate(b []byte, r *traffic.Response, now time.Time) []byte {
	if _, ok := r.Header.Get("date"); ok {
		return b
	}
	b = append(b, "date: "...)
	b = now.UTC().AppendFormat(b, "Mon, 02 Jan 2006 15:04:05 GMT")
	return append(b, crlf...)
}

// appendNoBody tells the length of a body that is not sent: that of a HEAD or 304 as the callee gave it; else there is none.
func appendNoBody(b []byte, call *traffic.Call) []byte {
	if http1.HasBody(call.Method, call.Response.Status) {
		return http1.AppendLength(b, 0)
	}
	if n, ok := length(&call.Response.Header); ok {
		return http1.AppendLength(b, n)
	}
	if bytes, ok := call.Response.Body.(*traffic.Bytes); ok && call.Response.Status != 304 {
		return http1.AppendLength(b, int64(len(bytes.B)))
	}
	return b
}

// frame decides how the response's body will be framed.
func (c *Conn) frame(call *traffic.Call) http1.Framing {
	r := &call.Response
	switch {
	case r.Status == 101 && call.Upgrade != "", call.Method == "CONNECT" && r.Status/100 == 2:
		return http1.Framing{Kind: http1.Tunnel}
	case r.Body == nil || !http1.HasBody(call.Method, r.Status):
		return http1.Framing{}
	}
	if bytes, ok := r.Body.(*traffic.Bytes); ok {
		return http1.Framing{Kind: http1.Sized, Length: int64(len(bytes.B))}
	}
	n, sized := length(&r.Header)
	_, trailers := r.Header.Get("trailer")
	switch {
	case c.x.req.Minor > 0 && (!sized || trailers):
		return http1.Framing{Kind: http1.Chunked}
	case sized:
		return http1.Framing{Kind: http1.Sized, Length: n}
	}
	return http1.Framing{Kind: http1.UntilClose}
}

func length(h *traffic.Header) (int64, bool) {
	v, ok := h.Get("content-length")
	if !ok {
		return 0, false
	}
	return http1.ParseLength(v)
}

// appendFields appends the fields that go from end to end; those of the hop are written by whoever knows it.
func appendFields(b []byte, h *traffic.Header) (_ []byte, ok bool) {
	cookies := false
	for name, value := range h.All {
		switch {
		case ofHop(name), name == "cookie" && cookies:
			continue
		case name == "cookie":
			cookies = true
			value = joinCookies(h, value)
		}
		if b, ok = http1.AppendField(b, name, value); !ok {
			return b, false
		}
	}
	return b, true
}

// joinCookies makes one field of the several that HTTP/2 may have (RFC 9113 section 8.2.3).
func joinCookies(h *traffic.Header, first string) string {
	all := first
	n := 0
	for name, value := range h.All {
		if name != "cookie" {
			continue
		}
		if n++; n > 1 {
			all += "; " + value
		}
	}
	return all
}

func ofHop(name string) bool {
	switch name {
	case "connection", "content-length", "transfer-encoding", "keep-alive", "proxy-connection", "upgrade", "te", "host", "http2-settings":
		return true
	}
	return false
}

// pump writes the response's body. What is there already is gathered, and leaves before the body is waited for; its end is left in c.out.
func (c *Conn) pump(call *traffic.Call, body traffic.Body, f http1.Framing) (n int64, err error) {
	for {
		if !traffic.Ready(body) {
			if err := c.out.flush(); err != nil {
				return n, left(err)
			}
			c.out.release()
		}
		b, err := body.Next()
		if f.Kind == http1.Sized && n+int64(len(b)) > f.Length {
			b, err = b[:f.Length-n], errors.Join(errBroken, ErrRequest)
		}
		n += int64(len(b))
		call.Received += int64(len(b))
		c.watch.beats.Add(1)
		if werr := c.out.body(b, f.Kind); werr != nil {
			return n, left(werr)
		}
		if err == io.EOF {
			if f.Kind == http1.Chunked {
				c.out.keep(appendTrailers(c.out.buffer(), &call.Response.Trailer))
			}
			return n, nil
		}
		if err != nil {
			c.out.flush() // what came before is the caller's
			return n, errors.Join(errBroken, err)
		}
	}
}

// appendTrailers appends the end of a chunked body. A field that cannot stand there is left out: trailers may be.
func appendTrailers(b []byte, h *traffic.Header) []byte {
	b = append(b, "0\r\n"...)
	for name, value := range h.All {
		if !http1.Forbidden(name) {
			b, _ = http1.AppendField(b, name, value)
		}
	}
	return append(b, crlf...)
}

// tunnel moves bytes of another protocol until both ends have said that they will send no more. Those of the caller are moved
// by whoever forwards the call.
func (c *Conn) tunnel(call *traffic.Call) error {
	if err := c.out.flush(); err != nil {
		return left(err)
	}
	c.watch.end() // a half-closed tunnel goes on
	rb := &c.x.body
	rb.decide(tunnel)
	body := call.Response.Body
	if body != nil {
		_, err := c.pump(call, body, http1.Framing{Kind: http1.Tunnel})
		if err == nil {
			err = left(c.out.flush())
		}
		if err != nil {
			body.Close(err)
			return err
		}
	}
	closeWrite(c.nc)
	rb.drainTunnel()
	if body != nil {
		body.Close(nil)
	}
	return nil
}

// closeWrite half-closes a connection, if it can be.
func closeWrite(nc net.Conn) {
	if h, ok := nc.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite() // the peer may have gone
		return
	}
	nc.Close()
}

// lingerer is a TCP connection.
type lingerer interface{ SetLinger(sec int) error }

// reset closes the connection so that the caller cannot take what it got for the whole: TLS too ends without its close_notify.
func (c *Conn) reset() {
	nc := below(c.nc)
	if t, ok := nc.(lingerer); ok {
		t.SetLinger(0)
	}
	nc.Close()
}

// linger lets a caller that still sends read the response: closing at once would reset the connection, and the reset may
// overtake the response (RFC 9112 section 9.6).
func (c *Conn) linger() {
	closeWrite(c.nc)
	_ = c.in.discard(maxDrain, time.Now().Add(lingering)) // whatever comes, the connection ends
}

const lingering = 500 * time.Millisecond

// refuse answers what is not a request, and says what it was.
func (c *Conn) refuse(err error) error {
	var bad *http1.Error
	switch {
	case errors.As(err, &bad):
	case errors.Is(err, ErrSlow):
		bad = &http1.Error{Status: 408, Reason: "the head took too long", Rule: "RFC 9110 section 15.5.9"}
	case errors.Is(err, ErrCrowded):
		bad = &http1.Error{Status: 503, Reason: ErrCrowded.Error(), Rule: "RFC 9110 section 15.6.4"}
	default:
		return nil
	}
	c.s.Refused(c.info, err)
	text := strings.TrimPrefix(bad.Error(), "http1: ") + "\n"
	b := http1.AppendStatusLine(c.out.buffer(), bad.Status)
	b = appendDate(b, &traffic.Response{}, c.host.Now())
	b = append(b, "content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"...)
	b = append(http1.AppendLength(b, int64(len(text))), crlf...)
	c.out.keep(append(b, text...))
	if c.out.flush() == nil {
		c.linger()
	}
	return err
}
