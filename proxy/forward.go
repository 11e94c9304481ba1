package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/proxy/h1"
	"github.com/weft-mesh/weft/proxy/h2"
	"github.com/weft-mesh/weft/proxy/stamp"
	"github.com/weft-mesh/weft/proxy/tunnel"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http1"
)

// forward sends an attempt of a call out of the workload to c.To.
func (p *Proxy) forward(c *traffic.Call) error {
	to, mode, s := c.To, traffic.Mutual, c.Secures()
	if s != nil {
		mode = s.Mode
	}
	var err error
	switch {
	case mode == traffic.Simple:
		err = p.forwardPlain(c, place{addr: to.Addr, tls: true, sni: cmp.Or(s.SNI, c.Target.Service), check: s.Key}, connectTimeout(c.Upstream))
	case mode > traffic.Required:
		err = fmt.Errorf("%w: a policy lets no call be made: %s", traffic.ErrConnect, s.Why)
	case mode == traffic.Required && !to.Mutual():
		err = fmt.Errorf("%w: a policy wants mutual TLS, and %s has no proxy that takes it", traffic.ErrConnect, cmp.Or(to.Workload, to.Addr.String()))
	case mode == traffic.Clear || !to.Mutual():
		take(&c.Header, tryHeader)
		err = p.forwardPlain(c, place{addr: to.Addr}, connectTimeout(c.Upstream))
	default:
		err = p.forwardMesh(c)
	}
	if err != nil {
		return c.Fail(blame(c, err))
	}
	return nil
}

// blame says of an error whether it is the endpoint's doing. It is not where something is missing here, or the caller did not send its
// request within the time for the whole call; nobody reads the request's body any more.
func blame(c *traffic.Call, err error) error {
	if sys.Short(err) || errors.Is(err, errLinksFull) || errors.Is(err, traffic.ErrDeadline) && c.Body != nil && !traffic.Ready(c.Body) {
		return fmt.Errorf("%w: %w", err, traffic.ErrBlameless)
	}
	return err
}

// sends is how often a call is handed to another link because the first one did not take it: nothing was sent then. A burst of calls
// to a place without a link finds several full until more are dialled: with 1 TestHeldStreams gets answers of 503 each time, with 4 it once did.
const sends = 16

// forwardMesh sends an attempt to another proxy.
func (p *Proxy) forwardMesh(c *traffic.Call) error {
	w := place{peer: c.To.ID, addr: c.To.Tunnel}
	h := tunnelHeader(c)
	if c.Proto != traffic.TCP {
		p.announce(c)
	}
	for n := 1; ; n++ {
		l, err := p.links.get(c, w)
		if err != nil {
			return err
		}
		err = l.carry(c, h)
		if !(errors.Is(err, h2.ErrFull) || errors.Is(err, h2.ErrGoingAway)) || n == sends {
			return err
		}
		c.Response.Err = nil
	}
}

// announce tells the callee's proxy what the call is for, and who makes it.
func (p *Proxy) announce(c *traffic.Call) {
	h := &c.Header
	if _, copied := h.Get(portHeader); copied { // a mirror's: it was announced for where the call itself went
		h.Del(portHeader)
		h.Del(protoHeader)
		h.Del(serviceHeader)
		h.Del(methodHeader)
	} else if !c.Source.ID.IsZero() { // a gateway's has been added when it came
		chain.Forwarded(h, stamp.Addr(h, c.Source.Addr.Addr()), c.Scheme)
	}
	h.Add(portHeader, stamp.Port(h, c.To.Addr.Port()))
	h.Add(protoHeader, spoken(c).String())
	if c.Target.Service != "" {
		h.Add(serviceHeader, c.Target.Service)
	}
	if c.Upgrade != "" && c.Method != "GET" {
		h.Add(methodHeader, c.Method)
	}
}

// spoken is what the application is to be spoken to in: what its caller speaks, but for one that speaks HTTP/2 alone. Callers from outside
// speak the best that the gateway does, and know nothing of applications: these are spoken to in HTTP/1.1 unless they declare HTTP/2, or
// the call is one of gRPC, which has nothing else.
func spoken(c *traffic.Call) traffic.Proto {
	u := c.Upstream
	takes2 := u != nil && (u.Connect.Upgrade || u.Proto == traffic.HTTP2 || u.Proto == traffic.GRPC)
	switch _, enters := c.Host.(*edge); {
	case c.Upgrade != "" || c.Method == "CONNECT":
	case c.Proto == traffic.HTTP1 && takes2:
		return traffic.HTTP2
	case c.Proto == traffic.HTTP2 && enters && !takes2:
		return traffic.HTTP1
	}
	return c.Proto
}

