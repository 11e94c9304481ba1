package h2

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/weft-mesh/weft/proxy/buffer"
	"github.com/weft-mesh/weft/wire/http2"
)

// reader is what the reading goroutine alone touches.
type reader struct {
	small    [1 << 10]byte // read into while nothing goes on
	buf      []byte        // small, or one of the pools'
	r, w     int
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
	r.buf = r.small[:]
}

func (r *reader) release() {
	if len(r.buf) > len(r.small) {
		buffer.Put(r.buf)
	}
	r.buf, r.block.buf, r.section = nil, nil, http2.Section{}
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
	c.watch.partial.Store(c.w > c.r || c.block.open)
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
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.rest() {
		return nil
	}
	if n > 0 {
		c.w += n
		c.now = time.Now()
		c.watch.reads.Add(1)
		if n == len(c.small) && len(c.buf) == len(c.small) {
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
	c.w = copy(big, c.buf[c.r:c.w])
	c.r, c.buf = 0, big
	c.watch.large.Store(true)
}

// rest gives up the large buffer if the clock has woken the reader for that: a connection may wait for long.
func (c *conn) rest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	c.nc.SetReadDeadline(time.Time{})
	if c.w > 0 {
		return true
	}
	if len(c.buf) > len(c.small) {
		buffer.Put(c.buf)
		c.buf = c.small[:]
	}
	c.section.Reset()
	c.section.Shrink()
	c.watch.large.Store(false)
	return true
}
