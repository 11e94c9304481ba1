package h2

import (
	"errors"
	"io"
	"os"
	"time"

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

// block is a field section whose frames are still coming.
type block struct {
	open   bool
	stream uint32
	end    bool
	frames int
	buf    []byte
	err    error // of the stream; the section must be decoded nevertheless
}

func (r *reader) init(maxHeaderList uint32) {
	r.dec = http2.NewDecoder(tableSize)
	r.section.Limit = maxHeaderList
	r.maxBlock = 4 * int(maxHeaderList) // beyond it the connection ends; below, the stream alone
	r.buf = r.small[:]
}

func (r *reader) release() {
	if len(r.buf) > len(r.small) {
		putBuffer(r.buf)
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
		c.watch.frames.Add(1)
		if err = c.frame(h, p); err == nil {
			continue
		}
		if err = c.streamError(err); err != nil {
			return err
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
	big := getBuffer(64 << 10)
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
	if c.w == 0 && len(c.buf) > len(c.small) {
		putBuffer(c.buf)
		c.buf = c.small[:]
		c.watch.large.Store(false)
	}
	return true
}

// frame handles one frame.
func (c *conn) frame(h http2.FrameHeader, p []byte) error {
	if !c.peer.settled && (h.Type != http2.TypeSettings || h.Flags.Has(http2.FlagAck)) {
		return &http2.Error{Code: http2.ProtocolError, Reason: "the first frame is not SETTINGS"} // RFC 9113 section 3.4
	}
	if c.block.open && (h.Type != http2.TypeContinuation || h.Stream != c.block.stream) {
		return &http2.Error{Code: http2.ProtocolError, Reason: "a frame inside a field section"} // section 6.10
	}
	switch h.Type {
	case http2.TypeData:
		return c.data(h, p)
	case http2.TypeHeaders:
		return c.headers(h, p)
	case http2.TypeContinuation:
		return c.continuation(h, p)
	case http2.TypeRSTStream:
		return c.rstStream(h, p)
	case http2.TypeWindowUpdate:
		return c.windowUpdate(h, p)
	case http2.TypeSettings:
		return c.settings(h, p)
	case http2.TypePing:
		return c.ping(h, p)
	case http2.TypeGoAway:
		f, err := http2.ParseGoAway(h, p)
		if err == nil {
			c.role.goAway(f)
		}
		return err
	case http2.TypePushPromise:
		return http2.RefusePush(h)
	case http2.TypePriority:
		return c.priority(h, p)
	}
	return c.useless() // "Implementations MUST ignore and discard frames of unknown types" (section 5.5)
}

// streamError resets one stream if that is all that is wrong; a peer that causes too many loses the connection.
func (c *conn) streamError(err error) error {
	var e *http2.Error
	if !errors.As(err, &e) || e.Stream == 0 {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil
	}
	if e.Code == http2.RefusedStream {
		c.opts.Report(StreamsRefused)
	} else {
		c.opts.Report(StreamError)
	}
	if !c.floods.reset.take(c.now, c.opts.MaxControl) {
		return c.abuse(RapidReset) // making us reset is as cheap as resetting (CVE-2025-8671)
	}
	if len(c.out) > backlog {
		return c.abuse(WriteBacklog)
	}
	if s := c.streams[e.Stream]; s != nil {
		s.reset(e.Code, &ResetError{Code: e.Code, Reason: e.Reason})
		return nil
	}
	c.sendReset(e.Stream, e.Code)
	return nil
}

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
		return c.stray(h.Stream)
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

// stray judges a frame for a stream that is not there. Called with the lock.
func (c *conn) stray(id uint32) error {
	if !c.role.known(id) {
		return &http2.Error{Code: http2.ProtocolError, Reason: "a frame for an idle stream"} // section 5.1
	}
	if c.resets.has(id) || c.draining || id&1 == 1 && c.isClient() {
		return nil // it was under way when we reset the stream
	}
	return &http2.Error{Stream: id, Code: http2.StreamClosed, Reason: "a frame for a closed stream"}
}

func (c *conn) isClient() bool { _, ok := c.role.(*Client); return ok }

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
	c.mu.Lock()
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

// blame makes an error of the message one of its stream.
func (s *stream) blame(err error) error {
	if e := (*http2.Error)(nil); errors.As(err, &e) && e.Stream == 0 {
		return s.malformed(e.Reason)
	}
	return err
}

// rstStream ends a stream (section 6.4).
func (c *conn) rstStream(h http2.FrameHeader, p []byte) error {
	f, err := http2.ParseRSTStream(h, p)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[f.Stream]
	if s == nil {
		return c.strayReset(f.Stream)
	}
	early := !s.born.IsZero() && c.now.Sub(s.born) < rapid
	if early && !c.floods.reset.take(c.now, c.opts.MaxControl) {
		return c.abuse(RapidReset)
	}
	if s.recvClosed && c.isClient() {
		s.sendClosed = true // "Clients MUST NOT discard responses" because of it (section 8.1)
		s.writable.Signal()
		c.remove(s)
		return nil
	}
	s.fail(&ResetError{Code: f.Code, Remote: true})
	return nil
}

func (c *conn) strayReset(id uint32) error {
	if !c.role.known(id) {
		return &http2.Error{Code: http2.ProtocolError, Reason: "RST_STREAM for an idle stream"}
	}
	if !c.floods.control.take(c.now, c.opts.MaxControl) {
		return c.abuse(RapidReset)
	}
	return nil
}

// rapid is how soon a reset looks like an attack (CVE-2023-44487) if there are many; timeouts and hedges come later.
const rapid = 100 * time.Millisecond

// windowUpdate lets us send more (section 6.9).
func (c *conn) windowUpdate(h http2.FrameHeader, p []byte) error {
	f, err := http2.ParseWindowUpdate(h, p)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.floods.window++; c.floods.window > c.opts.MaxControl+10*(c.floods.sent+c.floods.opened) {
		return c.abuse(WindowFlood)
	}
	if f.Stream == 0 {
		if c.sendWin += int64(f.Increment); c.sendWin > http2.MaxWindow {
			return &http2.Error{Code: http2.FlowControlError, Reason: "the connection's window above 2^31-1"}
		}
		if c.ring.first != nil {
			c.kick()
		}
		return nil
	}
	s := c.streams[f.Stream]
	if s == nil {
		if !c.role.known(f.Stream) {
			return &http2.Error{Code: http2.ProtocolError, Reason: "WINDOW_UPDATE for an idle stream"}
		}
		return nil
	}
	return s.widen(int64(f.Increment))
}

// widen changes the window for sending. Called with the lock.
func (s *stream) widen(n int64) error {
	if s.sendWin += n; s.sendWin > http2.MaxWindow {
		return &http2.Error{Stream: s.id, Code: http2.FlowControlError, Reason: "the stream's window above 2^31-1"}
	}
	if s.sending && s.sendWin > 0 {
		s.c.ring.add(s)
		s.c.kick()
	}
	return nil
}

// settings obeys the peer (section 6.5).
func (c *conn) settings(h http2.FrameHeader, p []byte) error {
	f, err := http2.ParseSettings(h, p)
	if err != nil || f.Ack {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.floods.control.take(c.now, c.opts.MaxControl) || f.Len() > 100 {
		return c.abuse(SettingsFlood)
	}
	for s := range f.All {
		if err := c.setting(s); err != nil {
			return err
		}
	}
	if err := c.control(); err != nil {
		return err
	}
	c.out = http2.AppendSettingsAck(c.out)
	c.peer.settled = true
	c.role.settled()
	return nil
}

func (c *conn) setting(s http2.Setting) error {
	switch s.ID {
	case http2.SettingHeaderTableSize:
		c.enc.SetMaxTableSize(s.Value)
	case http2.SettingEnablePush:
		if s.Value == 1 && c.isClient() {
			return &http2.Error{Code: http2.ProtocolError, Reason: "a server enables push"} // section 6.5.2
		}
	case http2.SettingMaxConcurrentStreams:
		c.peer.maxStreams, c.peer.limited = s.Value, true
	case http2.SettingMaxFrameSize:
		c.peer.maxFrame = int(s.Value)
	case http2.SettingEnableConnect:
		c.peer.connect = s.Value == 1
	case http2.SettingInitialWindowSize:
		delta := int64(s.Value) - c.peer.window
		c.peer.window = int64(s.Value)
		for _, st := range c.streams {
			if st.widen(delta) != nil { // section 6.9.2
				return &http2.Error{Code: http2.FlowControlError, Reason: "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large"}
			}
		}
	}
	return nil
}

// ping answers (section 6.7).
func (c *conn) ping(h http2.FrameHeader, p []byte) error {
	f, err := http2.ParsePing(h, p)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Ack {
		c.pong(f.Data)
		return nil
	}
	if !c.floods.control.take(c.now, c.opts.MaxControl) {
		return c.abuse(PingFlood)
	}
	if err := c.control(); err != nil {
		return err
	}
	f.Ack = true
	c.out = f.Append(c.out)
	return nil
}

// priority checks and forgets (section 6.3).
func (c *conn) priority(h http2.FrameHeader, p []byte) error {
	if _, err := http2.ParsePriority(h, p); err != nil {
		return err
	}
	return c.useless()
}

// useless counts frames that are ignored.
func (c *conn) useless() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.floods.priority++; c.floods.priority > c.opts.MaxControl+10*c.floods.opened {
		return c.abuse(PriorityFlood)
	}
	return nil
}
