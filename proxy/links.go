package proxy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/proxy/h2"
	"github.com/weft-mesh/weft/proxy/origin"
	"github.com/weft-mesh/weft/proxy/tls13"
	"github.com/weft-mesh/weft/traffic"
)

// place is where connections go: what tells them apart. Each proxy has one identity of its own, so that is not in it.
type place struct {
	peer identity.ID    // of another proxy: mutual TLS, and this account alone is spoken to
	addr netip.AddrPort // of the application of this workload: no address, and its port
	sni  string         // TLS that the proxy starts, with this name
	tls  bool

	check string // how the server is checked there: traffic.Secure.Key
}

// link is a connection that carries many calls.
type link struct {
	*h2.Client
	conn  net.Conn
	peer  cert.Peer    // of another proxy
	weft  bool         // it speaks alpnWeft
	left  int          // calls that it may still be given; guarded by linked.mu
	bulk  atomic.Int32 // calls under way that may move a lot, see watch
	stale atomic.Bool  // it must not go on
	over  bool         // it has ended; guarded by links.mu
}

// When a link is so busy that a further one pays: its calls would wait for each other.
const (
	crowd    = 128       // calls under way
	backlog  = 256 << 10 // bytes that wait to be written
	maxLinks = 8         // to one place, but for calls that would find no room
	perConn  = 4         // links to one place for each connection that callers have, when there is no room: servers that take fewer than 250 calls by one are many
	endless  = math.MaxInt
)

// crowded says whether a call would better go by another link.
func (l *link) crowded() bool {
	if l.bulk.Load() > 0 || l.Streams() >= crowd {
		return true
	}
	n, _ := l.Queued()
	return n > backlog
}

// usable says whether the link takes calls: none once the certificate has expired that its peer has shown.
func (l *link) usable(now time.Time) bool {
	expired := !l.peer.NotAfter.IsZero() && now.After(l.peer.NotAfter)
	return !expired && !l.stale.Load() && l.Usable()
}

// links are the connections that carry many calls, by place.
type links struct {
	p      *Proxy
	mu     sync.Mutex
	places map[place]*linked
	open   map[*link]struct{} // all, also those that take no more calls
	closed bool
}

// linked is the links to one place.
type linked struct {
	mu    sync.Mutex
	links []*link
	dials []*dial // under way
	used  time.Time
}

// dial is one attempt to connect, for all who wait for it.
type dial struct {
	done chan struct{}
	link *link
	err  error
	left int // calls that its link may still be given; guarded by linked.mu, as is
	wait int // how many calls wait
}

func (ls *links) at(w place) *linked {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.places == nil {
		ls.places = map[place]*linked{}
	}
	l := ls.places[w]
	if l == nil {
		l = &linked{}
		ls.places[w] = l
	}
	return l
}

// errLinksFull is a place to which as many calls are under way as may be.
var errLinksFull = fmt.Errorf("%w: all connections are full", traffic.ErrRefused)

// get returns a link for a call, which is counted as one of the link's: the one with the fewest calls. Where all are crowded another one
// is dialled beside, and the call waits for it only if there is none that it could take. Callers that hold all the streams of the links
// that there are cannot keep others out, since the number of links may grow with that of the connections that callers have.
func (ls *links) get(c *traffic.Call, w place) (*link, error) {
	x := ls.at(w)
	x.mu.Lock()
	x.used = ls.p.now()
	best, crowded, open := x.best(x.used)
	if best != nil {
		best.left--
		if crowded && len(x.dials) == 0 && open < maxLinks {
			ls.start(x, w, c.Upstream, c.Secures())
		}
		x.mu.Unlock()
		return best, nil
	}
	d := x.join()
	if d == nil {
		open += len(x.dials)
		if open >= max(maxLinks, perConn*ls.p.sessions.count()) && mostCalls(c.Upstream) >= crowd { // else there are as many as calls
			x.mu.Unlock()
			return nil, fmt.Errorf("%w: %d connections to %s", errLinksFull, open, w)
		}
		d = ls.start(x, w, c.Upstream, c.Secures())
	}
	d.left--
	d.wait++
	x.mu.Unlock()
	return d.await(c, ls.p)
}

// join returns a dial under way whose link may be given one more call. It needs the lock.
func (x *linked) join() *dial {
	for _, d := range x.dials {
		if d.left > 0 && d.wait < h2.InitialStreams {
			return d
		}
	}
	return nil
}

