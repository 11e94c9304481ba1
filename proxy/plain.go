package proxy

import (
	"context"
	"sync"
	"time"

	"github.com/weft-mesh/weft/proxy/h1"
	"github.com/weft-mesh/weft/traffic"
)

// plains are the connections that carry one HTTP/1.1 call at a time, and are used again: to the application, and to endpoints
// without a proxy.
type plains struct {
	p       *Proxy
	options h1.Options

	mu     sync.Mutex
	places map[place][]*h1.Client // those that idle, the latest last
	of     map[*h1.Client]use     // those in use
	closed bool
	once   bool // none is kept to be used again
}

// use is what a connection in use is for.
type use struct {
	at    place
	idle  time.Duration
	calls uint32 // that it may still carry; 0: any number
}

const (
	maxIdle   = 64               // connections that idle, to one place
	appIdle   = 30 * time.Second // and how long: servers close theirs after 60 s and more, mostly
	firstTime = 1 << 30
)

func (x *plains) init() {
	x.options.Release = x.release
	x.places, x.of = map[place][]*h1.Client{}, map[*h1.Client]use{}
}

// get returns a connection for a call: the one used last, or a new one.
func (x *plains) get(c *traffic.Call, at place, timeout time.Duration) (cl *h1.Client, fresh bool, err error) {
	u := use{at: at, idle: appIdle}
	if c.Upstream != nil {
		if u.calls = c.Upstream.Connect.MaxRequests; c.Upstream.Connect.Idle > 0 {
			u.idle = c.Upstream.Connect.Idle
		}
	}
	x.mu.Lock()
	if list := x.places[at]; len(list) > 0 && u.calls != 1 {
		cl = list[len(list)-1]
		list[len(list)-1] = nil
		x.places[at] = list[:len(list)-1]
		x.mu.Unlock()
		return cl, false, nil
	}
	x.mu.Unlock()
	ctx, cancel := x.p.until(c, timeout)
	defer cancel()
	nc, _, _, err := x.p.connect(ctx, at, "http/1.1")
	if err != nil {
		return nil, true, x.p.late(c, err)
	}
	cl = h1.NewClient(nc, &x.options)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		cl.Close()
		return nil, true, traffic.ErrConnect
	}
	x.of[cl] = u
	return cl, true, nil
}

// release takes a connection back.
func (x *plains) release(cl *h1.Client, reusable bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	u, known := x.of[cl]
	if known && u.calls > 0 {
		if u.calls--; u.calls == 0 {
			reusable = false
		}
		x.of[cl] = u
	}
	if !reusable || !known || x.closed || x.once || len(x.places[u.at]) >= maxIdle {
		delete(x.of, cl)
		cl.Close()
		return
	}
	x.places[u.at] = append(x.places[u.at], cl)
}

// idle closes connections that nobody used for a while.
func (x *plains) idle(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for at, list := range x.places {
		n := 0
		for n < len(list) && now.Sub(list[n].IdleAt()) > x.of[list[n]].idle { // the oldest first
			delete(x.of, list[n])
			list[n].Close()
			n++
		}
		if list = list[n:]; len(list) == 0 {
			delete(x.places, at)
		} else if n > 0 {
			x.places[at] = append([]*h1.Client(nil), list...)
		}
	}
}

// leave closes those that idle, and from now on those that would.
func (x *plains) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.once = true
	for at, list := range x.places {
		for _, cl := range list {
			delete(x.of, cl)
			cl.Close()
		}
		delete(x.places, at)
	}
}

func (x *plains) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	for cl := range x.of {
		cl.Close()
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
