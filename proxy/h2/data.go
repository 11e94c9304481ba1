package h2

import (
	"github.com/weft-mesh/weft/wire/http2"
)

// data takes body bytes (section 6.1). Flow control counts whole payloads.
func (c *conn) data(h http2.FrameHeader, p []byte) error {
	f, err := http2.ParseData(h, p)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	size := int64(h.Length)
	if size > c.recvWin {
		return &http2.Error{Code: http2.FlowControlError, Reason: "more DATA than the connection's window"}
	}
	c.recvWin -= size
	if len(f.Data) == 0 && !f.EndStream && !c.floods.control.take(c.now, c.opts.MaxControl) {
		return c.abuse(EmptyFrameFlood)
	}
	s := c.streams[h.Stream]
	if s == nil {
		c.credit(size)
		if err := c.stray(h.Stream); err != nil {
			return err
		}
		return c.late(size, 0)
	}
	if err := s.judge(f, size); err != nil {
		c.credit(size)
		return err
	}
	s.recvWin -= size
	if pad := size - int64(len(f.Data)); pad > 0 {
		s.credit(pad)
	}
	if len(f.Data) > 0 {
		c.useful()
		s.keep(f.Data)
	}
	if f.EndStream {
		s.received()
	}
	return nil
}

// judge checks DATA against its stream's state. Called with the lock.
func (s *stream) judge(f http2.Data, size int64) error {
	switch {
	case s.recvClosed:
		return &http2.Error{Stream: s.id, Code: http2.StreamClosed, Reason: "DATA after END_STREAM"} // section 5.1
	case size > s.recvWin:
		return &http2.Error{Stream: s.id, Code: http2.FlowControlError, Reason: "more DATA than the stream's window"}
	}
	if err := s.side.data(); err != nil {
		return err
	}
	if s.length < 0 {
		return nil
	}
	s.length -= int64(len(f.Data))
	if s.length < 0 || f.EndStream && s.length > 0 {
		return s.malformed("the body's length is not its content-length") // section 8.1.1
	}
	return nil
}

func (s *stream) malformed(reason string) error {
	s.c.opts.Report(MalformedMessage)
	return &http2.Error{Stream: s.id, Code: http2.ProtocolError, Reason: reason}
}