// best returns the usable link with the fewest calls that has room for one more, and how many take calls at all. It needs the lock.
func (x *linked) best(now time.Time) (best *link, crowded bool, open int) {
	n := 0
	keep := x.links[:0]
	for _, l := range x.links {
		if !l.usable(now) {
			l.Drain() // it ends with the last of its calls
			continue
		}
		keep = append(keep, l)
		if l.left == 0 { // it has been given all its calls, and ends with them
			continue
		}
		open++
		busy := l.crowded()
		if s := l.Streams(); l.Available() > 0 && (best == nil || crowded && !busy || crowded == busy && s < n) {
			best, crowded, n = l, busy, s
		}
	}
	clear(x.links[len(keep):])
	x.links = keep
	return best, crowded, open
}

// await waits for the dial as long as the call may.
func (d *dial) await(c *traffic.Call, p *Proxy) (*link, error) {
	var late <-chan time.Time
	if at := c.Deadline.At; !at.IsZero() {
		t := time.NewTimer(at.Sub(p.now()))
		defer t.Stop()
		late = t.C
	}
	select {
	case <-d.done:
		return d.link, d.err
	case <-late:
		return nil, traffic.ErrDeadline
	case <-c.Gone:
		return nil, traffic.ErrCanceled
	}
}

// start dials. It needs x's lock.
func (ls *links) start(x *linked, w place, u *traffic.Upstream, s *traffic.Secure) *dial {
	d := &dial{done: make(chan struct{}), left: mostCalls(u)}
	x.dials = append(x.dials, d)
	ls.p.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(ls.p.ctx, connectTimeout(u))
		defer cancel()
		d.link, d.err = ls.connect(ctx, w, u, s)
		x.mu.Lock()
		x.dials = slices.DeleteFunc(x.dials, func(e *dial) bool { return e == d })
		if d.err == nil {
			d.link.left = d.left
			x.links = append(x.links, d.link)
		}
		x.mu.Unlock()
		if d.err == nil {
			ls.check(d.link) // a root may have gone before the link was to be found
		}
		close(d.done)
	})
	return d
}

// mostCalls is how many calls a link may carry.
func mostCalls(u *traffic.Upstream) int {
	if u != nil && u.Connect.MaxRequests > 0 {
		return int(u.Connect.MaxRequests)
	}
	return endless
}

func connectTimeout(u *traffic.Upstream) time.Duration {
	if u != nil && u.Connect.Timeout > 0 {
		return u.Connect.Timeout
	}
	return connectTime
}

// connect makes a link.
func (ls *links) connect(ctx context.Context, w place, u *traffic.Upstream, s *traffic.Secure) (*link, error) {
	p := ls.p
	offer := []string{alpnWeft, alpnHBONE}
	if w.tls {
		offer = []string{alpnHBONE} // which is the name of HTTP/2
	}
	nc, peer, alpn, err := p.connect(ctx, w, s, offer...)
	if err != nil {
		return nil, err
	}
	l := &link{conn: nc, peer: peer, weft: alpn == alpnWeft}
	o := h2.ClientOptions{Options: p.h2Options()}
	o.IdleTimeout, o.MaxStreams, o.Rest = p.opts.Idle, h2.UnreadStreams, p.rests(nc)
	o.PingInterval, o.WaitInterval, o.PingTimeout = pingInterval, waitInterval, pingTimeout
	if u != nil {
		if u.Connect.Idle > 0 {
			o.IdleTimeout = u.Connect.Idle
		}
		o.MaxCalls = u.Connect.MaxRequests
	}
	o.Ended = func() { ls.ended(l) }
	p.tasks.Add(1)
	l.Client = h2.NewClient(nc, o)
	ls.keep(l)
	return l, nil
}

// rests is h2.Options.Rest of a connection that the proxy has made.
func (p *Proxy) rests(nc net.Conn) func(wake func()) (func(), error) {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		nc = t.NetConn()
	}
	c, ok := nc.(sys.Conn)
	if !ok {
		return nil
	}
	return func(wake func()) (func(), error) {
		parked, err := p.poller.Park(c, time.Time{}, wake)
		if err != nil {
			return nil, err
		}
		return parked.Wake, nil
	}
}

// keep has the link closed with the proxy at the latest.
func (ls *links) keep(l *link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.open == nil {
		ls.open = map[*link]struct{}{}
	}
	if !l.over {
		ls.open[l] = struct{}{}
	}
	if ls.closed {
		l.Close()
	}
}

func (ls *links) ended(l *link) {
	defer ls.p.tasks.Done()
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l.over = true
	delete(ls.open, l)
}

// A proxy that nobody reaches any more, and who has not said goodbye, is found after 30 + 4 s, and while calls wait for it after 4 + 4 s: its
// node may have lost its power. The clocks are exact to a second.
const (
	pingInterval = 30 * time.Second
	waitInterval = 4 * time.Second
	pingTimeout  = 4 * time.Second
)

