package proxy

import (
	"errors"
	"sync"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/proxy/held"
	"github.com/weft-mesh/weft/traffic"
)

// living are the calls that may last: connections, upgrades, gRPC calls, and those of which either side may send for long, since it does
// not say how much or says that it is a lot. When a policy is tightened, those that it does not let
// pass any more are broken off.
type living struct {
	mu   sync.Mutex
	open map[*lasting]struct{}
}

// lasting is one of them.
type lasting struct {
	p     *Proxy
	c     *traffic.Call
	body  traffic.Body
	judge judge
	mu    sync.Mutex // held while the call is looked at, and while it ends
	ended bool
	cut   *decision.Verdict
	why   error
}

var (
	errTightened = errors.New("a policy that came meanwhile does not allow the connection")
	errOutlasted = errors.New("another process has taken the proxy's place, and the time for what this one had left is over")
)

// judge is what a call has to pass again when policies have changed.
type judge interface{ rejudge() traffic.Handler }

// lasts keeps an eye on a call that has an answer and may last.
func (p *Proxy) lasts(c *traffic.Call, by judge) {
	if c.Response.Local || c.Response.Body == nil || !mayLast(c) {
		return
	}
	l := &lasting{p: p, c: c, body: c.Response.Body, judge: by}
	c.AtEnd(l)
	p.live.mu.Lock()
	defer p.live.mu.Unlock()
	if p.live.open == nil {
		p.live.open = map[*lasting]struct{}{}
	}
	p.live.open[l] = struct{}{}
}

// mayLast leaves out what most calls are, for whom being watched would cost an allocation and a lock.
func mayLast(c *traffic.Call) bool {
	if c.Proto == traffic.TCP || c.Proto == traffic.GRPC || c.Upgrade != "" || c.Method == "CONNECT" {
		return true
	}
	n, _ := c.Header.Get("content-length")
	m, _ := c.Response.Header.Get("content-length")
	return n == "" && c.Body != nil || m == "" || big(n) || big(m)
}

// End lets go of the call, and notes why it was broken off if it was.
func (l *lasting) End(c *traffic.Call, _, _ time.Time) {
	l.p.live.mu.Lock()
	delete(l.p.live.open, l)
	l.p.live.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended = true; l.cut != nil {
		c.Because(*l.cut)
		c.Response.Err = l.why
	}
}

// keep has the control plane go on telling of the callers of what lasts.
func (x *living) keep() {
	for _, l := range x.all() {
		switch host := l.c.Host.(type) {
		case *inbound:
			l.p.callers.Keep(l.p.self.Load().config(), &host.from)
		case *edge:
			if host.session == nil {
				l.p.callers.Keep(l.p.self.Load().config(), &host.conn.Source)
			}
		}
	}
}

// rejudge goes through all calls that last.
func (p *Proxy) rejudge() {
	for _, l := range p.live.all() {
		l.look()
	}
}

func (x *living) all() (out []*lasting) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for l := range x.open {
		out = append(out, l)
	}
	return out
}

// look judges the call as if it began now. Interrupted bodies bring no more bytes, and whoever waits for them ends the call.
func (l *lasting) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.cut != nil {
		return
	}
	j := &traffic.Call{}
	j.Begin(dry{l.p}, l.c.Conn)
	j.Attrs = l.c.Attrs
	j.Trail, j.To, j.Now = nil, l.c.To, l.p.now()
	way := l.judge.rejudge()
	switch host := l.c.Host.(type) { // with what is known of the caller now
	case *inbound:
		switch a := host.at(l.c.Port()); {
		case errors.Is(a.unknown, held.ErrUnavailable):
			return // what was let in stays while nobody can say
		case a.unknown != nil:
			way = stranger{a.unknown}
		default:
			j.Conn = a.conn
		}
	case *edge:
		j.Conn = host.now()
	}
	if j.Source.Unclear() { // the same
		return
	}
	_ = way.Serve(j)
	if !j.Response.Local {
		return
	}
	l.breakOff(decision.Deciding(j.Verdicts()), errTightened)
}

// breakOff ends the call because of v. It needs the lock.
func (l *lasting) breakOff(v decision.Verdict, why error) {
	l.cut, l.why = &v, why
	if l.c.Body != nil {
		l.c.Body.Interrupt(true)
	}
	l.body.Interrupt(true)
}

// outlast breaks the call off because its proxy ends.
func (l *lasting) outlast() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended && l.cut == nil {
		l.breakOff(decision.Verdict{Outcome: decision.Deny, Reason: decision.Outlasted}, errOutlasted)
	}
}

// dry is a host under which nothing happens.
type dry struct{ p *Proxy }

func (d dry) Now() time.Time                           { return d.p.now() }
func (d dry) Sleep(*traffic.Call, time.Duration) error { return nil }
func (d dry) Detach(*traffic.Call, traffic.Handler)    {}
func (d dry) Forward(c *traffic.Call) error            { c.Response.Status = 200; return nil }
