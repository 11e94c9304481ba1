package h2

import (
	"runtime"
	"time"

	"github.com/weft-mesh/weft/proxy/buffer"
	"github.com/weft-mesh/weft/wire/http2"
)

// writer is the one way out of a connection. Its fields are guarded by the connection's lock.
type writer struct {
	out     []byte // frames for the next write
	taken   uint64 // how many buffers were written before
	kicked  bool   // the writer knows that there is something
	writing bool   // it is inside Write
	manned  bool   // it has a goroutine, or will have one when the connection starts
	spare   bool   // that may end, since there has been nothing to write for a while
	spent   bool   // it has ended: nothing is written any more, and no buffer is taken for it
	writes  uint64
	sendWin int64 // of the connection
	waiting int   // bytes that streams wait to send, and
	waiters int   // how many streams do
	ring    ring  // streams with bytes to send and window for them, in turn
	enc     *http2.Encoder
	path    []byte // with its query, for the moment that it takes to encode it
}

// kick tells the writer that there is something to write. Called with the lock.
func (c *conn) kick() {
	if c.kicked {
		return
	}
	c.kicked = true
	c.man()
	c.nudge()
}

func (c *conn) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// man gives a writer that has left its goroutine another one. Called with the lock.
func (c *conn) man() {
	if c.manned {
		return
	}
	c.manned = true
	go c.writeLoop()
	if c.ticker != nil && c.err == nil {
		c.ticker.Reset(c.opts.period()) // what is written now has its timeouts
	}
}

// unman has the writer leave its goroutine: a stack of 4 to 8 KB that waits. Called with the lock.
func (c *conn) unman() {
	if c.manned && !c.kicked {
		c.spare = true
		c.nudge()
	}
}

// writeLoop writes until there is nothing to write for long, or the connection ends, and then what is left.
func (c *conn) writeLoop() {
	for {
		select {
		case <-c.wake:
			for next := more; next != nothing; {
				if next = c.flush(); next == leave {
					return
				}
			}
		case <-c.done:
			c.farewell()
			close(c.gone)
			return
		}
	}
}

// further is what a writer does after a write.
type further uint8

const (
	nothing further = iota // but wait
	more                   // write: there is more
	leave                  // end: the connection has another writer as soon as it needs one
)

// flush writes what is in the buffer. It yields first: whoever is ready to run adds its frames to the same write, which makes many small
// messages cheap.
func (c *conn) flush() further {
	runtime.Gosched()
	c.mu.Lock()
	c.fill()
	b := c.take()
	if b == nil || c.err != nil {
		defer c.mu.Unlock()
		c.out = b
		c.kicked = c.err != nil
		if c.spare && !c.kicked {
			c.spare, c.manned = false, false
			return leave
		}
		return nothing
	}
	c.spare = false
	c.writing = true
	c.writes++
	c.mu.Unlock()
	_, err := c.nc.Write(b)
	buffer.Put(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	if err != nil {
		c.fail(err, lost(err), 0)
		return nothing
	}
	if len(c.out) == 0 && !c.ready() {
		c.kicked = false
		return nothing
	}
	return more
}

// take hands over the buffer; nil if it is empty. Called with the lock.
func (c *conn) take() []byte {
	if len(c.out) == 0 {
		buffer.Put(c.out) // room that nobody used: by whom a field was left out, or an end came before
		c.out = nil
		return nil
	}
	b := c.out
	c.out = nil
	c.taken++
	return b
}

// farewell writes the last words of a connection that has ended.
func (c *conn) farewell() {
	c.mu.Lock()
	b, grace := c.take(), c.grace
	c.spent = true
	c.mu.Unlock()
	if b != nil && grace > 0 {
		c.nc.SetWriteDeadline(time.Now().Add(grace))
		_, _ = c.nc.Write(b) // the last words; the connection ends
	}
	if b != nil {
		buffer.Put(b)
	}
	if !c.linger {
		c.nc.Close()
	}
}

// room makes space for n more bytes in the buffer. Called with the lock.
func (c *conn) room(n int) {
	if !c.spent {
		c.out = buffer.Grow(c.out, n)
	}
}

// control makes room for a small frame in answer to the peer, and fails if answers pile up. Called with the lock.
func (c *conn) control() error {
	if len(c.out) > backlog {
		return c.abuse(WriteBacklog)
	}
	c.room(64)
	c.kick()
	return nil
}

// ready says whether a stream has something that can be sent now. Called with the lock.
func (c *conn) ready() bool { return c.ring.first != nil && c.sendWin > 0 }

// fill adds DATA of waiting streams, a frame each in turn. Called with the lock.
func (c *conn) fill() {
	for c.ready() && len(c.out) < highWater {
		s := c.ring.first
		c.ring.remove(s)
		c.feed(s)
		if s.sending && s.sendWin > 0 {
			c.ring.add(s)
		}
	}
}

// feed adds one frame of a stream's bytes. Called with the lock.
func (c *conn) feed(s *stream) {
	n := int(min(int64(len(s.pend)), frameSize, int64(c.peer.maxFrame), s.sendWin, c.sendWin))
	if n <= 0 && len(s.pend) > 0 {
		return
	}
	n = max(n, 0) // a stream's window may be negative (RFC 9113 section 6.9.2); an empty frame needs none
	end := s.pendEnd && n == len(s.pend)
	c.room(http2.HeaderLen + n)
	s.mark()
	c.out = http2.Data{Stream: s.id, EndStream: end, Data: s.pend[:n]}.Append(c.out)
	s.pend = s.pend[n:]
	c.waiting -= n
	s.sendWin -= int64(n)
	c.sendWin -= int64(n)
	s.moved = true
	c.floods.sent++
	c.useful()
	if len(s.pend) > 0 {
		return
	}
	s.sending, s.pend = false, nil
	c.waiters--
	s.writable.Signal()
	if end {
		s.sent()
	}
}

// mark notes where the stream's latest frame begins. Called with the lock.
func (s *stream) mark() { s.tail, s.tailOf = len(s.c.out), s.c.taken }

// endNow makes the stream's latest frame its last, if it has not been written yet: most bodies end right after their last
// byte, and an empty frame more costs both sides. Called with the lock.
func (s *stream) endNow() bool {
	if s.tailOf != s.c.taken || s.tail < 0 {
		return false
	}
	s.c.out[s.tail+4] |= byte(http2.FlagEndStream)
	s.sent()
	return true
}

// ring is the list of streams that wait for their turn.
type ring struct{ first, last *stream }

func (r *ring) add(s *stream) {
	if s.queued {
		return
	}
	s.queued, s.prev, s.next = true, r.last, nil
	if r.last != nil {
		r.last.next = s
	} else {
		r.first = s
	}
	r.last = s
}

func (r *ring) remove(s *stream) {
	if !s.queued {
		return
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		r.first = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		r.last = s.prev
	}
	s.queued, s.prev, s.next = false, nil, nil
}
