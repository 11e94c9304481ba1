package proxy

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/proxy/h2"
	"github.com/weft-mesh/weft/proxy/stamp"
	"github.com/weft-mesh/weft/proxy/tls13"
	"github.com/weft-mesh/weft/traffic"
)

// The protocols that proxies speak with each other, as ALPN names. Under alpnWeft, HTTP calls are streams of their own, whose
// headers say which port and protocol they are for; under alpnHBONE every call is a tunnel (CONNECT), as Istio's ztunnel has it.
const (
	alpnWeft  = "weft/1"
	alpnHBONE = "h2"
)

// inbound is a connection into the workload: the host of its calls.
type inbound struct {
	engine
	from    traffic.Peer
	secure  bool
	tunnels bool // its streams are tunnels only
	xfcc    string
	slot    *slot // of a connection from outside

	last  atomic.Pointer[arrival] // the one looked for last: most connections have one
	mu    sync.Mutex
	ports map[uint16]*arrival // of a connection that has several; bounded: ports that the workload has
}

// arrival is what the calls of a connection to one port have in common.
type arrival struct {
	conn    *traffic.Conn
	to      traffic.Endpoint
	unknown error // why policies cannot know what they want to know of the caller
}

// serveIn serves a connection from another proxy.
func (p *Proxy) serveIn(s *slot) {
	ctx, cancel := context.WithTimeout(p.ctx, handshakeTime)
	defer cancel()
	tc, peer, err := p.opts.Cert.Server(ctx, sys.Quicken(s.Conn), alpnWeft, alpnHBONE)
	if err != nil {
		p.opts.Refused("tls-handshake")
		if !errors.Is(err, context.Canceled) {
			p.opts.Warn(err)
		}
		return
	}
	alpn := tc.ConnectionState().NegotiatedProtocol
	if alpn == "" {
		p.opts.Refused("no-alpn")
		tc.Close()
		return
	}
	nc, err := tls13.Take(tc)
	if err != nil {
		p.opts.Warn(err)
		return
	}
	s.continues(func() { p.servePeer(s, nc, peer, alpn) })
}

func (p *Proxy) servePeer(s *slot, nc net.Conn, peer cert.Peer, alpn string) {
	in := &inbound{engine: engine{p}, secure: true, tunnels: alpn != alpnWeft,
		from: traffic.Peer{Addr: addrOf(s.Conn), ID: peer.ID, Workload: peer.Workload}, xfcc: "By=" + p.opts.ID.String() + ";URI=" + peer.ID.String()}
	o := p.h2Options()
	o.Rest = s.rest
	srv := h2.NewServer(nc, h2.ServerOptions{Options: o, MaxStreams: maxStreams, Trailer: chain.FromPeer, Host: in,
		Conn: &traffic.Conn{Source: in.from, Secure: true}, Admit: p.gate.Enter, Closing: func() { s.leaves() }}, in.serveStream)
	s.becomes(func(bool) { srv.Drain() })
	s.holds(func() bool { return !p.opts.Cert.Trusts(peer) })
	expiry := time.AfterFunc(peer.NotAfter.Sub(p.now()), srv.Drain) // whoever has no newer certificate makes no new calls
	s.serves(srv, func(err error) {
		expiry.Stop()
		if err != nil && p.ctx.Err() == nil {
			p.opts.Warn(err)
		}
	})
}

func addrOf(c net.Conn) netip.AddrPort {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		x := a.AddrPort()
		return netip.AddrPortFrom(x.Addr().Unmap(), x.Port())
	}
	return netip.AddrPort{}
}

// maxStreams is how many calls of one connection are served at a time.
const maxStreams = 1000

// serveStream serves a call from another proxy.
func (in *inbound) serveStream(st *h2.Stream) {
	c := st.Call()
	s := in.p.start(c, observe.Destination)
	s.owed = true // see h2.ServerOptions.Admit
	in.enter(c, s)
	shown := hideSuccess(c)
	err := st.Respond()
	c.Response.Status = shown
	if s.mute && (c.Sent > 0 || c.Received > 0) || err != nil && !left(err) {
		s.mute = false
	}
	in.p.done(c)
}

// hideSuccess hides the status of an application that answers a request to change the protocol without doing so: in an extended
// CONNECT a success would mean that it has (RFC 8441 section 5). It returns the status that it found.
func hideSuccess(c *traffic.Call) (status int) {
	status = c.Response.Status
	if c.Upgrade != "" && c.Proto == traffic.HTTP1 && status/100 == 2 {
		c.Response.Header.Add(statusHeader, strconv.Itoa(status))
		c.Response.Status = 500
	}
	return status
}

