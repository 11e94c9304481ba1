package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
)

var errDraining = errors.New("the proxy is about to stop")

// slot is a connection that was accepted: what can be done about it from outside.
type slot struct {
	net.Conn
	p  *Proxy
	mu sync.Mutex
	// session is what speaks on the connection, as soon as that is known. drain lets its calls end and takes no more; nil: it
	// ends by itself.
	drain func()
	stale func() bool // it must not go on, because a root was retired
	bound bool        // its end is near

	parked *sys.Parked // it idles, and nobody serves it
	idle   time.Duration
	next   func() // serves it when there is something to read; set by rests
}

// sessions are the connections that were accepted and are open.
type sessions struct {
	p     *Proxy
	mu    sync.Mutex
	open  map[*slot]struct{}
	drain bool
	over  chan struct{} // closed when draining and none is open
	ended bool          // it is
	ls    []net.Listener
}

func (s *sessions) draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drain
}

// add takes a connection in; nil: no more are taken.
func (s *sessions) add(nc net.Conn) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drain {
		return nil
	}
	if s.open == nil {
		s.open = map[*slot]struct{}{}
	}
	x := &slot{Conn: nc, p: s.p}
	s.open[x] = struct{}{}
	return x
}

func (s *sessions) remove(x *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, x)
	s.checkOver()
}

func (s *sessions) checkOver() {
	if s.drain && len(s.open) == 0 && s.over != nil && !s.ended {
		close(s.over)
		s.ended = true
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

// count is how many connections are open.
func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// rests lets the connection idle without a goroutine once its server has returned: next serves it again when there is something to
// read. It is closed after idle.
func (x *slot) rests(idle time.Duration, next func()) {
	x.idle, x.next = idle, next
	x.becomes(x.wake, nil)
}

// end closes the connection, whoever serves it.
func (x *slot) end() {
	x.wake() // while the descriptor is its own
	x.Conn.Close()
}

func (x *slot) wake() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.parked != nil {
		x.parked.Wake()
	}
}

// park waits for the connection in the poller; false: it cannot be waited for there, or nobody wants it.
func (x *slot) park(resume func()) bool {
	c, ok := x.Conn.(sys.Conn)
	if !ok || x.next == nil {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.p.sessions.draining() { // one that drains later finds it parked, and wakes it
		return false
	}
	now := x.p.now()
	parked, err := x.p.poller.Park(c, now.Add(x.idle), func() {
		x.mu.Lock()
		x.parked = nil
		x.mu.Unlock()
		if x.p.sessions.draining() || !x.p.now().Before(now.Add(x.idle)) {
			x.next = nil
		}
		resume()
	})
	if err != nil {
		return false // it was closed, or the proxy ends
	}
	x.parked = parked
	return true
}

// becomes says how the connection is drained from now on. A proxy that drains already does so at once.
func (x *slot) becomes(drain func(), stale func() bool) {
	x.mu.Lock()
	x.drain, x.stale = drain, stale
	x.mu.Unlock()
	if drain != nil && x.p.sessions.draining() {
		drain()
	}
}

// finish lets what is under way end.
func (x *slot) finish() {
	x.mu.Lock()
	drain := x.drain
	x.mu.Unlock()
	if drain != nil {
		drain()
	}
}

// retire ends the connection, within a bound, if it must not go on.
func (x *slot) retire(grace time.Duration) {
	x.mu.Lock()
	due := x.stale != nil && !x.bound && x.stale()
	x.bound = x.bound || due
	x.mu.Unlock()
	if due {
		x.finish()
		time.AfterFunc(grace, x.end)
	}
}

// Drain stops listening, closes connections that idle, and lets calls under way end. It returns when they have, or with the
// context's error when ctx ends first; Run goes on until its own context ends.
func (p *Proxy) Drain(ctx context.Context) error {
	s := &p.sessions
	s.mu.Lock()
	s.drain = true
	if s.over == nil {
		s.over = make(chan struct{})
		s.checkOver()
	}
	over := s.over
	for _, l := range s.ls {
		l.Close()
	}
	s.mu.Unlock()
	for _, x := range s.all() {
		x.finish()
	}
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sessions) close() {
	s.mu.Lock()
	s.drain = true
	for _, l := range s.ls {
		l.Close()
	}
	s.mu.Unlock()
	for _, x := range s.all() {
		x.end()
	}
}

// accept serves what l accepts, each connection on a goroutine of its own. It returns at once.
func (p *Proxy) accept(l net.Listener, serve func(*slot)) {
	s := &p.sessions
	s.mu.Lock()
	s.ls = append(s.ls, l)
	if s.drain {
		l.Close()
	}
	s.mu.Unlock()
	p.tasks.Go(func() { p.acceptLoop(l, p.sessions.add, serve) })
}

// acceptLoop: without descriptors, accepting again at once would only burn the processor.
func (p *Proxy) acceptLoop(l net.Listener, add func(net.Conn) *slot, serve func(*slot)) {
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
		if open.Load() >= int64(p.opts.MaxConns) {
			p.opts.Refused("too-many-connections")
			nc.Close()
			continue
		}
		x := add(nc)
		if x == nil {
			nc.Close()
			continue
		}
		open.Add(1)
		p.tasks.Add(1)
		x.next = func() { serve(x) }
		go p.attend(x, func() {
			nc.Close()
			p.sessions.remove(x)
			open.Add(-1)
			p.tasks.Done()
		})
	}
}

// attend serves a connection as long as there is something to do, and again when there is; over is called at its end.
func (p *Proxy) attend(x *slot, over func()) {
	if next := x.next; next != nil {
		x.next = nil
		next()
	}
	if !x.park(func() { p.attend(x, over) }) {
		over()
	}
}

// trustChanged closes what rests on a root that is not believed any more: new calls get new connections at once, those under way
// have a moment to end.
func (p *Proxy) trustChanged() {
	for _, x := range p.sessions.all() {
		x.retire(p.opts.Grace)
	}
	p.links.retire()
}
