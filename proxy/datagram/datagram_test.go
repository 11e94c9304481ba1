package datagram

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/traffic"
)

const bound = 30 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func socket(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(bound)))
	return c
}

func at(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// port is a port that is served, and what became of its sessions.
type port struct {
	t     *testing.T
	conn  *net.UDPConn
	ended chan error
	begun chan *Session

	mu      sync.Mutex
	refused map[string]int
}

// serve has each session go where dial says; an error of dial refuses it for that long.
func serve(t *testing.T, o Options, dial func(*Session) (*sys.Datagrams, time.Duration)) *port {
	t.Helper()
	p := &port{t: t, conn: socket(t), ended: make(chan error, 100), begun: make(chan *Session, 100), refused: map[string]int{}}
	var running sync.WaitGroup
	o.Go = func(f func()) { running.Go(f) }
	o.Refused = func(why string) { p.mu.Lock(); p.refused[why]++; p.mu.Unlock() }
	o.Serve = func(s *Session) time.Duration {
		p.begun <- s
		to, silence := dial(s)
		if to == nil {
			return silence
		}
		c := &traffic.Call{}
		c.Begin(nil, &traffic.Conn{})
		s.Join(c, to)
		err := s.Pump()
		c.Finish(time.Now())
		p.ended <- err
		return 0
	}
	running.Go(func() { Serve(p.conn, o) })
	t.Cleanup(func() { p.conn.Close(); running.Wait() })
	return p
}

func (p *port) eventually(what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(bound); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatal("never " + what)
		}
	}
}

func (p *port) count(why string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused[why]
}

func (p *port) end() error {
	p.t.Helper()
	select {
	case err := <-p.ended:
		return err
	case <-time.After(bound):
		p.t.Fatal("the session goes on")
		return nil
	}
}

// echo answers each datagram with itself and the sender's port.
func echo(t *testing.T) netip.AddrPort {
	c := socket(t)
	go func() {
		b := make([]byte, largest)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	return at(c)
}

func to(t *testing.T, callee netip.AddrPort) func(*Session) (*sys.Datagrams, time.Duration) {
	return func(*Session) (*sys.Datagrams, time.Duration) {
		d, err := sys.DialUDP(callee)
		if err != nil {
			t.Error(err)
		}
		return d, 0
	}
}

func client(t *testing.T, p *port) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, p.conn.LocalAddr().(*net.UDPAddr))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(bound)))
	return c
}

func ask(t *testing.T, c *net.UDPConn, text string) {
	t.Helper()
	_, err := c.Write([]byte(text))
	must(t, err)
	b := make([]byte, largest)
	n, err := c.Read(b)
	if err != nil || string(b[:n]) != text {
		t.Fatalf("%v: %d bytes, want %d", err, n, len(text))
	}
}

// Each sender has a session of its own and gets its own answers, as they are: empty ones and the largest there are too.
func TestSessions(t *testing.T) {
	p := serve(t, Options{}, to(t, echo(t)))
	a, b := client(t, p), client(t, p)
	for _, text := range []string{"one", "", string(make([]byte, 65507)), "two"} {
		ask(t, a, "a"[:min(len(text), 1)]+text[min(len(text), 1):])
		ask(t, b, text)
	}
	if n := len(p.begun); n != 2 {
		t.Errorf("%d sessions", n)
	}
	s := <-p.begun
	if s.From() != at(a) && s.From() != at(b) {
		t.Errorf("from %v", s.From())
	}
	p.eventually("counted", func() bool { sent, received := s.Passed(); return sent == 65507+6 && received == sent })
}

