// Package pool keeps connections that carry one HTTP/1.1 call at a time and are used again. The one used last is taken first: its
// memory is warm, and those that nobody needs idle longest and are closed.
package pool

import (
	"net"
	"slices"
	"sync"
	"time"

	"github.com/weft-mesh/weft/proxy/h1"
	"github.com/weft-mesh/weft/traffic"
)

// Pool is the connections to all places of a sort. K tells places apart. Its zero value, with Dial, is ready for use.
type Pool[K comparable] struct {
	// Dial opens a connection to a place for a call, within a time. Its errors are Get's.
	Dial func(c *traffic.Call, at K, timeout time.Duration) (net.Conn, error)

	mu     sync.RWMutex
	places map[K]*lot
	closed bool
	once   bool // no connection is used again
}

// lot is the connections to one place.
type lot struct {
	options h1.Options

	mu    sync.Mutex
	rests []*h1.Client           // those that idle, the latest last
	open  map[*h1.Client]*bounds // all
	dials int                    // under way
	once  bool                   // none is used again
	gone  bool                   // nobody finds it any more
}

// bounds are a connection's, from the policy of the call that it was dialled for.
type bounds struct {
	calls uint32 // that it may still carry, if limited
	idle  time.Duration
	limit bool
}

func boundsOf(u *traffic.Upstream) *bounds {
	b := &bounds{idle: idleTime}
	if u == nil {
		return b
	}
	if u.Connect.Idle > 0 {
		b.idle = u.Connect.Idle
	}
	b.calls, b.limit = u.Connect.MaxRequests, u.Connect.MaxRequests > 0
	return b
}

const (
	maxIdle  = 1024             // connections that idle, to one place: as many as calls came at a time, for a while
	idleTime = 30 * time.Second // and how long: servers close theirs after 60 s and more, mostly
)

// lot finds the connections to a place, or begins to keep some. nil: the pool was closed.
func (x *Pool[K]) lot(at K) *lot {
	x.mu.RLock()
	l := x.places[at]
	x.mu.RUnlock()
	if l != nil {
		return l
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if l = x.places[at]; l != nil || x.closed {
		return l
	}
	l = &lot{open: map[*h1.Client]*bounds{}, once: x.once}
	l.options.Release = l.release
	if x.places == nil {
		x.places = map[K]*lot{}
	}
	x.places[at] = l
	return l
}

// Get returns a connection for a call: the one used last, or a fresh one, dialled within timeout.
func (x *Pool[K]) Get(c *traffic.Call, at K, timeout time.Duration) (cl *h1.Client, fresh bool, err error) {
	for {
		l := x.lot(at)
		if l == nil {
			return nil, true, traffic.ErrConnect
		}
		cl, ok := l.take(c.Upstream)
		if cl != nil {
			return cl, false, nil
		}
		if ok {
			nc, err := x.Dial(c, at, timeout)
			cl, err = l.add(nc, err, c.Upstream)
			return cl, true, err
		}
	}
}

// take returns a connection that idles, the latest used; nil: one is to be dialled, or, ok false, the lot is not the place's any more.
func (l *lot) take(u *traffic.Upstream) (cl *h1.Client, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.rests); n > 0 && (u == nil || u.Connect.MaxRequests != 1) {
		cl, l.rests[n-1] = l.rests[n-1], nil
		l.rests = l.rests[:n-1]
	}
	if cl == nil && !l.gone {
		l.dials++
	}
	return cl, !l.gone
}

// add takes in what was dialled.
func (l *lot) add(nc net.Conn, err error, u *traffic.Upstream) (*h1.Client, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dials--
	if err != nil {
		return nil, err
	}
	cl := h1.NewClient(nc, &l.options)
	if l.gone {
		cl.Close()
		return nil, traffic.ErrConnect
	}
	l.open[cl] = boundsOf(u)
	return cl, nil
}

// release takes a connection back.
func (l *lot) release(cl *h1.Client, reusable bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.open[cl]; b != nil && b.limit {
		b.calls--
		reusable = reusable && b.calls > 0
	}
	if !reusable || l.gone || l.once || len(l.rests) >= maxIdle {
		l.close(cl)
		return
	}
	l.rests = append(l.rests, cl)
}

// close needs the lock.
func (l *lot) close(cl *h1.Client) {
	delete(l.open, cl)
	cl.Close()
}

// Idle closes connections that nobody used for a while.
func (x *Pool[K]) Idle(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for at, l := range x.places {
		if l.rest(now) {
			delete(x.places, at)
		}
	}
}

// rest closes what has idled for too long, and says whether nothing is left.
func (l *lot) rest(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rests = slices.DeleteFunc(l.rests, func(cl *h1.Client) bool {
		old := now.Sub(cl.IdleAt()) > l.open[cl].idle
		if old {
			l.close(cl)
		}
		return old
	})
	l.gone = len(l.open) == 0 && l.dials == 0
	return l.gone
}

// Leave closes connections that idle, and from now on those that would: none is used again.
func (x *Pool[K]) Leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.once = true
	for _, l := range x.places {
		l.leave()
	}
}

func (l *lot) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.once = true
	for _, cl := range l.rests {
		l.close(cl)
	}
	l.rests = nil
}

// Close closes all connections, those in use too; there will be no others.
func (x *Pool[K]) Close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	for _, l := range x.places {
		l.mu.Lock()
		l.gone = true
		for cl := range l.open {
			cl.Close()
		}
		l.mu.Unlock()
	}
}
