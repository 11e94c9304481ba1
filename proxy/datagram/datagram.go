// Package datagram makes sessions of the datagrams that come to a port of UDP: what comes from one address and port goes to one callee,
// and what that one answers goes back. A session ends when nothing has passed for a while.
//
// Who sends datagrams may write any address as theirs, so that everything is bounded: the sessions of a port, what waits for a callee to be
// chosen, and how long a session lives that nobody answers. Where there are too many, a new sender takes the place of one that may be forged:
// of the oldest session whose sender has sent nothing since it was answered. Where all senders are there for certain, it takes the idlest place of
// who has more than a share, so that nobody keeps others out by taking all. What is over a bound is dropped, and counted by Options.Refused.
// The errors are those of package traffic.
package datagram

import (
	"bytes"
	"container/list"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/proxy/buffer"
	"github.com/weft-mesh/weft/traffic"
)

// Options are a port's. Serve, Go and Refused are required; a zero number takes the value in brackets.
type Options struct {
	// Serve serves a session on a goroutine of its own, until it has ended. What comes from the same address for as long as it returns is
	// dropped: an answer of no is not looked for anew for each datagram.
	Serve   func(*Session) (silence time.Duration)
	Go      func(func())
	Refused func(reason string)

	Most       int           // sessions at once [4096]
	Idle       time.Duration // without a datagram either way [60 s]
	Unanswered time.Duration // the same, of one whose callee has not answered yet [30 s]
	Moment     time.Duration // before a session may give way to another sender's: so often at most does one cost what it takes to begin it [1 s]
	Look       time.Duration // between two times that a full port is looked through: with 4,096 sessions that takes 0.1 ms, in which no datagram is taken [5 ms]
}

// Bounds of what waits for the callee to be chosen, in a session: so many datagrams, and so many bytes but for the first one.
const (
	mostWaiting  = 8
	bytesWaiting = 16 << 10
)

// largest is the room that any datagram has.
const largest = 64 << 10

// Port is a port of UDP that is served.
type Port struct {
	o      Options
	conn   *net.UDPConn
	mu     sync.Mutex
	open   map[netip.AddrPort]*Session
	doubts list.List // of those open the sessions whose sender has not sent since it was answered, the oldest first
	sure   crowd     // of the others
	looked time.Time // by idlest
	closed bool
}

// Serve serves what comes to a socket, until it is closed; its sessions end with it.
func Serve(conn *net.UDPConn, o Options) {
	if o.Most == 0 {
		o.Most = 4096
	}
	if o.Idle == 0 {
		o.Idle = time.Minute
	}
	if o.Unanswered == 0 {
		o.Unanswered = 30 * time.Second
	}
	if o.Moment == 0 {
		o.Moment = time.Second
	}
	if o.Look == 0 {
		o.Look = 5 * time.Millisecond
	}
	p := &Port{o: o, conn: conn, open: map[netip.AddrPort]*Session{}, sure: crowd{}}
	defer p.end()
	b := make([]byte, largest)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			o.Refused("receive")
			time.Sleep(5 * time.Millisecond) // of memory, which is short for a while
		default:
			s := p.of(from)
			if s != nil && !s.take(b[:n]) { // it has just ended, with nothing wrong
				p.remove(s)
				s = p.of(from)
				_ = s != nil && s.take(b[:n])
			}
		}
	}
}

// of finds or begins the session of a sender; nil: there are too many.
func (p *Port) of(from netip.AddrPort) *Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.open[from]; s != nil {
		if s.doubt != nil && s.answered.Load() {
			p.doubts.Remove(s.doubt)
			s.doubt, s.sure = nil, true
			p.sure.count(s.network, 1)
		}
		return s
	}
	of := network(from.Addr())
	if p.closed || len(p.open) >= p.o.Most && !p.makeRoom(of) {
		p.o.Refused("too-many-sessions")
		return nil
	}
	s := &Session{port: p, from: from, network: of, began: time.Now()}
	s.touch()
	p.open[from], s.doubt = s, p.doubts.PushBack(s)
	p.o.Go(func() {
		silence := p.o.Serve(s)
		s.finish()
		if silence > 0 {
			time.AfterFunc(silence, func() { p.remove(s) })
			return
		}
		p.remove(s)
	})
	return s
}

// makeRoom ends a session that may be a forgery, or is one too many of its sender's. It needs the lock.
func (p *Port) makeRoom(to netip.Addr) bool {
	now := time.Now()
	s := p.forged(now)
	if s == nil {
		s = p.idlest(to, now)
	}
	if s == nil {
		return false
	}
	p.forget(s)
	s.Interrupt(true)
	p.o.Refused("gave-way")
	return true
}

// forged is the oldest session that may be a forgery, if it has had its moment. It needs the lock.
func (p *Port) forged(now time.Time) *Session {
	oldest := p.doubts.Front()
	if oldest == nil {
		return nil
	}
	if s := oldest.Value.(*Session); now.Sub(s.began) >= p.o.Moment {
		return s
	}
	return nil
}

func (p *Port) remove(s *Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(s)
}

