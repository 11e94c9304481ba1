package h2

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/weft-mesh/weft/proxy/buffer"
	"github.com/weft-mesh/weft/wire/http2"
)

// reader is what the reading goroutine alone touches.
type reader struct {
	buf      []byte // a small one while nothing goes on, or a large one; nil: it rests
	r, w     int
	greeted  bool      // what comes before the first frame has been read, or failed
	now      time.Time // of the last read
	dec      *http2.Decoder
	section  http2.Section
	block    block
	maxBlock int
}

func (r *reader) init(maxHeaderList uint32) {
	r.dec = http2.NewDecoder(tableSize)
	r.section.Limit = maxHeaderList
	r.maxBlock = 4 * int(maxHeaderList) // beyond it the connection ends; below, the stream alone
	r.begin()
}

// small is the size of the buffers that are read into while nothing goes on.
const small = 1 << 10

var smallPool = sync.Pool{New: func() any { return new([small]byte) }}

func (r *reader) begin() { r.buf = smallPool.Get().(*[small]byte)[:] }

// release gives up all memory that can be had again.
func (r *reader) release() {
	r.giveBuffer()
	r.block.buf, r.section = nil, http2.Section{Limit: r.section.Limit}
}

func (r *reader) giveBuffer() {
	if len(r.buf) == small {
		smallPool.Put((*[small]byte)(r.buf))
	} else {
		buffer.Put(r.buf)
	}
	r.buf = nil
}

// readLoop handles frames until the connection ends.
func (c *conn) readLoop() error {
	for {
		h, p, err := c.nextFrame()
		if err != nil {
			return err
		}
		if err = c.frame(h, p); err != nil {
			if err = c.streamError(err); err != nil {
				return err
			}
		}
		if !c.block.open { // FrameTimeout is for all frames of a field section together
			c.watch.frames.Add(1)
		}
	}
}

// nextFrame lends the next frame's payload.
func (c *conn) nextFrame() (h http2.FrameHeader, p []byte, err error) {
	need := http2.HeaderLen
	for {
		if h, ok := http2.ParseFrameHeader(c.buf[c.r:c.w]); ok {
			if h.Length > frameSize {
				return h, nil, &http2.Error{Code: http2.FrameSizeError, Reason: "frame larger than SETTINGS_MAX_FRAME_SIZE"}
			}
			need = http2.HeaderLen + int(h.Length)
			if c.w-c.r >= need {
				p = c.buf[c.r+http2.HeaderLen : c.r+need]
				c.r += need
				return h, p, nil
			}
		}
		if err := c.readMore(need); err != nil {
			return h, nil, err
		}
	}
}

// readMore reads once, into a buffer that has room for need bytes in one piece.
func (c *conn) readMore(need int) error {
	c.watch.partial.Store(c.w > c.r || c.block.open || c.partial())
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
	case c.r+need > len(c.buf):
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.r+need > len(c.buf) || c.w == len(c.buf) {
		c.enlarge()
	}
	n, err := c.nc.Read(c.buf[c.w:])
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return c.rest(err)
	}
	if n > 0 {
		c.w += n
		c.now = time.Now()
		c.watch.reads.Add(1)
		if n == small && len(c.buf) == small {
			c.enlarge()
		}
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// enlarge moves to a large buffer: the small one was filled by one read, or a frame does not fit.
func (c *conn) enlarge() {
	big := buffer.Get(64 << 10)
	big = big[:cap(big)]
	n := copy(big, c.buf[c.r:c.w])
	c.giveBuffer()
	c.r, c.w, c.buf = 0, n, big
	c.watch.large.Store(true)
}

// errResting is how the reader leaves its goroutine.
var errResting = errors.New("the connection rests")

// rest is called when a read deadline has passed, with that error. The clock sets one when the connection has been silent: its memory is
// given up, and so is the goroutine if something else can wait (errResting).
func (c *conn) rest(late error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return late
	}
	c.nc.SetReadDeadline(time.Time{})
	if c.w > 0 || c.partial() {
		return nil
	}
	if c.park() {
		return errResting
	}
	if len(c.buf) > small {
		c.giveBuffer()
		c.begin()
	}
	c.section.Reset()
	c.section.Shrink()
	c.watch.large.Store(false)
	return nil
}

// partial says whether a record has begun below: its frame has too.
func (c *conn) partial() bool { return c.tls != nil && c.tls.Partial() }

// park has the reader rest if it may. Called with the lock, by the reader, which has no byte that was not handled.
func (c *conn) park() bool {
	if !c.restable() || c.block.open {
		return false
	}
	unpark, err := c.opts.Rest(c.resume)
	if err != nil {
		c.opts.Rest = nil // it was closed, or whoever waits has ended
		return false
	}
	c.unpark = unpark
	c.reader.release()
	c.enc.Forget()
	if c.tls != nil {
		c.tls.Rest()
	}
	c.watch.large.Store(false)
	return true
}

// restable says whether the reader may rest once nothing comes any more. Called with the lock.
func (c *conn) restable() bool {
	return c.opts.Rest != nil && c.unpark == nil && c.err == nil && c.peer.settled && len(c.streams) == 0
}
