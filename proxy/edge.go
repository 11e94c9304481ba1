package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/proxy/datagram"
	"github.com/weft-mesh/weft/proxy/gateway"
	"github.com/weft-mesh/weft/proxy/h2"
	"github.com/weft-mesh/weft/proxy/stamp"
	"github.com/weft-mesh/weft/proxy/tunnel"
	"github.com/weft-mesh/weft/traffic"
)

// edge is a connection from outside to a gateway: the host of its calls, and their way.
type edge struct {
	engine
	conn    *traffic.Conn
	scheme  string
	session *datagram.Session // of datagrams; nil: it is a connection
}

func (p *Proxy) gatewayName() string { return config.Name(config.KindGateway, p.opts.Gateway) }

// useGateway readies a version of the gateway that the proxy is one of; nil: there is none, and its ports are closed.
func (p *Proxy) useGateway(cfg *config.Gateway) (use func(), err error) {
	if cfg == nil {
		cfg = &config.Gateway{}
	}
	g, err := gateway.New(cfg, p.state, p.store.Find)
	if err != nil {
		return nil, err
	}
	return func() {
		p.entry.Store(g)
		connections, datagrams := g.Ports()
		p.ports.Set(connections)
		p.datagrams.Set(datagrams)
		p.tasks.Go(p.sessions.retire) // who would not be let in now
	}, nil
}

// openPort begins to serve a port of the gateway.
func (p *Proxy) openPort(port uint16, l net.Listener) {
	p.sessions.accept(l, nil, func(s *slot) { p.serveEdge(s, port) })
}

// serveEdge serves a connection to a port of the gateway.
func (p *Proxy) serveEdge(s *slot, port uint16) {
	from := addrOf(s.Conn)
	if p.shunned.Turns(from.Addr(), p.now()) {
		p.opts.Refused("shunned")
		return
	}
	me, err := p.known()
	g := p.entry.Load()
	if err != nil || g == nil {
		p.opts.Refused("no-configuration")
		return
	}
	caller := traffic.Peer{Addr: from}
	caller.Pod = p.callers.Pod(p.ctx, me.cfg, &caller)
	e := &edge{engine: engine{p}, conn: &traffic.Conn{Source: caller, Original: netip.AddrPortFrom(me.cfg.Addr, port)}, scheme: "http"}
	t := &talk{host: e, info: e.conn, proto: traffic.HTTP1, h1: &p.edge, h2: serveEdgeStream, tcp: e.serveTCP}
	_, secure := g.Opens(port)
	if !secure {
		s.holds(func() bool { _, secure := p.entry.Load().Opens(port); return secure })
	}
	switch l := g.Listener(port, ""); {
	case secure:
		s.becomes(s.closeIdle)
		p.serveTLS(s, g, t)
	case l != nil && l.Entry == mesh.EntryTCP:
		t.proto = traffic.TCP
		p.converse(s, t)
	default:
		p.converse(s, t)
	}
}

// serveTLS finds the listener by the name that TLS is begun with, and ends it there or passes it on.
func (p *Proxy) serveTLS(s *slot, g *gateway.Gateway, t *talk) {
	_ = s.Conn.SetDeadline(time.Now().Add(handshakeTime)) // an error shows when it is read
	hello, read, err := gateway.Hello(s.Conn)
	if err != nil {
		p.opts.Refused("tls-handshake")
		return
	}
	e := t.host.(*edge)
	e.conn.SNI = hello.ServerName
	l := g.Listener(e.conn.Original.Port(), hello.ServerName)
	switch {
	case l == nil:
		f := newFlow(p, s, t, nil)
		t.tcp(&f.call) // it is denied, and its record says so
		p.done(&f.call)
		if !g.Passes(e.conn.Original.Port()) { // there, who is nobody's is told nothing: this is no end of TLS
			_, _ = s.Conn.Write(gateway.Unrecognized)
		}
	case l.Entry == mesh.EntryPassthrough:
		_ = s.Conn.SetDeadline(time.Time{})
		p.tunnel(s, read, t)
	default:
		ctx, cancel := context.WithTimeout(p.ctx, handshakeTime)
		defer cancel()
		tc, err := g.End(ctx, tunnel.WithRead(sys.Quicken(s.Conn), read), l, p.opts.Record, func() {
			p.opts.Refused("slow-record")
			s.end()
		})
		if err != nil {
			p.opts.Refused("tls-handshake")
			return
		}
		e.scheme, t.conn = "https", tc
		s.continues(func() { p.serveEnded(s, t, l) })
	}
}

