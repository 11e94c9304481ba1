package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/proxy/entrance"
	"github.com/weft-mesh/weft/proxy/h1"
	"github.com/weft-mesh/weft/proxy/h2"
)

var errDraining = errors.New("the proxy is about to stop")

// slot is a connection that was accepted: what can be done about it from outside.
type slot struct {
	net.Conn // nil while it is kept, see keep
	of       *sessions
	mu       sync.Mutex
	// session is what speaks on the connection, as soon as that is known. drain lets its calls end and takes no more; idle: what
	// idles is closed, though its next call may just be on its way. nil: it ends by itself.
	drain func(idle bool)
	stale func() bool // it must not go on, because a root was retired, or a gateway asks more of callers
	bound atomic.Bool // its end is near: what idles is closed
	ended bool        // end was called

	parked *sys.Parked                   // it idles, and nobody serves it
	until  time.Time                     // and is closed then
	gate   atomic.Pointer[entrance.Gate] // calls to the application may come by it; nil: none do
	next   func()                        // serves it when there is something to read; set by rests
	fresh  bool                          // next is for a goroutine of its own, at once
	lent   bool                          // done is called by another than attend
	count  *atomic.Int64                 // connections that came by the same listener
}

// sessions are the connections that were accepted and are open.
type sessions struct {
	p     *Proxy
	loops sync.WaitGroup // of those that accept
	mu    sync.Mutex
	open  map[*slot]struct{}
	phase phase
	last  bool          // what is open is all that there will be
	over  chan struct{} // closed when that is so, and none is open
	ls    []net.Listener
}

// phase is how far the end of the connections has come. It only advances.
type phase uint8

const (
	goesOn  phase = iota
	leaving       // nobody listens any more, and the next response of each is the last one that it carries
	ending        // those that idle are closed
	shut          // all are
)

func (s *sessions) begin(p *Proxy) {
	s.p, s.open, s.over = p, map[*slot]struct{}{}, make(chan struct{})
}

func (s *sessions) draining() bool { return s.at() >= leaving }

func (s *sessions) at() phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase
}

// advance closes the listeners.
func (s *sessions) advance(to phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = max(s.phase, to)
	for _, l := range s.ls {
		l.Close()
	}
}

// add takes a connection in, also one that was accepted at the last moment; nil: the proxy has ended.
func (s *sessions) add(nc net.Conn) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == shut {
		return nil
	}
	x := &slot{Conn: nc, of: s}
	s.open[x] = struct{}{}
	return x
}

func (s *sessions) remove(x *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, x)
	s.checkOver()
}

// checkOver needs the lock.
func (s *sessions) checkOver() {
	if !s.last || len(s.open) > 0 {
		return
	}
	select {
	case <-s.over:
	default:
		close(s.over)
	}
}

func (s *sessions) all() (out []*slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for x := range s.open {
		out = append(out, x)
	}
	return out
}

// enters says that calls to the application may come by the connection; false: they would come too late.
func (x *slot) enters(g *entrance.Gate) bool {
	ok := g.Connect()
	if ok {
		x.gate.Store(g)
	}
	return ok
}

// leaves says that no further call to the application comes by the connection. It returns the gate that knew of it; nil: none did.
func (x *slot) leaves() *entrance.Gate {
	g := x.gate.Swap(nil)
	if g != nil {
		g.Leave()
	}
	return g
}

// at is how far the connection's end has come.
func (x *slot) at() phase {
	if x.bound.Load() {
		return max(ending, x.of.at())
	}
	if g := x.gate.Load(); g != nil && g.Shutting() {
		return max(ending, x.of.at())
	}
	return x.of.at()
}

// crowded says that connections are not to hold a goroutine while they wait, unless they have carried some calls: what the runtime has made
// for many at a time it does not give back, 1 KB for each.
func (s *sessions) crowded() bool { return s.count() > 512 }

// patience is how long a connection waits for its first byte before it rests.
func (s *sessions) patience(most time.Duration) time.Duration {
	if s.crowded() {
		return min(h1.CrowdTick, most)
	}
	return min(h1.Tick, most)
}