// maxHeaders is more than HTTP/1.1 lets in, as RFC 9113 section 6.5.2 counts, with what proxies add.
const maxHeaders = 96 << 10

// h2Options are what all HTTP/2 connections have in common.
func (p *Proxy) h2Options() h2.Options {
	return h2.Options{IdleTimeout: p.opts.Idle, MaxHeaderList: maxHeaders, Report: func(r h2.Reason) { p.opts.Refused(string(r)) }}
}

// connect opens a connection to a place, and has it speak TLS where that is called for, as s says of servers outside of the mesh. Errors
// wrap those of package traffic.
func (p *Proxy) connect(ctx context.Context, w place, s *traffic.Secure, alpn ...string) (nc net.Conn, peer cert.Peer, spoken string, err error) {
	if !w.peer.IsZero() {
		if err := p.opts.Cert.Ready(); err != nil {
			return nil, peer, "", errors.Join(traffic.ErrNoIdentity, err)
		}
	}
	if w.addr.Addr().IsValid() {
		nc, err = p.opts.Dial(ctx, w.addr)
	} else {
		nc, err = p.opts.DialApp(ctx, w.addr.Port(), netip.Addr{})
	}
	if err != nil {
		return nil, peer, "", errors.Join(traffic.ErrConnect, err)
	}
	nc = sys.Quicken(nc)
	switch {
	case !w.peer.IsZero():
		return p.secure(ctx, nc, w.peer, alpn)
	case w.tls:
		return p.originate(ctx, nc, w, s, alpn)
	}
	return nc, peer, "", nil
}

// secure speaks mutual TLS with one account alone.
func (p *Proxy) secure(ctx context.Context, nc net.Conn, id identity.ID, alpn []string) (net.Conn, cert.Peer, string, error) {
	tc, peer, err := p.opts.Cert.Client(ctx, nc, id, alpn...)
	var wrong *cert.WrongPeerError
	switch {
	case err == nil:
		alpn := tc.ConnectionState().NegotiatedProtocol
		nc, err := tls13.Take(tc)
		return nc, peer, alpn, err
	case errors.As(err, &wrong):
		err = errors.Join(traffic.ErrWrongPeer, err)
	case errors.Is(err, cert.ErrNoIdentity):
		err = errors.Join(traffic.ErrNoIdentity, err)
	default:
		err = errors.Join(traffic.ErrConnect, err)
	}
	return nil, peer, "", err
}

// originate speaks TLS as any client does, with a server outside of the mesh.
func (p *Proxy) originate(ctx context.Context, nc net.Conn, w place, s *traffic.Secure, alpn []string) (net.Conn, cert.Peer, string, error) {
	tc, err := origin.Client(ctx, nc, s, w.sni, p.entry.Load().Shown(), alpn)
	if err != nil {
		return nil, cert.Peer{}, "", errors.Join(traffic.ErrConnect, err)
	}
	return tc, cert.Peer{}, tc.ConnectionState().NegotiatedProtocol, nil
}

// String names a place for people.
func (w place) String() string {
	if !w.peer.IsZero() {
		return w.addr.String() + " (" + w.peer.String() + ")"
	}
	if !w.addr.Addr().IsValid() {
		return "the application's port " + portName(w.addr.Port())
	}
	return w.addr.String()
}

// check ends a link that rests on a retired root: no new calls at once, those under way within the grace.
func (ls *links) check(l *link) {
	if l.peer.ID.IsZero() || ls.p.opts.Cert.Trusts(l.peer) || !l.stale.CompareAndSwap(false, true) {
		return
	}
	l.Drain()
	time.AfterFunc(ls.p.opts.Grace, l.Close)
}

// all are the links that are open.
func (ls *links) all() (out []*link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for l := range ls.open {
		out = append(out, l)
	}
	return out
}

// retire looks at all links after the roots have changed.
func (ls *links) retire() {
	for _, l := range ls.all() {
		ls.check(l)
	}
}

// idle forgets places that nobody calls; links close themselves when they idle.
func (ls *links) idle(now time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for w, x := range ls.places {
		x.mu.Lock()
		x.best(now) // lets go of what is closed
		for _, l := range x.links {
			if l.left == 0 && l.Streams() == 0 {
				l.Drain() // not all who were to call by it have
			}
		}
		if len(x.links) == 0 && len(x.dials) == 0 && now.Sub(x.used) > time.Minute {
			delete(ls.places, w)
		}
		x.mu.Unlock()
	}
}

func (ls *links) close() {
	ls.mu.Lock()
	ls.closed = true
	ls.mu.Unlock()
	for _, l := range ls.all() {
		l.Close()
	}
}

// count is how many links are open.
func (ls *links) count() int { return len(ls.all()) }
