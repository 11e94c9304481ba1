package traffic

import (
	"io"
	"sync"
	"sync/atomic"
)

// kept makes a request body replayable up to a limit: what is handed out is copied until the limit, or until the answer
// has been committed.
//
// Two goroutines meet here. The engine's pump is inside Next; the chain's goroutine commits or rewinds. All that the chain
// writes while a pump may run is mode; the rest it touches only when none runs: before the first attempt, after Forward
// returned without a response body, after the response's body was closed, after both bodies ended. Bytes that Next took
// from src while mode was keeping or frozen are in buf, always: a chain that has moved mode to frozen knows that it can
// replay all of them.
type kept struct {
	src   Body
	buf   *buffer // nil until there is something to keep
	limit int
	pos   int // next byte of buf to hand out; its length: read from src
	eof   bool
	mode  atomic.Uint32

	holders int // those that may still rewind or fork; of the chain's goroutine alone
}

const (
	fresh uint32 = iota // nothing was read yet
	keeping
	passing // over the limit, or committed: no replay any more
	frozen  // about to be replayed: Next refuses until then
)

// buffer is lent while a body is in flight, so that a call at rest holds none.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// maxPooled keeps a few large uploads from making every buffer large.
const maxPooled = 64 << 10

func (k *kept) Next() ([]byte, error) {
	if k.mode.Load() == fresh {
		k.mode.CompareAndSwap(fresh, keeping)
	}
	if k.mode.Load() == frozen {
		return nil, ErrInterrupted
	}
	if k.pos < k.len() {
		b := k.buf.b[k.pos:]
		k.pos = k.len()
		return b, nil
	}
	if k.eof {
		return nil, io.EOF
	}
	b, err := k.src.Next()
	if err != nil && err != io.EOF {
		return b, err
	}
	k.eof = err == io.EOF
	if k.mode.Load() == passing || k.len()+len(b) > k.limit && k.mode.CompareAndSwap(keeping, passing) {
		return b, err
	}
	k.keep(b)
	return b, err
}

func (k *kept) keep(b []byte) {
	if len(b) == 0 {
		return
	}
	if k.buf == nil {
		k.buf = buffers.Get().(*buffer)
	}
	k.buf.b = append(k.buf.b, b...)
	k.pos = len(k.buf.b)
}

func (k *kept) len() int {
	if k.buf == nil {
		return 0
	}
	return len(k.buf.b)
}

// Direct returns the body to read from in place of k, once there will be no replay and all that was kept has been handed out; else nil.
// Whoever calls Next asks.
func (k *kept) Direct() Body {
	if k.mode.Load() == passing && k.pos >= k.len() && !k.eof {
		return k.src
	}
	return nil
}

// commit ends keeping; true: nobody began to read, so src can be read in place of k.
func (k *kept) commit() bool {
	if k.mode.CompareAndSwap(fresh, passing) {
		return true
	}
	k.mode.CompareAndSwap(keeping, passing)
	return false
}

// freeze refuses what can't be replayed.
func (k *kept) freeze() bool {
	return k.mode.CompareAndSwap(fresh, frozen) || k.mode.CompareAndSwap(keeping, frozen)
}

// thaw begins the next attempt.
func (k *kept) thaw() {
	if k.pos = 0; k.len() == 0 && !k.eof {
		k.mode.Store(fresh)
		return
	}
	k.mode.Store(keeping)
}

// whole returns all of the body; false: it was too long, has not ended, or was committed before.
func (k *kept) whole() ([]byte, bool) {
	if k.src == nil || k.mode.Load() == passing || !k.eof {
		return nil, false
	}
	if k.buf == nil {
		return nil, true
	}
	return k.buf.b, true
}

// release gives the buffer back. Nobody reads the body any more.
func (k *kept) release() {
	if k.buf != nil && cap(k.buf.b) <= maxPooled {
		k.buf.b = k.buf.b[:0]
		buffers.Put(k.buf)
	}
	k.buf, k.src, k.holders = nil, nil, 0
}

// Ready is asked by whoever calls Next.
func (k *kept) Ready() bool {
	return k.mode.Load() == frozen || k.pos < k.len() || k.eof || Ready(k.src)
}

func (k *kept) Close(err error) { k.src.Close(err) }

func (k *kept) Interrupt(on bool) { k.src.Interrupt(on) }