// count is how many connections are open.
func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// rests lets the connection idle without a goroutine once its server has returned: next serves it again when there is something to
// read. It is closed after idle.
func (x *slot) rests(idle time.Duration, next func()) {
	x.until, x.next = x.of.p.now().Add(idle), next
	x.becomes(func(idle bool) {
		if idle {
			x.wake()
		}
	})
}

// continues has next serve the connection on a fresh goroutine: a handshake has made the stack of this one large, and the connection may
// idle for long (4 KB of 28 for a TLS connection that idles).
func (x *slot) continues(next func()) { x.next, x.fresh = next, true }

// end closes the connection, whoever serves it. One that is served is reset: its caller must not take what it got for the whole.
func (x *slot) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
	if x.parked != nil { // woken while the descriptor is its own
		x.parked.Wake()
	} else if t, ok := x.Conn.(interface{ SetLinger(sec int) error }); ok {
		_ = t.SetLinger(0)
	}
	x.shut()
}

// close closes the connection, which may be another than at first: see keep.
func (x *slot) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.shut()
}

// shut needs the lock.
func (x *slot) shut() {
	if x.Conn != nil {
		x.Conn.Close()
	}
}

func (x *slot) wake() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.parked != nil {
		x.parked.Wake()
	}
}

// park waits for the connection in the poller; false: it cannot be waited for there, or nobody wants it.
func (x *slot) park() bool {
	if x.next == nil {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.at() >= ending { // one that ends later finds it parked, and wakes it
		return false
	}
	return x.keep() == nil
}

// resume serves a connection that was parked.
func (x *slot) resume() {
	p := x.of.p
	if x.at() >= ending || !p.now().Before(x.until) {
		x.next = nil
	}
	p.attend(x)
}

// keep is await for a connection that nobody knows but the slot: what serves it next finds another one in its place, if there are descriptors.
func (x *slot) keep() error {
	if t, ok := x.Conn.(*net.TCPConn); ok {
		parked, err := x.of.p.poller.Keep(t, x.until, x.revive)
		if err == nil {
			x.parked, x.Conn = parked, nil
		}
		if !sys.Short(err) {
			return err
		}
	}
	return x.await(x.until, x.resume)
}

func (x *slot) revive(c *net.TCPConn, err error) {
	x.mu.Lock()
	if x.parked = nil; err == nil {
		x.Conn = c
	}
	if x.ended || err != nil {
		x.next = nil
	}
	x.mu.Unlock()
	x.resume()
}

// await waits in the poller; an error: the connection cannot be waited for there, was closed, or the proxy ends. It needs the lock.
func (x *slot) await(until time.Time, woken func()) error {
	c, ok := x.Conn.(sys.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	parked, err := x.of.p.poller.Park(c, until, func() {
		x.mu.Lock()
		x.parked = nil
		x.mu.Unlock()
		woken()
	})
	if err == nil {
		x.parked = parked
	}
	return err
}

// rest is h2.Options.Rest of the connection.
func (x *slot) rest(wake func()) (unpark func(), err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return func() { x.wake() }, x.await(time.Time{}, wake)
}

// serves has srv serve the connection. It returns at its end, or when it rests: then no goroutine serves it. ended is told why it ended.
func (x *slot) serves(srv *h2.Server, ended func(error)) {
	x.lent = true
	srv.Begin(func(err error) {
		ended(err)
		x.done()
	})
}

// becomes says how the connection is drained from now on. A proxy that drains already does so at once.
func (x *slot) becomes(drain func(idle bool)) {
	x.mu.Lock()
	x.drain = drain
	x.mu.Unlock()
	if at := x.at(); drain != nil && at >= leaving {
		drain(at >= ending)
	}
}

// holds says when the connection must not go on any more: whatever has changed that since its handshake began counts at once.
func (x *slot) holds(stale func() bool) {
	x.mu.Lock()
	x.stale = stale
	x.mu.Unlock()
	x.retire(x.of.p.opts.Grace)
}

// closeIdle is how a connection ends that nothing has come by so far.
func (x *slot) closeIdle(idle bool) {
	if idle {
		x.close()
	}
}

// finish lets what is under way end.
func (x *slot) finish(idle bool) {
	x.mu.Lock()
	drain := x.drain
	x.mu.Unlock()
	if drain != nil {
		drain(idle)
	}
}

// retire ends the connection, within a bound, if it must not go on.
func (x *slot) retire(grace time.Duration) {
	x.mu.Lock()
	due := x.stale != nil && !x.bound.Load() && x.stale()
	if due {
		x.bound.Store(true)
	}
	x.mu.Unlock()
	if due {
		x.finish(true)
		time.AfterFunc(grace, x.end)
	}
}

// Drain stops listening, closes connections that idle, and lets calls under way end. It returns when they have, or with the
// context's error when ctx ends first; Run goes on until its own context ends.
func (p *Proxy) Drain(ctx context.Context) error {
	p.sessions.finish(ending)
	select {
	case <-p.sessions.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Leave has the application get no further call, and returns when it owes no answer to those that it got, so that it may be told to
// end; what it calls itself goes on. New connections are refused, those that are open drain as in Drain, and their callers may make
// elsewhere what was not taken. Not waited for are tunnels (TCP, upgrades) and gRPC calls that have the head of their answer: they may
// last for ever, and the application alone can end them well. The error is that of ctx if it ended first: what comes then is refused too.
func (p *Proxy) Leave(ctx context.Context) error {
	return p.gate.Shut(ctx, func() {
		for _, x := range p.sessions.all() {
			if x.gate.Load() != nil {
				x.finish(true)
			}
		}
	})
}

// finish has the connections end by themselves. When it returns no more come.
func (s *sessions) finish(to phase) {
	s.advance(to)
	s.loops.Wait() // what was accepted at the last moment is among the connections then
	s.mu.Lock()
	s.last = true
	s.checkOver()
	s.mu.Unlock()
	for _, x := range s.all() {
		x.finish(to >= ending)
	}
}

func (s *sessions) close() {
	s.advance(shut)
	for _, x := range s.all() {
		x.end()
	}
}

// accept serves what l accepts, each connection on a goroutine of its own. It returns at once.
//
// gate, if there is one, has to let connections in.
func (s *sessions) accept(l net.Listener, gate *entrance.Gate, serve func(*slot)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase >= leaving {
		l.Close()
		return
	}
	s.ls = append(s.ls, l)
	s.loops.Add(1)
	s.p.tasks.Go(func() {
		defer s.loops.Done()
		s.acceptLoop(l, gate, serve)
	})
}

// acceptLoop: without descriptors, accepting again at once would only burn the processor.
func (s *sessions) acceptLoop(l net.Listener, gate *entrance.Gate, serve func(*slot)) {
	p := s.p
	defer l.Close()
	var open atomic.Int64
	var pause time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			p.opts.Refused("accept")
			p.opts.Warn(err)
			if p.rest(pause); p.ctx.Err() != nil {
				return
			}
			continue
		}
		pause = 0
		if why := s.refuses(nc, open.Load()); why != "" {
			p.opts.Refused(why)
			nc.Close()
			continue
		}
		x := s.add(nc)
		if x == nil {
			nc.Close()
			continue
		}
		if gate != nil && !x.enters(gate) {
			p.opts.Refused("leaving")
			x.end()
			s.remove(x)
			continue
		}
		open.Add(1)
		p.tasks.Add(1)
		x.count, x.next = &open, func() { serve(x) }
		go p.attend(x)
	}
}

// done ends the connection here.
func (x *slot) done() {
	x.close()
	x.leaves()
	x.of.remove(x)
	x.count.Add(-1)
	x.of.p.tasks.Done()
}

// refuses says why a connection is one too many; empty: it is not. Questions about the proxy are answered as long as there is a
// descriptor.
func (s *sessions) refuses(nc net.Conn, open int64) string {
	if open >= int64(s.p.opts.MaxConns) {
		return "too-many-connections"
	}
	if c, ok := nc.(sys.Conn); ok && s != &s.p.admins {
		return s.p.opts.Room.Refuses(c, s.p.now())
	}
	return ""
}

// attend serves a connection as long as there is something to do, and again when there is.
func (p *Proxy) attend(x *slot) {
	if next := x.next; next != nil {
		x.next = nil
		next()
	}
	switch {
	case x.lent:
	case x.fresh:
		x.fresh = false
		go p.attend(x)
	case !x.park():
		x.done()
	}
}

// retire ends the connections that must not go on: new calls get new ones at once, those under way have a moment to end.
func (s *sessions) retire() {
	for _, x := range s.all() {
		x.retire(s.p.opts.Grace)
	}
}
