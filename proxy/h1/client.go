package h1

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http1"
)

// Options are what connections to a callee have in common. They are set once, before the first connection; zero fields take the
// value in brackets.
type Options struct {
	// Release hears once of each RoundTrip, when the call or the attempt has ended: the connection can be used again, or it
	// has been closed. It may be called on any goroutine of the call. [nobody hears]
	Release func(c *Client, reusable bool)

	Limits   http1.Limits  // of heads and trailers
	Write    time.Duration // for a write to make progress [60 s]
	Continue time.Duration // how long a body waits for 100 Continue before it is sent all the same [1 s]

	once sync.Once
}

func (o *Options) defaults() {
	o.Limits = o.Limits.Or()
	if o.Write <= 0 {
		o.Write = time.Minute
	}
	if o.Continue <= 0 {
		o.Continue = time.Second
	}
	if o.Release == nil {
		o.Release = func(*Client, bool) {}
	}
}

// Client is a connection to a callee. It carries one call at a time; while it idles it holds no buffer.
type Client struct {
	nc     net.Conn
	o      *Options
	in     reader
	out    writer
	res    http1.Response
	scan   http1.Scan
	body   responseBody
	pump   pump
	probe  probe
	call   *traffic.Call
	idleAt time.Time
	used   bool // it has carried a call
	heard  bool // something came back
	whole  bool // request and response have ended, and the connection stands at the next
	closed atomic.Bool
	asker  asker                                    // nc, if it is one
	asks   bool                                     // the request goes out when its answer is waited for
	cut    error                                    // why it did not go out whole
	sent   func(wrote int, err error) func() []byte // asked, made once
}

// NewClient readies a connection, which the Client owns from now on. o is shared, and must not change.
func NewClient(nc net.Conn, o *Options) *Client {
	o.once.Do(o.defaults)
	q, _ := nc.(asker)
	return &Client{nc: nc, o: o, in: reader{conn: nc}, out: newWriter(nc, o.Write), asker: q}
}

// Close ends the connection. A call that is on it fails.
func (c *Client) Close() {
	c.closed.Store(true)
	c.nc.Close()
}

// IdleAt is when the last call ended; zero: there was none.
func (c *Client) IdleAt() time.Time { return c.idleAt }

// RoundTrip sends the call and returns at the response head, which is then in call.Response. It reads call.Body at the same
// time, as traffic.Host says of Forward. Call.Deadline, read anew each time that the response is waited for, holds until the
// response's body has ended. After an error the connection is closed.
func (c *Client) RoundTrip(call *traffic.Call) error {
	call.AtEnd(c)
	c.call, c.whole, c.heard, c.in.gone, c.out.wrote = call, false, false, call.Gone, false
	c.pump = pump{c: c}
	if c.used && c.doubtful(call) && c.probe.look(c.nc) != sawNothing {
		c.Close()
		return ErrStale
	}
	c.in.interrupt(false)
	err := c.send()
	if c.pump.done == nil && !c.asks {
		c.out.release()
	}
	if err == nil {
		err = c.receive()
	}
	if err == nil {
		return c.deliver()
	}
	c.Close()
	c.pump.stop()
	return c.why(err)
}

// doubtful says whether to look at a connection before a call is sent by it: it has been unused for a while, or the call cannot be
// sent again should the callee have closed it.
func (c *Client) doubtful(call *traffic.Call) bool {
	return !Repeatable(call) || call.Now.Sub(c.idleAt) > time.Second
}

