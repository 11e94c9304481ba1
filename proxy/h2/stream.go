package h2

import (
	"io"
	"sync"
	"time"

	"github.com/weft-mesh/weft/proxy/buffer"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// side is what a stream of a Server and one of a Client do differently. All is called with the connection's lock.
type side interface {
	// fields takes a further field section. An *http2.Error of the stream resets it.
	fields(end bool) error
	// data is told before the first bytes are kept.
	data() error
	// ended is told when the peer has sent all.
	ended()
	// aborted is told when the stream has failed.
	aborted()
}

// stream is one stream of either role. Its fields are guarded by the connection's lock, but for the lent buffer, which
// belongs to the body's reader.
type stream struct {
	c    *conn
	side side
	id   uint32
	born time.Time

	sendWin    int64
	pend       []byte // lent by whoever is inside send
	pendEnd    bool
	sending    bool   // pend waits
	stopSend   bool   // send must return
	raw        bool   // bytes of a tunnel: it may stand still for as long as its two ends like
	sendClosed bool   // END_STREAM or RST_STREAM was sent, or received
	tail       int    // where in the buffer its latest DATA or final HEADERS frame begins; -1: none
	tailOf     uint64 // in which buffer
	moved      bool   // something was sent since the last look at the clock
	stalled    time.Duration
	writable   sync.Cond
	queued     bool
	prev, next *stream

	in, lent    []byte
	window      int64 // that the peer may send before any is consumed
	recvWin     int64 // that it may send now
	unacked     int64
	length      int64 // bytes that content-length still promises; -1: unknown
	recvClosed  bool  // END_STREAM was received
	discard     bool  // nobody reads any more
	interrupted bool
	readable    sync.Cond

	err error // why the stream failed
}

// begin readies a stream and adds it to its connection. Called with the lock.
func (s *stream) begin(c *conn, side side, id uint32) {
	*s = stream{c: c, side: side, id: id, sendWin: c.peer.window, window: firstWindow, recvWin: firstWindow, length: -1, tail: -1}
	s.writable.L, s.readable.L = &c.mu, &c.mu
	c.streams[id] = s
	c.promised += firstWindow
	c.floods.opened++
}

// send sends bytes of the body, and returns when all are in the connection's buffer: it waits for windows and for its turn.
func (s *stream) send(p []byte, end bool) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := s.unsendable(); err != nil {
		return err
	}
	if len(p) == 0 && end && s.endNow() {
		return nil
	}
	s.pend, s.pendEnd, s.sending, s.stalled = p, end, true, 0
	c.waiters++
	c.waiting += len(p)
	for s.sending && (len(p) == 0 || c.ring.first == nil && len(c.out) < highWater && s.sendWin > 0 && c.sendWin > 0) {
		c.feed(s)
	}
	if s.sending && s.sendWin > 0 {
		c.ring.add(s)
	}
	c.kick()
	for s.sending && s.unsendable() == nil {
		s.writable.Wait()
	}
	if !s.sending {
		return nil
	}
	c.ring.remove(s)
	c.waiters--
	c.waiting -= len(s.pend)
	s.sending, s.pend = false, nil
	return s.unsendable()
}

func (s *stream) unsendable() error {
	switch {
	case s.err != nil:
		return s.err
	case s.stopSend || s.sendClosed:
		return errStopped
	}
	return nil
}

// sent notes that the last frame is on its way. Called with the lock.
func (s *stream) sent() {
	s.sendClosed = true
	if s.recvClosed {
		s.c.remove(s)
	}
}

// received notes that the peer has sent its last frame. Called with the lock.
func (s *stream) received() {
	s.recvClosed = true
	s.readable.Signal()
	s.side.ended()
	if s.sendClosed {
		s.c.remove(s)
	}
}

// fail ends the stream at once. Called with the lock.
func (s *stream) fail(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	s.drop()
	s.writable.Signal()
	s.readable.Signal()
	s.side.aborted()
	if s.c.err == nil {
		s.c.remove(s)
	}
}

