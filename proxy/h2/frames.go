package h2

import (
	"errors"
	"time"

	"github.com/weft-mesh/weft/wire/http2"
)

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
		return c.goAway(h, p)
	case http2.TypePushPromise:
		return http2.RefusePush(h)
	case http2.TypePriority:
		return c.priority(h, p)
	}
	return c.useless() // "Implementations MUST ignore and discard frames of unknown types" (section 5.5)
}

// goAway hears that the peer leaves (section 6.8): each time it costs a look at all streams.
func (c *conn) goAway(h http2.FrameHeader, p []byte) error {
	f, err := http2.ParseGoAway(h, p)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.floods.control.take(c.now, c.opts.MaxControl) {
		return c.abuse(GoAwayFlood)
	}
	if c.err == nil {
		c.role.goAway(f)
	}
	return nil
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

// stray judges a frame for a stream that is not there. Called with the lock.
func (c *conn) stray(id uint32) error {
	if !c.role.known(id) {
		return &http2.Error{Code: http2.ProtocolError, Reason: "a frame for an idle stream"} // section 5.1
	}
	if c.resets.has(id) || c.draining || id&1 == 1 && c.isClient() {
		return nil // see late
	}
	return &http2.Error{Stream: id, Code: http2.StreamClosed, Reason: "a frame for a closed stream"}
}

// late counts what is thrown away because its stream is over. The peer may have sent it before it knew, for each stream that we have
// reset a window of bytes and two field sections. Called with the lock.
func (c *conn) late(bytes int64, sections int) error {
	f := &c.floods
	f.lateBytes += bytes
	f.lateSections += sections
	if f.lateBytes > int64(c.opts.StreamWindow)*int64(1+c.resets.all) || f.lateSections > c.opts.MaxControl+2*c.resets.all {
		return c.abuse(LateFlood)
	}
	return nil
}

func (c *conn) isClient() bool { _, ok := c.role.(*Client); return ok }

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
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.floods.control.take(c.now, c.opts.MaxControl) || f.Len() > maxSettings {
		return c.abuse(SettingsFlood)
	}
	if f.Ack {
		return nil
	}
	before := c.peer.window
	for s := range f.All {
		if err := c.setting(s); err != nil {
			return err
		}
	}
	if err := c.widenAll(c.peer.window - before); err != nil {
		return err
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
		c.peer.window = int64(s.Value)
	}
	return nil
}

// widenAll changes the windows of all streams (section 6.9.2): once for a frame, however often the frame changes its mind. Called
// with the lock.
func (c *conn) widenAll(delta int64) error {
	if delta == 0 {
		return nil
	}
	for _, s := range c.streams {
		if s.widen(delta) != nil {
			return &http2.Error{Code: http2.FlowControlError, Reason: "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large"}
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
	if !c.floods.control.take(c.now, c.opts.MaxControl) {
		return c.abuse(PingFlood)
	}
	if f.Ack {
		c.pong(f.Data)
		return nil
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