// forget needs the lock.
func (p *Port) forget(s *Session) {
	if p.open[s.from] == s {
		delete(p.open, s.from)
	}
	if s.doubt != nil {
		p.doubts.Remove(s.doubt)
		s.doubt = nil
	}
	if s.sure {
		p.sure.count(s.network, -1)
		s.sure = false
	}
}

func (p *Port) end() {
	p.mu.Lock()
	p.closed = true
	all := make([]*Session, 0, len(p.open))
	for _, s := range p.open {
		all = append(all, s)
	}
	p.mu.Unlock()
	for _, s := range all {
		s.Interrupt(true)
	}
}

// Session is what one sender sends, and what it gets. It is the response's body of its call.
type Session struct {
	port     *Port
	from     netip.AddrPort
	network  netip.Addr // see crowd
	began    time.Time
	doubt    *list.Element // in port.doubts; nil: it is not among them. Of the port's lock, as sure
	sure     bool          // it is counted in port.sure
	answered atomic.Bool   // the callee has
	last     atomic.Int64  // when something passed, in ns since 1970

	mu       sync.Mutex
	waiting  [][]byte // for the callee
	bytes    int      // of those
	to       *sys.Datagrams
	over     bool
	idled    bool
	stopped  bool
	broken   error // sending failed
	sent     int64
	received int64
}

// From is the sender.
func (s *Session) From() netip.AddrPort {
	return netip.AddrPortFrom(s.from.Addr().Unmap(), s.from.Port())
}

// Passed is how many bytes went to the callee, and how many came back.
func (s *Session) Passed() (sent, received int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, s.received
}

func (s *Session) touch() { s.last.Store(time.Now().UnixNano()) }

// take is given a datagram of the sender's; false: the session has idled and takes no more.
func (s *Session) take(b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.idled:
		return false
	case s.over || s.stopped:
		return true
	case s.to != nil:
		s.send(b)
	case len(s.waiting) > 0 && (len(s.waiting) == mostWaiting || s.bytes+len(b) > bytesWaiting):
		s.port.o.Refused("too-many-waiting")
		return true
	default:
		s.waiting, s.bytes = append(s.waiting, bytes.Clone(b)), s.bytes+len(b)
	}
	s.touch()
	return true
}

// send needs the lock.
func (s *Session) send(b []byte) {
	if err := s.to.Send(b); err != nil && s.broken == nil {
		s.broken = err
		_ = s.to.SetReadDeadline(past) // Pump reports it
		return
	}
	s.sent += int64(len(b))
}

// Join makes a callee's socket the session's, and sends there what has waited. The socket is closed with the call.
func (s *Session) Join(c *traffic.Call, to *sys.Datagrams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = to
	c.Response.Status, c.Response.Body = 200, s
	c.AtEnd(s)
	for _, b := range s.waiting {
		s.send(b)
	}
	s.waiting, s.bytes = nil, 0
	if s.stopped {
		_ = to.SetReadDeadline(past)
	}
}

// Pump passes on what the callee answers, until nothing has passed for a while: then it returns nil.
func (s *Session) Pump() error {
	var b []byte
	room := func() []byte {
		if b == nil {
			b = buffer.Get(largest)
		}
		return b[:cap(b)]
	}
	defer func() {
		if b != nil {
			buffer.Put(b)
		}
	}()
	for {
		if over, err := s.awaits(); over {
			return err
		}
		n, err := s.to.Receive(room)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return errors.Join(traffic.ErrReset, err)
		default:
			s.answered.Store(true)                               // before the sender can know
			_, _ = s.port.conn.WriteToUDPAddrPort(b[:n], s.from) // that the sender cannot be reached is its own affair
			s.touch()
			s.mu.Lock()
			s.received += int64(n)
			s.mu.Unlock()
		}
		if b != nil { // who waits has no buffer
			buffer.Put(b)
			b = nil
		}
	}
}

// awaits bounds the wait for the next answer; over: there is nothing to wait for any more.
func (s *Session) awaits() (over bool, err error) {
	idle := s.port.o.Unanswered
	if s.answered.Load() {
		idle = s.port.o.Idle
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	until := time.Unix(0, s.last.Load()).Add(idle)
	switch {
	case s.stopped:
		return true, traffic.ErrInterrupted
	case s.broken != nil:
		return true, errors.Join(traffic.ErrReset, s.broken)
	case !time.Now().Before(until):
		s.idled = true
		return true, nil
	}
	return false, s.to.SetReadDeadline(until)
}

// finish says that what still comes is dropped.
func (s *Session) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over, s.waiting = true, nil
}

// Next has nothing to give: Pump passes everything on.
func (s *Session) Next() ([]byte, error) { return nil, traffic.ErrInterrupted }

// Interrupt ends the session.
func (s *Session) Interrupt(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = s.stopped || on
	if s.stopped && s.to != nil {
		_ = s.to.SetReadDeadline(past)
	}
}

// Close ends the session.
func (s *Session) Close(error) { s.Interrupt(true) }

// End closes the callee's socket.
func (s *Session) End(*traffic.Call, time.Time, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.to != nil {
		s.to.Close()
		s.to, s.over = nil, true
	}
}

var past = time.Unix(1, 0)
