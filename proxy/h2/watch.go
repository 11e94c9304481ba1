package h2

import (
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/wire/http2"
)

// watch is what the clock has seen. Its ticks come a few times per timeout, so that nothing on a call's way reads a clock; a
// timeout is exact to a quarter.
type watch struct {
	reads, frames atomic.Uint64
	partial       atomic.Bool // a frame or a field section has begun
	large         atomic.Bool // the reader has a large buffer, or a large field section

	at                       time.Time
	lastReads, lastFrames    uint64
	lastWrites               uint64
	lastOpened               int
	hand, frame, write, idle time.Duration // how long each has gone on
	silence, pinged          time.Duration
	pingOut, drainOut        bool
}

func (w *watch) begin(now time.Time) { w.at = now }

var (
	keepAlive = [8]byte{'a', 'l', 'i', 'v', 'e'}
	drainMark = [8]byte{'d', 'r', 'a', 'i', 'n'}
)

// drainGrace passes between the answer to drainMark and the second GOAWAY: some clients (net/http's) answer on one goroutine while
// another has picked the connection for a stream and has not sent its HEADERS yet. It bounds how late these may be.
const drainGrace = 100 * time.Millisecond

// over adds to a timeout that goes on, or begins it anew, and says whether it has passed.
func over(sum *time.Duration, on bool, step, limit time.Duration) bool {
	if !on {
		*sum = 0
		return false
	}
	*sum += step
	return limit > 0 && *sum >= limit
}

// tick looks at the clock.
func (c *conn) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	w, now := &c.watch, time.Now()
	step := now.Sub(w.at)
	w.at = now
	reads, frames := w.reads.Load(), w.frames.Load()
	switch {
	case over(&w.hand, !c.peer.settled, step, c.opts.HandshakeTimeout):
		c.timeout(HandshakeStall, http2.SettingsTimeout)
	case over(&w.frame, w.partial.Load() && frames == w.lastFrames, step, c.opts.FrameTimeout):
		c.timeout(SlowFrame, http2.EnhanceYourCalm)
	case over(&w.write, c.writing && c.writes == w.lastWrites, step, c.opts.WriteTimeout):
		c.timeout(WriteStall, http2.EnhanceYourCalm)
	case c.silent(reads == w.lastReads, step):
		c.timeout(PingLost, http2.NoError)
	case over(&w.idle, len(c.streams) == 0 && c.floods.opened == w.lastOpened, step, c.opts.IdleTimeout):
		c.role.idled()
	}
	quiet := reads == w.lastReads && c.writes == w.lastWrites && len(c.streams) == 0 && c.err == nil
	if reads == w.lastReads && len(c.streams) == 0 && c.err == nil && (w.large.Load() || c.restable()) {
		c.nc.SetReadDeadline(past) // see rest
	}
	if quiet {
		c.unman()
	}
	c.stalls(step)
	w.lastReads, w.lastFrames, w.lastWrites, w.lastOpened = reads, frames, c.writes, c.floods.opened
	if c.err == nil {
		c.ticker.Reset(c.pace(!quiet))
	}
}

// pace is when to look at the clock again: soon if the connection may be about to rest, late if it does. Called with the lock.
func (c *conn) pace(active bool) time.Duration {
	p := c.opts.period()
	switch {
	case c.opts.Rest != nil && active && len(c.streams) == 0:
		return min(p, restAfter)
	case c.unpark != nil && !c.draining && !c.watch.pingOut && !c.manned:
		return max(p, c.opts.slowly())
	}
	return p
}

func (c *conn) timeout(r Reason, code http2.ErrCode) {
	c.opts.Report(r)
	c.end(code, &http2.Error{Code: code, Reason: string(r)})
}

// silent asks a silent peer for a sign of life, and says whether it gave none. Called with the lock.
func (c *conn) silent(silent bool, step time.Duration) bool {
	w := &c.watch
	if !silent {
		w.pingOut = false
	}
	if over(&w.pinged, w.pingOut, step, c.opts.PingTimeout) {
		return true
	}
	limit := c.opts.PingInterval
	if len(c.streams) > 0 {
		limit = c.opts.WaitInterval
	}
	if over(&w.silence, silent, step, limit) && !w.pingOut {
		w.pingOut = true
		c.room(64)
		c.out = http2.Ping{Data: keepAlive}.Append(c.out)
		c.kick()
	}
	return false
}

// pong takes the answer to one of our pings. Called with the lock.
func (c *conn) pong(data [8]byte) {
	c.watch.pingOut = false
	if s, ok := c.role.(*Server); ok && data == drainMark {
		time.AfterFunc(drainGrace, s.refuseMore)
	}
}

// stalls resets the streams whose bytes the peer does not let go (zero windows), and does what else the clock is for.
// Called with the lock.
func (c *conn) stalls(step time.Duration) {
	if c.err != nil {
		return
	}
	for _, s := range c.streams {
		if s.moved || !s.sending || s.raw {
			s.moved, s.stalled = false, 0
			continue
		}
		if s.stalled += step; c.opts.StallTimeout > 0 && s.stalled >= c.opts.StallTimeout {
			c.opts.Report(WindowStall)
			s.reset(http2.Cancel, &ResetError{Code: http2.Cancel, Reason: "the peer's window stayed shut"})
		}
	}
	s, ok := c.role.(*Server)
	if !ok {
		return
	}
	s.dismiss(s.spare)
	if c.watch.drainOut {
		s.drained() // the client does not answer
	}
	c.watch.drainOut = c.draining
}
