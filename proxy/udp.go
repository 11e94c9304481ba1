package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/proxy/datagram"
	"github.com/weft-mesh/weft/traffic"
)

// UDP comes to gateways alone. A session is a call without a head, as a TCP connection is, and goes through the same chain; its datagrams
// are passed on as they are, since there is no mutual TLS for them.

// How long what a sender sends is dropped, once its session has been refused, or its callee's host has said that nobody takes datagrams
// there: a session and a record for each datagram would make both dear.
const (
	refusedFor = 5 * time.Second
	brokenFor  = 200 * time.Millisecond
)

// openDatagrams begins to serve a port of UDP of the gateway.
func (p *Proxy) openDatagrams(port uint16, c *net.UDPConn) {
	stop := context.AfterFunc(p.ctx, func() { c.Close() })
	p.tasks.Go(func() {
		defer stop()
		datagram.Serve(c, datagram.Options{Go: p.tasks.Go, Refused: p.opts.Refused, Serve: func(s *datagram.Session) time.Duration {
			return p.serveDatagrams(s, port)
		}})
	})
}

// serveDatagrams serves a session that has come to a port of the gateway, and says how long the sender is not listened to after it.
func (p *Proxy) serveDatagrams(s *datagram.Session, port uint16) (silence time.Duration) {
	me, err := p.known()
	if err != nil || p.entry.Load() == nil {
		p.opts.Refused("no-configuration")
		return refusedFor
	}
	at := netip.AddrPortFrom(me.cfg.Addr, port)
	e := &edge{engine: engine{p}, conn: &traffic.Conn{Source: traffic.Peer{Addr: s.From()}, Original: at, Datagrams: true}, session: s}
	c := &traffic.Call{}
	c.Begin(e, e.conn)
	c.Proto, c.Now = traffic.TCP, p.now()
	e.serveTCP(c)
	defer p.done(c)
	if c.Response.Body == nil {
		return refusedFor
	}
	err = s.Pump()
	c.Sent, c.Received = s.Passed()
	switch {
	case err == nil:
		return 0
	case errors.Is(err, traffic.ErrInterrupted): // by a policy, or by the end of the port: who did it says so
		return refusedFor
	}
	c.Response.Err = err
	return brokenFor
}

// forwardDatagrams opens a session's way to its callee.
func forwardDatagrams(c *traffic.Call, s *datagram.Session) error {
	if u := c.Upstream; u != nil && (u.Secure.Mode == traffic.Simple || u.Secure.Mode == traffic.Required) {
		return c.Fail(fmt.Errorf("%w: a policy wants TLS, and there is none for datagrams", traffic.ErrConnect))
	}
	to, err := sys.DialUDP(c.To.Addr)
	if err != nil {
		return c.Fail(blame(c, errors.Join(traffic.ErrConnect, err)))
	}
	s.Join(c, to)
	return nil
}