// enter finds out what the stream is, and serves it.
func (in *inbound) enter(c *traffic.Call, s *span) {
	port, ok := in.address(c, s)
	if !ok {
		s.serve(c, refusal{400, decision.Malformed}, false)
		return
	}
	way := in.arrive(c, port)
	if c.Proto != traffic.TCP {
		chain.FromPeer(&c.Header)
		c.Header.Add("x-forwarded-client-cert", in.xfcc)
		way = chain.Within(c, way)
	}
	s.serve(c, way, false)
	in.p.lasts(c, in)
}

// address reads what the calling proxy says of the call: by weft's own headers, or as a tunnel's authority.
func (in *inbound) address(c *traffic.Call, s *span) (port uint16, ok bool) {
	proto, known := protoNames[take(&c.Header, protoHeader)]
	if in.tunnels || !known || proto == traffic.TCP {
		return in.tunnel(c, s)
	}
	port, ok = parsePort(take(&c.Header, portHeader))
	c.Target.Service = stamp.Host(take(&c.Header, serviceHeader))
	c.Proto = proto
	if c.Upgrade != "" && proto == traffic.HTTP1 { // RFC 8441 carried it
		c.Method = cmp.Or(take(&c.Header, methodHeader), "GET")
		ok = ok && c.Method != "CONNECT" && c.Upgrade != "h2c" // see chain.WithoutH2C, which the caller's proxy should have asked
	}
	return port, ok
}

// tunnel reads the address of a CONNECT: the application's, which has to be this one's.
func (in *inbound) tunnel(c *traffic.Call, s *span) (port uint16, ok bool) {
	if c.Method != "CONNECT" || c.Upgrade != "" {
		return 0, false
	}
	to, err := netip.ParseAddrPort(c.Authority)
	me, _ := in.p.known()
	if err != nil || me != nil && me.cfg.Addr.IsValid() && !me.cfg.Has(to.Addr().Unmap()) {
		return 0, false
	}
	c.Proto, c.Upgrade = traffic.TCP, ""
	c.Target.Service = stamp.Host(take(&c.Header, serviceHeader))
	s.mute = take(&c.Header, tryHeader) != ""
	return to.Port(), true
}

// arrive gives the call the connection that its port has, and names the application as its callee. It returns the call's way.
func (in *inbound) arrive(c *traffic.Call, port uint16) traffic.Handler {
	a := in.at(port)
	c.Attrs.Conn, c.To, c.Attempts = a.conn, &a.to, 1
	if a.unknown != nil {
		return stranger{a.unknown}
	}
	return in
}

// stranger answers callers of whom policies cannot know what they want to know.
type stranger struct{ why error }

func (s stranger) Serve(c *traffic.Call) error {
	c.Response.Err = s.why
	return c.Reply(503, decision.Verdict{Outcome: decision.Deny, Reason: decision.Unauthenticated})
}

