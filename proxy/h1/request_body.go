package h1

import (
	"io"
	"sync"
	"time"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http1"
)

// requestBody is what a caller sends after its head. Of a request that asks for another protocol (Upgrade, CONNECT) it waits
// until the answer says whether there are bytes of that protocol; if not, it is empty, and what follows is another request.
type requestBody struct {
	incoming
	c       *Conn
	waits   bool          // for 100, as far as Next knows
	expects bool          // the caller waits for 100: it may send the body or not
	waited  time.Duration // for bytes, where there is a minimum rate

	use   sync.Mutex // held by Next
	mu    sync.Mutex // of what follows
	cond  sync.Cond
	mode  mode
	stop  bool // Interrupt
	shut  bool // Close
	over  bool // Next has returned the end, or nobody will call it again
	broke bool // it ended in an error: what follows is no request
	half  bool // the callee has half-closed the tunnel
	calls uint // of Next, and one more while in it
}

type mode uint8

const (
	plain   mode = iota
	pending      // nobody knows yet whether it will be a tunnel
	tunnel
	refused
)

// start readies the body of the request that c.x.req is, and gives it to the call if there is one.
func (b *requestBody) start(c *Conn) {
	req := &c.x.req
	b.c, b.waits, b.expects, b.waited, b.mode = c, req.Expects, req.Expects, 0, plain
	b.stop, b.shut, b.over, b.broke, b.half = false, false, false, false, false
	b.cond.L = &b.mu
	if req.Method == "CONNECT" || req.Upgrade != "" {
		b.mode = pending
		b.begin(&c.in, http1.Framing{Kind: http1.Tunnel}, c.s.Limits)
		c.x.call.Body = b
		return
	}
	if b.begin(&c.in, req.Framing, c.s.Limits); req.Framing.Kind != http1.NoBody {
		c.x.call.Body = b
	}
}

func (b *requestBody) Next() ([]byte, error) {
	b.use.Lock()
	defer b.use.Unlock()
	m, half, err := b.enter()
	if err != nil {
		return nil, err
	}
	data, err := b.read(m, half)
	b.c.x.call.Sent += int64(len(data))
	b.exit(err)
	return data, err
}

// enter waits until it is known what the bytes are.
func (b *requestBody) enter() (m mode, half bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.mode == pending && !b.stop && !b.shut {
		b.cond.Wait()
	}
	switch {
	case b.shut:
		err = errClosed
	case b.stop:
		err = traffic.ErrInterrupted
	case b.mode == refused:
		err = io.EOF
	default:
		b.calls++
	}
	return b.mode, b.half, err
}

func (b *requestBody) exit(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if err != nil && err != traffic.ErrInterrupted {
		b.over, b.broke = true, err != io.EOF
		b.cond.Broadcast()
	}
}

func (b *requestBody) isBroken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broke
}

func (b *requestBody) read(m mode, half bool) (data []byte, err error) {
	if m == tunnel {
		return b.readTunnel(half)
	}
	if b.waits {
		if err := b.c.proceed(); err != nil {
			return nil, err
		}
		b.waits = false
	}
	switch data, err = b.timed(); err {
	case ErrSlow:
		b.err = err
	case io.EOF:
		b.trailers(&b.c.x.call.Trailer)
		if b.c.s.Trailer != nil {
			b.c.s.Trailer(&b.c.x.call.Trailer)
		}
	}
	return data, err
}

// timed is next within the time that the server allows. Where there is a minimum rate, a body's time is Body and what its bytes so
// far have earned; only that counts in which the caller was waited for.
func (b *requestBody) timed() ([]byte, error) {
	s, now := b.c.s, time.Now()
	if s.Rate <= 0 {
		return b.next(now.Add(s.Body))
	}
	earned := time.Duration(float64(b.c.x.call.Sent) / float64(s.Rate) * float64(time.Second))
	data, err := b.next(now.Add(min(s.Body, s.Body+earned-b.waited)))
	b.waited += time.Since(now)
	return data, err
}

// readTunnel has no time limit but in a tunnel that is half-closed, which one whole period of silence ends.
func (b *requestBody) readTunnel(half bool) ([]byte, error) {
	for {
		data, err := b.next(time.Now().Add(b.c.s.HalfOpen))
		if err != ErrSlow || half {
			return data, err
		}
		b.mu.Lock()
		half = b.half
		b.mu.Unlock()
	}
}

func (b *requestBody) Ready() bool {
	b.mu.Lock()
	m := b.mode
	b.mu.Unlock()
	return m == refused || m != pending && b.ready()
}

func (b *requestBody) Interrupt(on bool) {
	b.mu.Lock()
	b.stop = on
	b.cond.Broadcast()
	b.mu.Unlock()
	b.in.interrupt(on)
}

func (b *requestBody) Close(error) {
	b.mu.Lock()
	b.shut, b.over = true, true
	b.cond.Broadcast()
	b.mu.Unlock()
	b.in.interrupt(true)
}

// decide says whether the answer made a tunnel.
func (b *requestBody) decide(m mode) {
	b.mu.Lock()
	if b.mode == pending {
		b.mode = m
		b.cond.Broadcast()
	}
	b.mu.Unlock()
}

// drainTunnel waits until the caller has sent all that it wants to send through a tunnel that the callee has half-closed.
func (b *requestBody) drainTunnel() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.half = true
	seen, done, limit := b.calls, false, b.c.s.HalfOpen
	defer func() { done = true }()
	var watch *time.Timer
	watch = time.AfterFunc(limit, func() { // who forwards may have stopped at the end of the answer
		b.mu.Lock()
		defer b.mu.Unlock()
		switch {
		case done: // b may be of another request by now
		case b.calls == seen && seen%2 == 0:
			b.over = true
			b.cond.Broadcast()
		default:
			seen = b.calls
			watch.Reset(limit)
		}
	})
	defer watch.Stop()
	for !b.over {
		b.cond.Wait()
	}
}

// leave takes the body away from whoever read it, and says whether the connection stands at the next request.
func (b *requestBody) leave(keep bool) bool {
	if b.dec.Framing().Kind == http1.NoBody {
		return true
	}
	b.mu.Lock()
	over := b.over
	b.shut = true
	b.cond.Broadcast()
	b.mu.Unlock()
	if !over {
		b.in.interrupt(true)
	}
	b.use.Lock()
	defer b.use.Unlock()
	b.in.interrupt(false)
	switch {
	case b.mode == refused || b.err == io.EOF && b.mode == plain:
		return true
	case b.mode != plain || b.err != nil:
		return false
	}
	return keep && b.drain()
}

// maxDrain is how many bytes of a body that nobody wanted are read so that the connection can be used again.
const maxDrain = 256 << 10

// drain reads what is left of a body. A caller that waits for 100 may or may not send one: that cannot be told.
func (b *requestBody) drain() bool {
	if !b.dec.Ended() && (b.waits || b.dec.Left() > maxDrain) {
		return false
	}
	until := time.Now().Add(min(b.c.s.Body, 5*time.Second))
	for n := 0; n <= maxDrain; {
		data, err := b.next(until)
		if n += len(data); err != nil {
			return err == io.EOF
		}
	}
	return false
}
