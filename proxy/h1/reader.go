package h1

import (
	"io"
	"net"
	"sync"
	"time"

	"github.com/weft-mesh/weft/proxy/buffer"
	"github.com/weft-mesh/weft/traffic"
)

// Tick is how long a connection may wait with a buffer or a goroutine in its hands, and how soon it notices that its caller went away.
const Tick = 500 * time.Millisecond

// CrowdTick is Tick where many wait.
const CrowdTick = 20 * time.Millisecond

// reader holds the bytes of a connection that were read and not yet used. One goroutine reads at a time; any may interrupt.
type reader struct {
	conn    net.Conn
	gone    <-chan struct{} // the caller of the call being read for
	buf     []byte          // of the pools, all of its room
	r, w    int             // buf[r:w] is unused
	bulk    bool
	hurried bool // to wait a CrowdTick in place of a Tick
	told    bool // sent was called, of ask

	interrupted bool          // of mu
	room        func() []byte // space, made once
	mu          sync.Mutex
	armed       time.Time // the deadline that is set; zero: none, or it has fired; of mu
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

func (r *reader) bytes() []byte {
	if r.buf == nil {
		return nil
	}
	return r.buf[r.r:r.w]
}

func (r *reader) use(n int) { r.r += n }

// release gives the buffer back if nothing is in it.
func (r *reader) release() {
	if r.buf != nil && r.r == r.w {
		buffer.Put(r.buf)
		r.buf, r.r, r.w = nil, 0, 0
	}
}

// preload puts bytes that someone else read from the connection before its own.
func (r *reader) preload(b []byte) {
	if len(b) > 0 {
		r.buf = block(len(b) + small/2)
		r.w = copy(r.buf, b)
	}
}

// fill waits until there are more bytes, at most until the given time (zero: for ever). io.EOF: the peer has half-closed.
// Bytes lent before are gone.
func (r *reader) fill(until time.Time) error { return r.wait(until, false) }

// glance is fill for a tick at most: ErrSlow says that nothing has come. It needs no clock.
func (r *reader) glance() error { return r.wait(time.Time{}, true) }

func (r *reader) wait(until time.Time, once bool) error {
	for {
		if err := r.arm(until); err != nil {
			return err
		}
		n, err := r.conn.Read(r.space())
		switch {
		case n > 0:
			r.took(n)
			return nil
		case err == nil:
			continue
		case !isTimeout(err):
			return err
		}
		if err := r.woken(until); err != nil {
			return err
		}
		if once {
			return ErrSlow
		}
	}
}

// asker is a connection that can do this more cheaply than by Write and Read: see sys.Quick.
type asker interface {
	Ask(message []byte, sent func(wrote int, err error) (room func() []byte)) (n int, err error)
}

// ask writes a message, and then does as fill does, or with once as glance. sent is told what was written, as Ask tells it, and returns
// room, or nil. told: it was; if not, nothing was written.
func (r *reader) ask(q asker, message []byte, sent func(int, error) func() []byte, until time.Time, once bool) (told bool, err error) {
	if r.told = false; r.room == nil {
		r.room = r.space
	}
	for {
		if err := r.arm(until); err != nil {
			return false, err
		}
		n, err := q.Ask(message, sent)
		switch {
		case n > 0:
			r.took(n)
			return true, nil
		case err == nil, !isTimeout(err):
			return r.told, err
		}
		if err := r.woken(until); err != nil {
			return r.told, err
		}
		switch {
		case r.told && once:
			return true, ErrSlow
		case r.told:
			return true, r.fill(until)
		}
	}
}

// arm sets the read deadline, if the one that is set would come too late. One that comes too early costs a wake-up each tick,
// which is less than setting one for each request.
func (r *reader) arm(until time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.interrupted {
		return traffic.ErrInterrupted
	}
	if !r.armed.IsZero() && (until.IsZero() || !r.armed.After(until)) {
		return nil
	}
	wake := time.Now().Add(r.tick())
	if !until.IsZero() && until.Before(wake) {
		wake = until
	}
	r.armed = wake
	return r.conn.SetReadDeadline(wake)
}

func (r *reader) tick() time.Duration {
	if r.hurried {
		return CrowdTick
	}
	return Tick
}

// woken says why a read deadline fired; nil: only to look around.
func (r *reader) woken(until time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armed = time.Time{}
	if r.interrupted {
		return traffic.ErrInterrupted
	}
	select {
	case <-r.gone:
		return traffic.ErrCanceled
	default:
	}
	if !until.IsZero() && !time.Now().Before(until) {
		return ErrSlow
	}
	return nil
}

func (r *reader) interrupt(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.interrupted = on; on {
		r.armed = past
		r.conn.SetReadDeadline(past)
	}
}

// space returns where to read to.
func (r *reader) space() []byte {
	if r.r == r.w {
		if r.r, r.w = 0, 0; r.buf != nil && r.bulk != (len(r.buf) > small) {
			r.release()
		}
	}
	switch {
	case r.buf == nil && r.bulk:
		r.buf = block(large)
	case r.buf == nil:
		r.buf = block(small)
	case r.w == len(r.buf) && r.r > 0:
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	case r.w == len(r.buf):
		r.grow()
	}
	return r.buf[r.w:]
}

func (r *reader) grow() {
	b := block(4 * len(r.buf))
	r.w = copy(b, r.buf[r.r:r.w])
	r.r = 0
	buffer.Put(r.buf)
	r.buf = b
}

func (r *reader) took(n int) {
	r.w += n
	r.bulk = r.w == len(r.buf) || r.bulk && n > small
}

// discard reads and drops bytes until the peer closes, n have come, or the time is up.
func (r *reader) discard(n int, until time.Time) error {
	for n > 0 {
		n -= len(r.bytes())
		r.use(len(r.bytes()))
		if err := r.fill(until); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
	return ErrSlow
}