// Repeatable says whether a call may be sent again when its connection was closed as it was sent: "a client can automatically retry
// [...] if all the requests [...] are idempotent" (RFC 9110 section 9.2.2).
func Repeatable(call *traffic.Call) bool {
	if call.Body != nil {
		return false
	}
	switch call.Method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// why says what an error before the response head means to the call.
func (c *Client) why(err error) error {
	var bad *http1.Error
	switch {
	case c.pump.broken != nil: // the request's body: its own fault
		return c.pump.broken
	case errors.Is(err, ErrSlow) && c.late():
		return traffic.ErrDeadline
	case errors.Is(err, ErrRequest), errors.Is(err, traffic.ErrCanceled):
		return err
	case errors.As(err, &bad):
		return errors.Join(traffic.ErrReset, err)
	case !c.out.wrote:
		return errors.Join(traffic.ErrRefused, err)
	case c.used && !c.heard:
		return ErrIdleClosed
	}
	return errors.Join(traffic.ErrReset, err)
}

func (c *Client) late() bool {
	at := c.call.Deadline.At
	return !at.IsZero() && !time.Now().Before(at)
}

// receive waits for the response head.
func (c *Client) receive() error {
	c.scan = http1.Scan{}
	for interim := 0; interim < maxInterim; {
		n, err := c.scan.Head(c.in.bytes(), &c.o.Limits)
		switch {
		case err != nil:
			return err
		case n == 0:
			if err := c.wait(); err != nil {
				return err
			}
			continue
		}
		if err := c.res.Parse(own(&c.call.Response.Header, c.in.bytes()[:n]), c.call.Method); err != nil {
			return err
		}
		c.in.use(n)
		if c.res.Status >= 200 || c.res.Status == 101 {
			return nil
		}
		c.interim()
		c.scan = http1.Scan{}
		interim++
	}
	return &http1.Error{Status: 502, Reason: "too many interim responses", Rule: "RFC 9110 section 15.2"}
}

const maxInterim = 64

// wait reads more. The time that a body waits for 100 may end meanwhile.
func (c *Client) wait() error {
	until := c.call.Deadline.At
	if c.asks {
		return c.ask(until)
	}
	if c.pump.held && (until.IsZero() || c.pump.until.Before(until)) {
		if err := c.in.fill(c.pump.until); err != ErrSlow {
			c.heard = c.heard || err == nil
			return err
		}
		c.pump.start()
		return nil
	}
	err := c.in.fill(until)
	c.heard = c.heard || err == nil
	return err
}

// ask sends the request and waits for the first bytes of its answer.
func (c *Client) ask(until time.Time) error {
	c.asks = false
	defer c.out.release()
	if err := c.out.arm(); err != nil {
		return err
	}
	if c.sent == nil {
		c.sent = c.asked
	}
	told, err := c.in.ask(c.asker, c.out.out, c.sent, until, false)
	switch {
	case !told:
		return slow(err)
	case c.cut != nil:
		return slow(c.cut)
	}
	c.heard = err == nil
	return err
}

// asked hears what was written of a request.
func (c *Client) asked(wrote int, err error) (room func() []byte) {
	if c.in.told, c.out.wrote, c.cut = true, wrote > 0, err; err != nil {
		return nil
	}
	return c.in.room
}

// interim passes an interim response on; 100 Continue is for the request's body, which passes it on by being read.
func (c *Client) interim() {
	if c.res.Status == 100 {
		if c.pump.held {
			c.pump.start()
		}
		return
	}
	if c.call.Inform == nil {
		return
	}
	var h traffic.Header
	for _, f := range c.res.Fields {
		h.Receive(f.Name, f.Value)
	}
	c.call.Inform(c.res.Status, &h)
}

// deliver hands the final head over.
func (c *Client) deliver() error {
	r := &c.call.Response
	if c.res.Status == 101 && (c.call.Upgrade == "" || !strings.EqualFold(c.res.Upgrade, c.call.Upgrade)) {
		c.Close()
		c.pump.stop()
		return errors.Join(traffic.ErrReset, http1.ErrUnasked)
	}
	r.Status = c.res.Status
	for _, f := range c.res.Fields {
		r.Header.Receive(f.Name, f.Value)
	}
	c.body.start(c)
	if c.res.Framing.Kind == http1.NoBody {
		c.finish(nil)
		return nil
	}
	r.Body = &c.body
	if c.res.Framing.Kind == http1.Tunnel && c.call.Body != nil {
		c.pump.start()
	}
	return nil
}

// finish ends the exchange: the response has ended, or nobody wants the rest. The request's body is not read any more when
// it returns.
func (c *Client) finish(err error) {
	sent := c.pump.stop()
	c.whole = err == nil && sent && c.res.Persists && len(c.in.bytes()) == 0 && !c.closed.Load()
	if !c.whole {
		c.Close()
	}
	c.in.use(len(c.in.bytes()))
	c.in.release()
	c.out.release()
}

// End implements traffic.Ender: the call is over, and with it all that was lent from this connection.
func (c *Client) End(_ *traffic.Call, _, now time.Time) {
	if !c.whole {
		c.Close()
		c.pump.stop()
		c.in.use(len(c.in.bytes()))
		c.in.release()
		c.out.release()
	}
	reusable := c.whole
	c.call, c.in.gone, c.used, c.idleAt = nil, nil, true, now
	c.o.Release(c, reusable)
}

// responseBody is what the callee sends after its head.
type responseBody struct {
	incoming
	c *Client
}

func (b *responseBody) start(c *Client) {
	b.c = c
	b.begin(&c.in, c.res.Framing, c.o.Limits)
}

func (b *responseBody) Next() ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	isTunnel := b.dec.Framing().Kind == http1.Tunnel
	var until time.Time
	if !isTunnel {
		until = b.c.call.Deadline.At
	}
	data, err := b.next(until)
	switch {
	case err == nil, err == traffic.ErrInterrupted, err == io.EOF && isTunnel:
		return data, err // the caller may go on sending through a half-closed tunnel: Close waits for that
	case err == io.EOF:
		b.trailers(&b.c.call.Response.Trailer)
		b.c.finish(nil)
		return nil, io.EOF
	case err == ErrSlow:
		err = traffic.ErrDeadline
	}
	b.c.finish(err)
	if b.c.pump.broken != nil {
		err = b.c.pump.broken
	}
	b.err = err
	return nil, err
}

func (b *responseBody) Ready() bool { return b.ready() }

func (b *responseBody) Interrupt(on bool) { b.in.interrupt(on) }

func (b *responseBody) Close(err error) {
	switch {
	case b.err == io.EOF && b.dec.Framing().Kind == http1.Tunnel && err == nil:
		b.c.pump.wait()
		b.c.finish(errClosed)
	case b.err == nil || b.dec.Framing().Kind == http1.Tunnel:
		b.err = errClosed
		b.c.finish(errClosed)
	}
}
