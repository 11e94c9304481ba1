package pool

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/weft-mesh/weft/proxy/h1"
	"github.com/weft-mesh/weft/traffic"
)

// dialer makes connections that lead nowhere, and counts them.
type dialer struct {
	dials int
	ends  []net.Conn
	err   error
	first func() // before the dial comes back
}

func (d *dialer) dial(*traffic.Call, string, time.Duration) (net.Conn, error) {
	d.dials++
	if d.first != nil {
		d.first()
	}
	if d.err != nil {
		return nil, d.err
	}
	a, b := net.Pipe()
	d.ends = append(d.ends, b)
	return a, nil
}

func isOpen(c net.Conn) bool {
	c.SetReadDeadline(time.Unix(1, 0))
	_, err := c.Read(make([]byte, 1))
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

func get(t *testing.T, p *Pool[string], u *traffic.Upstream) (*h1.Client, bool) {
	t.Helper()
	cl, fresh, err := p.Get(&traffic.Call{Upstream: u}, "a", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return cl, fresh
}

func (x *Pool[K]) release(at K, cl *h1.Client, reusable bool) { x.lot(at).release(cl, reusable) }

// TestTheLastUsedComesFirst, and one that cannot be used again is closed.
func TestTheLastUsedComesFirst(t *testing.T) {
	d := &dialer{}
	p := &Pool[string]{Dial: d.dial}
	one, _ := get(t, p, nil)
	two, fresh := get(t, p, nil)
	if one == two || !fresh || d.dials != 2 {
		t.Fatalf("two calls at a time: fresh %v, %d dials", fresh, d.dials)
	}
	p.release("a", one, true)
	p.release("a", two, true)
	if cl, fresh := get(t, p, nil); cl != two || fresh {
		t.Error("not the one that was used last")
	}
	p.release("a", two, false)
	if isOpen(d.ends[1]) || !isOpen(d.ends[0]) {
		t.Error("one that broke stays open, or one that is good was closed")
	}
}

func TestCallsPerConnection(t *testing.T) {
	d := &dialer{}
	p := &Pool[string]{Dial: d.dial}
	twice := &traffic.Upstream{Connect: traffic.Connect{MaxRequests: 2}}
	one, _ := get(t, p, twice)
	p.release("a", one, true)
	again, _ := get(t, p, twice)
	p.release("a", again, true)
	if one != again || isOpen(d.ends[0]) {
		t.Error("a connection for two calls carries one, or more than two")
	}
	p.release("a", func() *h1.Client { cl, _ := get(t, p, nil); return cl }(), true)
	if _, fresh := get(t, p, &traffic.Upstream{Connect: traffic.Connect{MaxRequests: 1}}); !fresh {
		t.Error("a call that is to have a connection of its own shares one")
	}
}

func TestIdle(t *testing.T) {
	d := &dialer{}
	p := &Pool[string]{Dial: d.dial}
	soon := &traffic.Upstream{Connect: traffic.Connect{Idle: time.Second}}
	cl, _ := get(t, p, soon)
	cl.End(nil, time.Time{}, time.Unix(1000, 0)) // its first call broke off
	if isOpen(d.ends[0]) {
		t.Error("a connection on which a call broke off stays open")
	}
	cl, _ = get(t, p, soon)
	p.release("a", cl, true) // it idles since the year 1
	p.Idle(time.Unix(1001, 0))
	if isOpen(d.ends[1]) || len(p.places) > 0 {
		t.Errorf("after its time: open %v, %d places", isOpen(d.ends[1]), len(p.places))
	}
}

// TestTooManyIdle: beyond the bound a connection that is given back is closed.
func TestTooManyIdle(t *testing.T) {
	d := &dialer{}
	p := &Pool[string]{Dial: d.dial}
	var all []*h1.Client
	for range maxIdle + 1 {
		cl, _ := get(t, p, nil)
		all = append(all, cl)
	}
	for _, cl := range all {
		p.release("a", cl, true)
	}
	if n := len(p.lot("a").open); n != maxIdle || isOpen(d.ends[maxIdle]) || !isOpen(d.ends[maxIdle-1]) {
		t.Errorf("%d are kept, want %d", n, maxIdle)
	}
}

// TestIdleTimeIsTheConnections: one call's policy does not change what was said of another's connection.
func TestIdleTimeIsTheConnections(t *testing.T) {
	d := &dialer{}
	p := &Pool[string]{Dial: d.dial}
	long, _ := get(t, p, &traffic.Upstream{Connect: traffic.Connect{Idle: 1 << 62}})
	short, _ := get(t, p, &traffic.Upstream{Connect: traffic.Connect{Idle: time.Second}})
	p.release("a", long, true)
	p.release("a", short, true) // both idle since the year 1
	p.Idle(time.Time{}.Add(time.Hour))
	if !isOpen(d.ends[0]) || isOpen(d.ends[1]) {
		t.Errorf("the one that may idle for long is open %v, the other %v", isOpen(d.ends[0]), isOpen(d.ends[1]))
	}
}

// TestPlaceGoesWhileItIsDialled: a place is kept as long as somebody dials it.
func TestPlaceGoesWhileItIsDialled(t *testing.T) {
	d := &dialer{}
	p := &Pool[string]{Dial: d.dial}
	d.first = func() { p.Idle(time.Now()) }
	cl, _ := get(t, p, nil)
	p.release("a", cl, true)
	if again, fresh := get(t, p, nil); again != cl || fresh {
		t.Error("a connection was lost")
	}
	d.err = traffic.ErrConnect
	if _, _, err := p.Get(&traffic.Call{}, "b", time.Second); err != traffic.ErrConnect {
		t.Errorf("%v", err)
	}
}

func TestLeave(t *testing.T) {
	d := &dialer{}
	p := &Pool[string]{Dial: d.dial}
	one, _ := get(t, p, nil)
	two, _ := get(t, p, nil)
	p.release("a", one, true)
	p.Leave()
	if isOpen(d.ends[0]) || !isOpen(d.ends[1]) {
		t.Error("one that idles stays, or one in use does not")
	}
	p.release("a", two, true)
	if three, fresh := get(t, p, nil); !fresh || isOpen(d.ends[1]) {
		t.Error("one was kept to be used again")
	} else if p.release("a", three, true); isOpen(d.ends[2]) {
		t.Error("a new one was kept to be used again")
	}
}

func TestClose(t *testing.T) {
	d := &dialer{}
	p := &Pool[string]{Dial: d.dial}
	get(t, p, nil)
	d.first = p.Close
	if _, _, err := p.Get(&traffic.Call{}, "a", time.Second); !errors.Is(err, traffic.ErrConnect) {
		t.Errorf("dialled while the pool was closed: %v", err)
	}
	if isOpen(d.ends[0]) || isOpen(d.ends[1]) {
		t.Error("a connection stays open")
	}
	if _, _, err := p.Get(&traffic.Call{}, "new", time.Second); !errors.Is(err, traffic.ErrConnect) {
		t.Errorf("a closed pool: %v", err)
	}
}
