package h2

import (
	"errors"

	"github.com/weft-mesh/weft/wire/http2"
)

// block is a field section whose frames are still coming.
type block struct {
	open   bool
	stream uint32
	end    bool
	frames int
	buf    []byte
	err    error // of the stream; the section must be decoded nevertheless
}

// headers begins a field section (section 6.2).
func (c *conn) headers(h http2.FrameHeader, p []byte) error {
	f, err := http2.ParseHeaders(h, p)
	if err != nil && f.Stream == 0 {
		return err
	}
	c.block = block{true, f.Stream, f.EndStream, 0, c.block.buf[:0], err}
	if f.EndHeaders {
		return c.fields(f.Fragment)
	}
	return c.collect(f.Fragment)
}

// continuation carries on (section 6.10).
func (c *conn) continuation(h http2.FrameHeader, p []byte) error {
	f, err := http2.ParseContinuation(h, p)
	if err != nil {
		return err
	}
	if !c.block.open {
		return &http2.Error{Code: http2.ProtocolError, Reason: "CONTINUATION without HEADERS"}
	}
	if err := c.collect(f.Fragment); err != nil || !f.EndHeaders {
		return err
	}
	return c.fields(c.block.buf)
}

func (c *conn) collect(fragment []byte) error {
	if c.block.frames++; c.block.frames > continuations || len(c.block.buf)+len(fragment) > c.maxBlock {
		return c.abuse(ContinuationFlood)
	}
	c.block.buf = append(c.block.buf, fragment...)
	return nil
}

// fields decodes a whole field section and gives it to its stream.
func (c *conn) fields(b []byte) error {
	blk := c.block
	c.block.open = false
	c.section.Reset()
	if err := c.dec.Decode(b, &c.section); err != nil {
		return err
	}
	if cap(c.block.buf) > 16<<10 {
		c.block.buf = nil
	}
	if c.section.Large() {
		c.watch.large.Store(true)
	}
	c.mu.Lock()
	if n := inflated(int(c.section.Size), len(b)); n > 0 && !c.floods.reset.takeAll(c.now, c.opts.MaxControl, n) {
		defer c.mu.Unlock()
		return c.abuse(HeaderTooLarge)
	}
	s := c.streams[blk.stream]
	if s == nil {
		c.mu.Unlock()
		if blk.err != nil {
			return blk.err
		}
		return c.role.open(blk.stream, blk.end)
	}
	defer c.mu.Unlock()
	switch {
	case blk.err != nil:
		return blk.err
	case s.recvClosed:
		return &http2.Error{Stream: s.id, Code: http2.StreamClosed, Reason: "HEADERS after END_STREAM"}
	case c.section.TooLarge:
		c.opts.Report(HeaderTooLarge)
		return &http2.Error{Stream: s.id, Code: http2.EnhanceYourCalm, Reason: "field section too large"}
	}
	if err := s.side.fields(blk.end); err != nil {
		return s.blame(err)
	}
	return nil
}

// inflated is by how many KiB HPACK has made a block larger than honest peers have use for. Huffman's shortest codes have 5 bits; what
// is left comes out of tables, where a byte stands for a field: of ours at most 4 KiB if none comes twice, and 1 KiB or so of the
// static one. At 64 KiB/s a client that sends one field of 4 kB as a byte costs 142 ms of processor time a second, when one that
// sends small requests costs 131; one that sent it twice, 207 and 144; four times, which was let in before, 216 and 106.
func inflated(size, block int) int { return (size - block*8/5 - inflation) >> 10 }

// blame makes an error of the message one of its stream.
func (s *stream) blame(err error) error {
	if e := (*http2.Error)(nil); errors.As(err, &e) && e.Stream == 0 {
		return s.malformed(e.Reason)
	}
	return err
}