// tunnelHeader is what a tunnel begins with.
func tunnelHeader(c *traffic.Call) *traffic.Header {
	if c.Proto != traffic.TCP {
		return nil
	}
	h := &traffic.Header{}
	h.Add(protoHeader, traffic.TCP.String())
	if c.Target.Service != "" {
		h.Add(serviceHeader, c.Target.Service)
	}
	if take(&c.Header, tryHeader) != "" {
		h.Add(tryHeader, "1")
	}
	return h
}

// carry sends a call by the link.
func (l *link) carry(c *traffic.Call, tunnel *traffic.Header) error {
	switch {
	case tunnel != nil:
		if err := l.Connect(c, c.To.Addr.String(), tunnel); err != nil {
			return err
		}
		if c.Response.Status/100 != 2 {
			return refused(c)
		}
		c.Response.Status = 200
	case !l.weft:
		return fmt.Errorf("%w: the proxy of %s takes tunnels only, and HTTP in tunnels is not supported", traffic.ErrConnect, c.To.Workload)
	default:
		if err := l.RoundTrip(c); err != nil {
			return err
		}
		if err := unreached(c); err != nil {
			return err
		}
		if v := take(&c.Response.Header, statusHeader); v != "" { // see hideSuccess
			if n, err := strconv.Atoi(v); err == nil && n >= 200 && n < 300 {
				c.Response.Status = n
			}
		}
	}
	if c.Response.Body != nil {
		l.watch(c)
	}
	return nil
}

// unreached tells an answer of the callee's proxy, that the application gave none, from one of the application's: whether the call
// can be made again depends on it.
func unreached(c *traffic.Call) error {
	if c.Response.Status < 500 && c.Proto != traffic.GRPC {
		return nil
	}
	switch why, _ := c.Response.Header.Get(stamp.ErrorHeader); why {
	case decision.ConnectFailed.String():
		return drop(c, fmt.Errorf("%w: the application of %s does not take connections from its proxy", traffic.ErrConnect, c.To.Workload))
	case decision.ResetByPeer.String():
		if c.Response.Status == 502 {
			return drop(c, fmt.Errorf("%w: the application of %s: %w", traffic.ErrReset, c.To.Workload, errNoHTTP))
		}
		return drop(c, fmt.Errorf("%w: the application of %s broke the call off", traffic.ErrReset, c.To.Workload))
	}
	return nil
}

// errNoHTTP is an answer that another proxy could not read.
var errNoHTTP = &http1.Error{Status: 502, Reason: "the answer is no HTTP", Rule: "RFC 9110 section 15.6.3"}

// refused ends a tunnel that the callee's proxy did not open. Denials stand, anything else may go better elsewhere.
func refused(c *traffic.Call) error {
	status := c.Response.Status
	if status == 401 || status == 403 {
		body := c.Response.Body
		if c.Response.Body = nil; body != nil {
			body.Close(traffic.ErrCanceled)
		}
		c.Because(decision.Verdict{Outcome: decision.Deny, Reason: decision.NoRuleAllows}) // by which rule stands in the callee's record
		return nil
	}
	return drop(c, fmt.Errorf("%w: the proxy of %s answers a connection with %d", traffic.ErrConnect, c.To.Workload, status))
}

// drop throws an answer away.
func drop(c *traffic.Call, err error) error {
	if c.Response.Body != nil {
		c.Response.Body.Close(err)
	}
	c.Response = traffic.Response{}
	return err
}

// watch notes that the call is a bulky one, as far as its heads tell, so that the link gets no neighbours for it.
func (l *link) watch(c *traffic.Call) {
	n, _ := c.Header.Get("content-length")
	m, _ := c.Response.Header.Get("content-length")
	if c.Proto == traffic.TCP || big(n) || big(m) {
		l.bulk.Add(1)
		c.AtEnd((*bulk)(l))
	}
}

// big says whether a content-length is of a million bytes, which have seven digits, or more.
func big(length string) bool { return len(length) > 6 }

type bulk link

// End lets the link have other calls again.
func (b *bulk) End(*traffic.Call, time.Time, time.Time) { b.bulk.Add(-1) }

// deliver sends a call to the application.
func (p *Proxy) deliver(c *traffic.Call) error {
	at := place{addr: netip.AddrPortFrom(netip.Addr{}, c.Port())}
	if err := p.forwardPlain(c, at, appTime); err != nil {
		return c.Fail(err)
	}
	chain.Strip(&c.Response.Header, func(name string) bool { return strings.HasPrefix(name, "weft-") }) // what proxies alone say
	return nil
}