// serveEnded serves what comes by TLS that has ended here.
func (p *Proxy) serveEnded(s *slot, t *talk, l *chain.Listener) {
	tc := t.conn.(*gateway.Conn)
	s.holds(func() bool { return !p.entry.Load().Lets(t.info.Original.Port(), tc.ConnectionState(), p.now()) })
	switch {
	case l.Entry == mesh.EntryTLS:
		p.tunnel(s, nil, t)
	case tc.ConnectionState().NegotiatedProtocol == "h2":
		p.http(s, nil, t, traffic.HTTP2)
	default:
		t.h1 = &p.edgeTLS
		p.http(s, nil, t, traffic.HTTP1)
	}
}

// Serve is the way of a call that came to the gateway.
func (e *edge) Serve(c *traffic.Call) error { return e.p.self.Load().entering.Serve(c) }

// enteredBy is the way of a call that may come to the gateway. It reads the gateway's configuration once.
type enteredBy struct{ p *Proxy }

func (e enteredBy) Serve(c *traffic.Call) error { return e.p.entry.Load().Serve(c) }

// Forward sends an attempt to where it was routed.
func (e *edge) Forward(c *traffic.Call) error {
	if e.session != nil {
		return forwardDatagrams(c, e.session)
	}
	return e.p.forward(c)
}

// now is the connection with the pod that has the caller's address by now. Datagrams are of no pod: anybody may write an address on one.
func (e *edge) now() *traffic.Conn {
	conn := e.conn
	if e.session != nil {
		return conn
	}
	if pod := e.p.callers.Pod(e.p.ctx, e.p.self.Load().config(), &conn.Source); pod != conn.Source.Pod {
		conn = new(*conn)
		conn.Source.Pod = pod
	}
	return conn
}

// rejudge: of calls from outside, who may come.
func (e *edge) rejudge() traffic.Handler { return e.p.self.Load().judging }

// serveEdgeCall is the HTTP/1.1 servers'.
func serveEdgeCall(c *traffic.Call) error {
	c.Host.(*edge).serveHTTP(c)
	return nil
}

func serveEdgeStream(st *h2.Stream) {
	c := st.Call()
	e := c.Host.(*edge)
	e.serveHTTP(c)
	_ = st.Respond() // what breaks it stands in the response
	e.p.done(c)
}

func (e *edge) serveHTTP(c *traffic.Call) {
	s := e.p.start(c, observe.Source)
	c.Attrs.Conn = e.now()
	chain.WithoutH2C(c)
	c.Scheme = e.scheme
	from := c.Source.Addr.Addr()
	if me := e.p.self.Load(); me != nil && me.cfg.Trusts(from) {
		chain.FromTrusted(&c.Header, me.cfg.Trusts)
	} else {
		chain.FromOutside(&c.Header)
	}
	chain.Forwarded(&c.Header, stamp.Addr(&c.Header, from), e.scheme)
	stamp.Identify(&c.Header, e.p.opts.Draw)
	s.serve(c, chain.Within(c, e), true)
	e.p.lasts(c, e)
}

func (e *edge) serveTCP(c *traffic.Call) *span {
	s := e.p.start(c, observe.Source)
	s.serve(c, e, true)
	e.p.lasts(c, e)
	return s
}

var errNoGateway = errors.New("the gateway's configuration has not arrived: is there a Gateway of that name, and is this workload of its account?")

// readyGateway says why calls that come to the gateway cannot be served now, or nil.
func (p *Proxy) readyGateway() error {
	if p.opts.Gateway == "" {
		return nil
	}
	if p.entry.Load() == nil {
		return errNoGateway
	}
	return errors.Join(p.ports.Missing(), p.datagrams.Missing())
}