// at is made anew when what is known of the caller has changed.
func (in *inbound) at(port uint16) *arrival {
	me := in.p.self.Load()
	labels, err := in.p.callers.Labels(in.p.ctx, me.config(), &in.from)
	pod := in.p.callers.Pod(in.p.ctx, me.config(), &in.from)
	fits := func(a *arrival) bool {
		return a != nil && err == nil && a.to.Addr.Port() == port && same(a.conn.Source.Labels, labels) && a.conn.Source.Pod == pod &&
			(me == nil || a.to.Addr.Addr() == me.cfg.Addr)
	}
	if a := in.last.Load(); fits(a) {
		return a
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	a := in.ports[port]
	if fits(a) {
		in.last.Store(a)
		return a
	}
	from := in.from
	from.Labels, from.Pod = labels, pod
	a = &arrival{unknown: err, conn: &traffic.Conn{Source: from, Secure: in.secure}, to: traffic.Endpoint{ID: in.p.opts.ID, Workload: in.p.opts.Workload}}
	if me != nil {
		a.to.Addr = netip.AddrPortFrom(me.cfg.Addr, port)
	} else {
		a.to.Addr = netip.AddrPortFrom(netip.IPv4Unspecified(), port)
	}
	a.conn.Original = a.to.Addr
	if me != nil && err == nil {
		in.keep(a)
	}
	return a
}

// keep remembers an arrival, the first without a map: connections that idle have one.
func (in *inbound) keep(a *arrival) {
	old := in.last.Swap(a)
	if old == nil || len(in.ports) >= 100 {
		return
	}
	if in.ports == nil {
		in.ports = map[uint16]*arrival{}
	}
	in.ports[old.to.Addr.Port()], in.ports[a.to.Addr.Port()] = old, a
}

// same says whether two lists are one: labels are replaced, never changed.
func same(a, b []string) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// Serve is the way of a call into the workload. It reads the configuration once.
func (in *inbound) Serve(c *traffic.Call) error {
	me, err := in.p.known()
	if err != nil {
		c.Response.Err = err
		return c.Reply(503, decision.Verdict{Outcome: decision.Deny, Reason: decision.NoService})
	}
	if c.To.Addr.Addr() != me.cfg.Addr { // the configuration came while the call waited for it
		if way := in.arrive(c, c.Port()); way != traffic.Handler(in) {
			return way.Serve(c)
		}
	}
	if _, ok := me.ports[c.Port()]; !ok && len(me.ports) > 0 && !in.p.opts.AnyPort {
		return refusal{503, decision.NoService}.Serve(c)
	}
	return me.in.Serve(c)
}

// Forward sends the call to the application.
func (in *inbound) Forward(c *traffic.Call) error { return in.p.deliver(c) }

// rejudge: of calls into the workload, all that judges them.
func (in *inbound) rejudge() traffic.Handler { return in.p.self.Load().in }

// refusal answers what has no way.
type refusal struct {
	status int
	why    decision.Reason
}

func (r refusal) Serve(c *traffic.Call) error {
	return c.Reply(r.status, decision.Verdict{Outcome: decision.Deny, Reason: r.why})
}

// servePub serves a connection from outside of the mesh to one port of the workload.
func (p *Proxy) servePub(s *slot, l Published) {
	port := l.Port
	if l.Original != nil {
		to, err := l.Original(s.Conn)
		if err != nil {
			p.opts.Refused("no-destination")
			p.opts.Warn(err)
			return
		}
		port = to.Port()
	}
	in := &inbound{engine: engine{p}, from: traffic.Peer{Addr: addrOf(s.Conn)}}
	in.slot = s
	if p.shunned.Turns(in.from.Addr.Addr(), p.now()) {
		p.opts.Refused("shunned")
		return
	}
	me, err := p.known()
	if err != nil {
		p.opts.Refused("no-configuration")
		return
	}
	proto, ok := me.ports[port]
	if !ok {
		proto = traffic.Detect
	}
	p.converse(s, &talk{host: in, info: in.at(port).conn, proto: proto, remember: "app:" + portName(port), h1: &p.in, h2: servePublishedStream,
		tcp: in.serveTCP})
}

// shuns is who hears that a connection, on which HTTP/2 begins now, is lost for what its caller did: it is for those from outside. A
// proxy in front, though, speaks for many.
func (p *Proxy) shuns(host traffic.Host) func() {
	var from netip.Addr
	switch h := host.(type) {
	case *inbound:
		from = h.from.Addr.Addr()
	case *edge:
		from = h.conn.Source.Addr.Addr()
	}
	if me := p.self.Load(); !from.IsValid() || me != nil && me.cfg.Trusts(from) {
		return nil
	}
	began := p.now()
	return func() { p.shunned.Breach(from, began, p.now()) }
}

// servePublished is the HTTP/1.1 server's.
func servePublished(c *traffic.Call) error {
	in := c.Host.(*inbound)
	in.serveHTTP(c, false)
	if c.Response.Status == 101 { // what follows is no call
		in.slot.leaves()
	}
	return nil
}

func servePublishedStream(st *h2.Stream) {
	c := st.Call()
	in := c.Host.(*inbound)
	in.serveHTTP(c, true)
	_ = st.Respond()
	in.p.done(c)
}

// serveHTTP serves a call from outside. taken: the gate counts it.
func (in *inbound) serveHTTP(c *traffic.Call, taken bool) {
	s := in.p.start(c, observe.Destination)
	way := s.enter(in.arrive(c, c.Port()), taken)
	chain.WithoutH2C(c)
	if me := in.p.self.Load(); me.cfg.Trusts(in.from.Addr.Addr()) {
		chain.FromTrusted(&c.Header, me.cfg.Trusts)
	} else {
		chain.FromOutside(&c.Header)
	}
	chain.Forwarded(&c.Header, stamp.Addr(&c.Header, c.Source.Addr.Addr()), "http")
	stamp.Identify(&c.Header, in.p.opts.Draw)
	s.serve(c, chain.Within(c, way), true)
	in.p.lasts(c, in)
}

func (in *inbound) serveTCP(c *traffic.Call) *span {
	s := in.p.start(c, observe.Destination)
	s.serve(c, s.enter(in.arrive(c, c.Port()), false), true)
	in.p.lasts(c, in)
	return s
}