// forwardPlain sends a call to what is no proxy, in the protocol that it speaks.
func (p *Proxy) forwardPlain(c *traffic.Call, at place, timeout time.Duration) (err error) {
	switch spoken(c) {
	case traffic.TCP:
		return p.forwardTCP(c, at, timeout)
	case traffic.HTTP1:
		err = p.forwardHTTP1(c, at, timeout)
	default:
		err = p.forwardHTTP2(c, at)
	}
	if err == nil {
		p.dates.Add(&c.Response, p.now)
	}
	return err
}

func (p *Proxy) forwardHTTP2(c *traffic.Call, at place) error {
	for n := 1; ; n++ {
		l, err := p.links.get(c, at)
		if err != nil {
			return err
		}
		err = l.RoundTrip(c)
		if !(errors.Is(err, h2.ErrFull) || errors.Is(err, h2.ErrGoingAway)) || n == sends {
			return err
		}
		c.Response.Err = nil
	}
}

// forwardHTTP1 takes another connection where the first was closed before anything was sent by it, or as a request was sent that may
// be sent twice.
func (p *Proxy) forwardHTTP1(c *traffic.Call, at place, timeout time.Duration) error {
	for {
		cl, fresh, err := p.take(c, at, timeout)
		if err != nil {
			return err
		}
		err = cl.RoundTrip(c)
		if fresh || !errors.Is(err, h1.ErrStale) && !(errors.Is(err, h1.ErrIdleClosed) && h1.Repeatable(c)) {
			return err
		}
		c.Response.Err = nil
	}
}

// take returns a connection that carries one call at a time.
func (p *Proxy) take(c *traffic.Call, at place, timeout time.Duration) (cl *h1.Client, fresh bool, err error) {
	if !at.addr.Addr().IsValid() {
		return p.app.Get(c, at.addr.Port(), timeout)
	}
	return p.plain.Get(c, at, timeout)
}

// dialPort is the application's pool's.
func (p *Proxy) dialPort(c *traffic.Call, port uint16, timeout time.Duration) (net.Conn, error) {
	return p.dialPlain(c, place{addr: netip.AddrPortFrom(netip.Addr{}, port)}, timeout)
}

func (p *Proxy) dialPlain(c *traffic.Call, at place, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := p.until(c, timeout)
	defer cancel()
	nc, _, _, err := p.connect(ctx, at, c.Secures(), "http/1.1")
	if err != nil {
		return nil, p.late(c, err)
	}
	return nc, nil
}

// forwardTCP opens a connection for the call alone.
func (p *Proxy) forwardTCP(c *traffic.Call, at place, timeout time.Duration) error {
	ctx, cancel := p.until(c, timeout)
	defer cancel()
	nc, err := p.dialTCP(ctx, c, at)
	if err != nil {
		return p.late(c, err)
	}
	tunnel.Join(c, nc, p.tasks.Go)
	return nil
}

// dialTCP lets the application see from where it is called, where that can be.
func (p *Proxy) dialTCP(ctx context.Context, c *traffic.Call, at place) (net.Conn, error) {
	if at.addr.Addr().IsValid() {
		nc, _, _, err := p.connect(ctx, at, c.Secures())
		return nc, err
	}
	nc, err := p.opts.DialApp(ctx, at.addr.Port(), c.Source.Addr.Addr())
	if err != nil {
		return nil, errors.Join(traffic.ErrConnect, err)
	}
	return sys.Quicken(nc), nil
}

func portName(port uint16) string { return strconv.Itoa(int(port)) }

// refusedHTTP counts requests that were none.
func (p *Proxy) refusedHTTP(_ *traffic.Conn, err error) {
	switch {
	case errors.Is(err, h1.ErrSlow):
		p.opts.Refused("slow-request")
	case errors.Is(err, h1.ErrCrowded):
		p.opts.Refused("crowded")
	default:
		p.opts.Refused("malformed-request")
	}
}

// until bounds a dial by the call's deadline too.
func (p *Proxy) until(c *traffic.Call, timeout time.Duration) (context.Context, context.CancelFunc) {
	if at := c.Deadline.At; !at.IsZero() {
		timeout = min(timeout, at.Sub(p.now()))
	}
	return context.WithTimeout(p.ctx, timeout)
}

// late tells a deadline of the call's from one of the dial's.
func (p *Proxy) late(c *traffic.Call, err error) error {
	if at := c.Deadline.At; !at.IsZero() && !p.now().Before(at) {
		return traffic.ErrDeadline
	}
	return err
}