// reset ends the stream at once and tells the peer. Called with the lock.
func (s *stream) reset(code http2.ErrCode, err error) {
	if s.err != nil || s.sendClosed && s.recvClosed {
		return
	}
	s.c.sendReset(s.id, code)
	if cl, ok := s.c.role.(*Client); ok && !s.recvClosed {
		cl.gaveUp()
	}
	s.fail(err)
}

// sendReset writes a RST_STREAM. Called with the lock.
func (c *conn) sendReset(id uint32, code http2.ErrCode) {
	if c.err != nil {
		return
	}
	c.resets.add(id)
	c.room(64)
	c.out = http2.RSTStream{Stream: id, Code: code}.Append(c.out)
	c.kick()
}

// drop gives back the window of bytes that nobody will read. Called with the lock.
func (s *stream) drop() {
	s.discard = true
	s.c.credit(int64(len(s.in)))
	buffer.Put(s.in)
	s.in = nil
}

// keep takes bytes of a DATA frame. Called with the lock.
func (s *stream) keep(p []byte) {
	if s.discard {
		s.c.credit(int64(len(p)))
		return
	}
	s.in = append(buffer.Grow(s.in, len(p)), p...)
	s.readable.Signal()
}

// read lends what has come, and gives back the window of what it lent before. Called with the lock.
func (s *stream) read() ([]byte, error) {
	s.consumed()
	for {
		switch {
		case s.err != nil:
			return nil, s.err
		case s.interrupted:
			return nil, traffic.ErrInterrupted
		case len(s.in) > 0:
			s.lent, s.in = s.in, nil
			return s.lent, nil
		case s.recvClosed || s.discard:
			return nil, io.EOF
		}
		s.readable.Wait()
	}
}

// ready says whether read would return without waiting.
func (s *stream) ready() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.err != nil || s.interrupted || len(s.in) > 0 || s.recvClosed || s.discard
}

// consumed gives back the window of what was lent. Updates wait until they are worth a frame. Called with the lock.
func (s *stream) consumed() {
	n := int64(len(s.lent))
	if s.lent != nil {
		buffer.Put(s.lent)
		s.lent = nil
	}
	s.credit(n)
}

// credit lets the peer send n more bytes. Called with the lock.
func (s *stream) credit(n int64) {
	if s.c.credit(n); s.recvClosed || s.err != nil {
		return
	}
	s.unacked += n
	if s.unacked >= s.window/2 {
		s.trust()
		s.c.room(64)
		s.c.out = http2.WindowUpdate{Stream: s.id, Increment: uint32(s.unacked)}.Append(s.c.out)
		s.recvWin += s.unacked
		s.unacked = 0
		s.c.kick()
	}
}

// trust gives a stream whose bytes are consumed its whole window, unless streams that stand still could then use up the connection's,
// and keep the others from going on. Called with the lock.
func (s *stream) trust() {
	c := s.c
	more := int64(c.opts.StreamWindow) - s.window
	if more <= 0 || c.promised+more > int64(c.opts.ConnWindow-c.opts.ConnWindow/creditShare) {
		return
	}
	s.window += more
	s.unacked += more
	c.promised += more
}

// credit lets the peer send n more bytes on the connection. Called with the lock.
func (c *conn) credit(n int64) {
	c.unacked += n
	if c.unacked >= int64(c.opts.ConnWindow/creditShare) && c.err == nil {
		c.room(64)
		c.out = http2.WindowUpdate{Increment: uint32(c.unacked)}.Append(c.out)
		c.recvWin += c.unacked
		c.unacked = 0
		c.kick()
	}
}

func (s *stream) interrupt(on bool) {
	s.c.mu.Lock()
	s.interrupted = on
	if on {
		s.readable.Signal()
	}
	s.c.mu.Unlock()
}