// A session ends when nothing has passed for a while, which is shorter before the callee has answered; then its sender gets a new one.
func TestIdle(t *testing.T) {
	silent := at(socket(t))
	answers := echo(t)
	for name, x := range map[string]struct {
		o  Options
		to netip.AddrPort
	}{"answered": {Options{Idle: 20 * time.Millisecond, Unanswered: time.Hour}, answers}, "not answered": {Options{Idle: time.Hour, Unanswered: 20 * time.Millisecond}, silent}} {
		t.Run(name, func(t *testing.T) {
			p := serve(t, x.o, to(t, x.to))
			c := client(t, p)
			for range 2 {
				if x.to == answers {
					ask(t, c, "x")
				} else if _, err := c.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				if err := p.end(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// More senders than there may be at once are turned away until there is room.
func TestMost(t *testing.T) {
	p := serve(t, Options{Most: 2}, to(t, echo(t)))
	a, b, c := client(t, p), client(t, p), client(t, p)
	for range 2 { // nobody's forgery
		ask(t, a, "a")
		ask(t, b, "b")
	}
	_, err := c.Write([]byte("c"))
	must(t, err)
	p.eventually("refused", func() bool { return p.count("too-many-sessions") == 1 })
	(<-p.begun).Interrupt(true)
	if err := p.end(); !errors.Is(err, traffic.ErrInterrupted) {
		t.Error(err)
	}
	p.eventually("let in", func() bool {
		_, err := c.Write([]byte("c"))
		must(t, err)
		return len(p.begun) == 2
	})
}

// Forged addresses do not keep others out: a session whose sender has shown nothing gives way to another sender, once it has had a moment.
// One whose sender has answered an answer is nobody's forgery, and stays.
func TestForged(t *testing.T) {
	silent, answers := at(socket(t)), echo(t)
	var forged atomic.Bool
	p := serve(t, Options{Most: 2, Idle: time.Hour, Unanswered: time.Hour, Moment: time.Nanosecond}, func(s *Session) (*sys.Datagrams, time.Duration) {
		if forged.Load() {
			return to(t, silent)(s)
		}
		return to(t, answers)(s)
	})
	honest := client(t, p)
	ask(t, honest, "a")
	ask(t, honest, "b")
	<-p.begun
	forged.Store(true)
	for range 20 { // each from another address
		_, err := client(t, p).Write([]byte("x"))
		must(t, err)
		<-p.begun
	}
	forged.Store(false)
	ask(t, client(t, p), "c")
	ask(t, honest, "d")
	if n := len(p.begun); n != 1 {
		t.Errorf("%d new sessions, want that of who came last", n)
	}
	for range 20 {
		if err := p.end(); !errors.Is(err, traffic.ErrInterrupted) {
			t.Errorf("a session that gave way: %v", err)
		}
	}
	if n := p.count("gave-way"); n != 20 {
		t.Errorf("%d gave way", n)
	}
}

// Nor do they who are refused and not heard for a while; but none gives way at once, so that each costs what it does seldom.
func TestForgedRefused(t *testing.T) {
	refuse := func(*Session) (*sys.Datagrams, time.Duration) { return nil, time.Hour }
	for moment, want := range map[time.Duration]string{time.Nanosecond: "gave-way", time.Hour: "too-many-sessions"} {
		p := serve(t, Options{Most: 1, Moment: moment}, refuse)
		for range 2 {
			_, err := client(t, p).Write([]byte("x"))
			must(t, err)
		}
		p.eventually(want, func() bool { return p.count(want) == 1 })
	}
}

// TestShares: who takes all places keeps nobody out, though he is there for certain: of who has more than his share the idlest gives way. Who has
// no more than that stays, whoever comes.
func TestShares(t *testing.T) {
	p := serve(t, Options{Most: 6, Idle: time.Hour, Moment: time.Nanosecond, Look: time.Nanosecond}, to(t, echo(t)))
	from := func(ip string) *net.UDPConn {
		c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 0)), p.conn.LocalAddr().(*net.UDPAddr))
		must(t, err)
		t.Cleanup(func() { c.Close() })
		must(t, c.SetDeadline(time.Now().Add(bound)))
		return c
	}
	proves := func(c *net.UDPConn) {
		t.Helper()
		ask(t, c, "a")
		ask(t, c, "b")
	}
	var greedy []*net.UDPConn
	for range 6 {
		greedy = append(greedy, from("127.0.0.2"))
		proves(greedy[len(greedy)-1])
	}
	ask(t, greedy[0], "c") // so that it is not the idlest
	for range 6 {
		<-p.begun
	}
	gone := func(at ...int) {
		t.Helper()
		for _, i := range at {
			if err := p.end(); !errors.Is(err, traffic.ErrInterrupted) {
				t.Errorf("a session that gave way: %v", err)
			}
			if s := <-p.begun; s.From().Addr() == netip.MustParseAddr("127.0.0.2") {
				t.Errorf("the greedy one begins one for %v, in place of %d", s.From(), i)
			}
		}
	}
	first := from("127.0.0.3")
	proves(first)
	proves(from("127.0.0.3"))
	gone(1, 2)
	second := from("127.0.0.4")
	proves(second)
	proves(from("127.0.0.4"))
	gone(3, 4)
	for _, c := range []*net.UDPConn{greedy[0], greedy[5], first, second} { // two are left to each
		ask(t, c, "d")
	}
	if n := len(p.begun); n > 0 {
		t.Errorf("%d sessions were ended beside those", n)
	}
	for _, ip := range []string{"127.0.0.2", "127.0.0.3"} {
		before := p.count("too-many-sessions")
		_, err := from(ip).Write([]byte("x"))
		must(t, err)
		p.eventually("refused", func() bool { return p.count("too-many-sessions") > before })
	}
	if n := p.count("gave-way"); n != 4 {
		t.Errorf("%d gave way", n)
	}
}

// TestNetworks: addresses that one may have many of count as one.
func TestNetworks(t *testing.T) {
	c := crowd{}
	is := func(newcomer, greedy string) {
		t.Helper()
		got, ok := c.greedy(network(netip.MustParseAddr(newcomer)), 6)
		if ok != (greedy != "") || ok && got != netip.MustParseAddr(greedy) {
			t.Errorf("%v %v, want %q: %v", got, ok, greedy, c)
		}
	}
	is("192.0.2.1", "")
	for _, a := range []string{"2001:db8::1", "2001:db8::2%eth0", "2001:db8:0:0:ffff::", "2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.1"} {
		c.count(network(netip.MustParseAddr(a)), 1)
	}
	is("2001:db8::9", "2001:db8::") // three of six, of which each of three networks has two
	c.count(network(netip.MustParseAddr("2001:db8::7")), -1)
	is("2001:db8::9", "")
	c.count(network(netip.MustParseAddr("192.0.2.1")), -1)
	is("192.0.2.2", "2001:db8::") // each of four has one
	c.count(network(netip.MustParseAddr("2001:db8::1")), -1)
	is("192.0.2.2", "")
	c.count(network(netip.MustParseAddr("192.0.2.1")), -1)
	if len(c) != 2 {
		t.Errorf("%v", c)
	}
}

// What comes before the callee is chosen waits, up to a bound.
func TestWaiting(t *testing.T) {
	callee := socket(t)
	ready := make(chan bool)
	p := serve(t, Options{}, func(s *Session) (*sys.Datagrams, time.Duration) {
		<-ready
		return to(t, at(callee))(s)
	})
	c := client(t, p)
	const more = 5
	for i := range mostWaiting + more {
		_, err := c.Write([]byte{byte(i)})
		must(t, err)
	}
	p.eventually("over the bound", func() bool { return p.count("too-many-waiting") == more })
	close(ready)
	b := make([]byte, 10)
	for i := range mostWaiting {
		if n, _, err := callee.ReadFromUDPAddrPort(b); err != nil || n != 1 || b[0] != byte(i) {
			t.Fatalf("%v: %v", err, b[:n])
		}
	}
}

// Who is refused is not heard for a while.
func TestSilence(t *testing.T) {
	p := serve(t, Options{}, func(*Session) (*sys.Datagrams, time.Duration) { return nil, time.Hour })
	c, other := client(t, p), client(t, p)
	for range 10 {
		_, err := c.Write([]byte("x"))
		must(t, err)
	}
	_, err := other.Write([]byte("x"))
	must(t, err)
	p.eventually("both", func() bool { return len(p.begun) >= 2 })
	if n := len(p.begun); n != 2 {
		t.Errorf("%d sessions", n)
	}
	p = serve(t, Options{}, func(*Session) (*sys.Datagrams, time.Duration) { return nil, time.Millisecond })
	c = client(t, p)
	p.eventually("heard again", func() bool {
		_, err := c.Write([]byte("x"))
		must(t, err)
		return len(p.begun) >= 2
	})
}

// A callee where nobody takes datagrams ends the session with an error, whoever learns of it: who reads or who sends.
func TestNobody(t *testing.T) {
	gone := socket(t)
	where := at(gone)
	gone.Close()
	p := serve(t, Options{}, to(t, where))
	c := client(t, p)
	_, err := c.Write([]byte("x"))
	must(t, err)
	if err := p.end(); !errors.Is(err, traffic.ErrReset) {
		t.Error(err)
	}
}

// Sessions end with their port.
func TestEnd(t *testing.T) {
	p := serve(t, Options{}, to(t, echo(t)))
	ask(t, client(t, p), "x")
	p.conn.Close()
	if err := p.end(); !errors.Is(err, traffic.ErrInterrupted) {
		t.Error(err)
	}
}
