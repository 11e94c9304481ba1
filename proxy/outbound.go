package proxy

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/proxy/h2"
	"github.com/weft-mesh/weft/proxy/held"
	"github.com/weft-mesh/weft/proxy/stamp"
	"github.com/weft-mesh/weft/traffic"
)

// outbound is a connection of the workload's own: the host of its calls, and their way.
type outbound struct {
	engine
	to netip.AddrPort // where it was going

	// One of the following says what is there.
	entry  *held.Entry       // a service: its port is port
	direct *traffic.Endpoint // an address that is called as it is
	nobody error             // nothing that may be called, and why

	target traffic.Target
	proto  traffic.Proto
	up     *traffic.Upstream // of direct
	at     *config.Address   // whose the address of direct is; nil: no workload's
}

// serveOut serves a connection of the workload's.
func (p *Proxy) serveOut(s *slot, l Outbound) {
	to, err := l.Original(s.Conn)
	if err != nil {
		p.opts.Refused("no-destination")
		p.opts.Warn(err)
		return
	}
	o := p.wayTo(netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	me, _ := p.known()
	info := &traffic.Conn{Original: o.to}
	if me != nil {
		info.Source = me.peer
	} else {
		info.Source = traffic.Peer{ID: p.opts.ID, Workload: p.opts.Workload}
	}
	p.converse(s, p.alike(o, info))
}

// alike is what is known of a connection to a service, the same for all that are alike: 0.5 KB less for each that idles.
func (p *Proxy) alike(o *outbound, info *traffic.Conn) *talk {
	last := &p.latest[o.to.Port()%uint16(len(p.latest))]
	if t := last.Load(); t != nil && t.host.(*outbound).same(o) && t.info.Original == info.Original && sameSource(&t.info.Source, &info.Source) {
		return t
	}
	t := &talk{host: o, info: info, proto: o.proto, remember: o.name(), h1: &p.out, h2: serveOutboundStream, tcp: o.serveTCP}
	if o.entry != nil {
		last.Store(t)
	}
	return t
}

// same says whether two connections go to the same port of a service, and nothing else is known of either.
func (o *outbound) same(x *outbound) bool {
	return o.entry == x.entry && o.to == x.to && o.target == x.target && o.proto == x.proto && o.at == x.at &&
		o.direct == nil && x.direct == nil && o.nobody == nil && x.nobody == nil && o.up == nil && x.up == nil
}

func sameSource(a, b *traffic.Peer) bool {
	return a.Addr == b.Addr && a.ID == b.ID && a.Workload == b.Workload && slices.Equal(a.Labels, b.Labels)
}

// name is what the protocol of a port is remembered by.
func (o *outbound) name() string {
	if o.entry != nil {
		return o.target.String()
	}
	return o.to.String()
}

// wayTo finds what is at an address: a service by its virtual IP; an endpoint of one; any other workload; else, outside of the mesh's own
// addresses, whoever is there.
func (p *Proxy) wayTo(to netip.AddrPort) *outbound {
	o := &outbound{engine: engine{p}, to: to, proto: traffic.Detect}
	if _, err := p.known(); err != nil {
		o.nobody = err
		return o
	}
	ctx, cancel := context.WithTimeout(p.ctx, p.opts.Lookup)
	defer cancel()
	e, a, err := p.store.ByIP(ctx, to.Addr(), p.now())
	if a != nil {
		for _, host := range a.Members {
			_, _ = p.service(ctx, host) // for toEndpoint; without an answer the callee is the one that was chosen
		}
	}
	o.at = a
	switch {
	case e != nil:
		o.service(e, to.Port())
	case p.toEndpoint(o):
	case err != nil: // it may be a service's: it is not for an unencrypted call to find out
		o.nobody = err
	case a != nil:
		w, proto := a.At(to.Port())
		o.direct, o.up, o.proto = &w, &traffic.Upstream{Proto: proto}, proto
	case p.ofMesh(to.Addr()):
		o.nobody = errNoService
	default:
		o.direct, o.up = &traffic.Endpoint{Addr: to}, &traffic.Upstream{Proto: traffic.Detect}
	}
	return o
}

// service goes to a port of a service.
func (o *outbound) service(e *held.Entry, port uint16) {
	svc := e.Now()
	if svc == nil {
		o.nobody = errNoService
		return
	}
	o.target = traffic.Target{Service: svc.Config.Host, Port: port}
	if svc.Way.Port(port) == nil {
		o.nobody = absent(svc.Way.Lacks(svc.Config.Host, port))
		return
	}
	o.entry, o.proto = e, svc.Way.Proto(port)
}

// toEndpoint goes to an endpoint of a service by the endpoint's own address, as callers of a headless service do: rules hold where
// there are any, else the caller gets the one that it chose. Who calls a workload that no headless service leads to means that one.
func (p *Proxy) toEndpoint(o *outbound) bool {
	namespace, _, _ := strings.Cut(p.opts.Workload, "/")
	e, port, to := p.store.ByEndpoint(o.to, o.at, namespace)
	if e == nil {
		return false
	}
	svc := e.Now()
	if svc == nil {
		return false
	}
	o.target = traffic.Target{Service: svc.Config.Host, Port: port.Number}
	if o.proto = port.Proto; svc.Config.Headless && port.Route != (decision.Ref{}) {
		o.entry = e
		return true
	}
	o.direct, o.up = to, chain.Upstream(&port.Pools[0].Policy, port.Proto)
	return true
}

// ofMesh says whether an address is the mesh's to give.
func (p *Proxy) ofMesh(a netip.Addr) bool {
	for _, x := range p.opts.Mesh {
		if x.Contains(a) {
			return true
		}
	}
	return false
}

// absent says what the mesh, which knows it, does not have.
type absent string

const errNoService absent = "no service of the mesh is there"

func (a absent) Error() string { return string(a) }

// Serve is the way of a call that came by the connection. It reads the configuration once.
func (o *outbound) Serve(c *traffic.Call) error {
	c.Target = o.target // of a service that has no such port too: the record names it
	if o.nobody != nil {
		return o.refuse(c, o.nobody)
	}
	if o.direct != nil {
		return o.whoIs(c)
	}
	svc, err := o.current()
	if err != nil {
		return o.refuse(c, err)
	}
	if h := svc.Way.Port(o.target.Port); h != nil {
		return h.Serve(c)
	}
	return o.refuse(c, absent(svc.Way.Lacks(svc.Config.Host, o.target.Port)))
}

// whoIs goes to whoever is at the address now: a connection of the application's may outlive a pod whose address another one gets.
func (o *outbound) whoIs(c *traffic.Call) error {
	ctx, cancel := context.WithTimeout(o.p.ctx, o.p.opts.Lookup)
	defer cancel()
	if e, a, err := o.p.store.ByIP(ctx, o.to.Addr(), o.p.now()); err == nil && (e != nil || a != o.at) {
		o = o.p.wayTo(o.to)
		if c.Target = o.target; o.direct == nil {
			return o.Serve(c)
		}
	}
	c.To, c.Upstream = o.direct, o.up
	if c.Attempts == 0 {
		c.Attempts = 1
	}
	return o.p.self.Load().egress.Serve(c)
}

// current is the service as of now. One that was forgotten, because the connection idled, is asked for again.
func (o *outbound) current() (*held.Service, error) {
	o.entry.Touch(o.p.now())
	if svc := o.entry.Now(); svc != nil {
		return svc, nil
	}
	ctx, cancel := context.WithTimeout(o.p.ctx, o.p.opts.Lookup)
	defer cancel()
	e, _, err := o.p.store.Get(ctx, config.Name(config.KindService, o.target.Service), o.p.now())
	if err != nil {
		return nil, err
	}
	if svc := e.Now(); svc != nil {
		return svc, nil
	}
	return nil, errNoService
}

func (o *outbound) refuse(c *traffic.Call, why error) error {
	c.Response.Err = why
	status := 502
	if !errors.As(why, new(absent)) { // nobody could say
		status = 503
	}
	return c.Reply(status, decision.Verdict{Outcome: decision.Deny, Reason: decision.NoService})
}

// Forward sends an attempt to where it was routed.
func (o *outbound) Forward(c *traffic.Call) error { return o.p.forward(c) }

// serveOutbound is the HTTP/1.1 server's.
func serveOutbound(c *traffic.Call) error {
	c.Host.(*outbound).serveHTTP(c)
	return nil
}

func serveOutboundStream(st *h2.Stream) {
	c := st.Call()
	o := c.Host.(*outbound)
	o.serveHTTP(c)
	_ = st.Respond() // what breaks it stands in the response
	o.p.done(c)
}

func (o *outbound) serveHTTP(c *traffic.Call) {
	s := o.p.start(c, observe.Source)
	chain.WithoutH2C(c)
	if c.Authority == "" { // HTTP/1.0 needs none
		c.Authority = o.name()
	}
	chain.FromApp(&c.Header)
	stamp.Identify(&c.Header, o.p.opts.Draw)
	s.serve(c, chain.Within(c, o), false)
	o.p.lasts(c, o)
}

func (o *outbound) serveTCP(c *traffic.Call) *span {
	s := o.p.start(c, observe.Source)
	s.serve(c, o, false)
	o.p.lasts(c, o)
	return s
}

// rejudge: of calls out of the workload, its egress policies.
func (o *outbound) rejudge() traffic.Handler { return o.p.self.Load().egress }
