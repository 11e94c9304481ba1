package h2

import (
	"errors"
	"io"
	"net"
	"sync"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// Server is the server's end of one connection.
type Server struct {
	conn
	o     ServerOptions
	serve func(*Stream)
	wg    sync.WaitGroup // of workers

	serving int       // streams inside serve; guarded by the lock, as are
	held    int       // the size of their requests' field sections
	idle    []*worker // those that wait for a stream, the latest last
	spare   int       // how many waited all the time since the last tick
	top     uint32    // the highest stream that the client opened
	closing bool      // the second GOAWAY was sent
}

// NewServer makes a server of a connection. serve is called for each stream, on a goroutine of its own: it makes the call's
// Response, calls Respond, and Finish of the call. When it returns the call is used again.
func NewServer(nc net.Conn, o ServerOptions, serve func(*Stream)) *Server {
	s := &Server{o: o, serve: serve}
	s.o.MaxStreams = or(o.MaxStreams, 250)
	s.conn.init(nc, o.Options, s)
	return s
}

// Serve serves until the connection ends and all of serve has returned. It returns nil after an orderly end (Drain, or the
// client left), else why the connection ended. It is called once.
func (s *Server) Serve() error {
	over := make(chan error, 1)
	s.Begin(func(err error) { over <- err })
	return <-over
}

// Begin is Serve for connections that rest (Options.Rest): it returns when the connection rests for the first time, if not at its end.
// over is told the error, once and on any goroutine.
func (s *Server) Begin(over func(error)) {
	s.ended = func(err error) {
		s.wg.Wait()
		if s.orderly(err) {
			err = nil
		}
		over(err)
	}
	connect := uint32(1)
	if s.o.NoConnect {
		connect = 0
	}
	s.conn.start("",
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Value: s.o.MaxStreams},
		http2.Setting{ID: http2.SettingInitialWindowSize, Value: firstWindow},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Value: s.opts.MaxHeaderList},
		http2.Setting{ID: http2.SettingEnableConnect, Value: connect},
		http2.Setting{ID: http2.SettingNoPriorities, Value: 1})
	s.run()
}

// Drain lets the open streams end, takes no more, and returns at once. It sends GOAWAY with the highest stream number, and
// once the client surely knows (it has answered a PING, and drainGrace has passed), GOAWAY with the last stream that was taken; then the connection ends with its last stream
// (RFC 9113 section 6.8).
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idled()
}

// idled begins to drain: the client may just be opening a stream. Called with the lock.
func (s *Server) idled() {
	if s.err != nil || s.draining {
		return
	}
	s.draining = true
	s.room(64)
	s.out = http2.GoAway{Last: http2.MaxStream}.Append(s.out)
	s.out = http2.Ping{Data: drainMark}.Append(s.out)
	s.kick()
}

// refuseMore is drained, from outside the lock.
func (s *Server) refuseMore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drained()
}

// drained sends the second GOAWAY: the first has arrived, or enough time has passed. Called with the lock.
func (s *Server) drained() {
	if s.closing || s.err != nil || !s.draining {
		return
	}
	s.closing = true
	if s.o.Closing != nil {
		s.o.Closing()
	}
	if len(s.streams) == 0 {
		s.emptied()
		return
	}
	s.room(64)
	s.out = http2.GoAway{Last: s.top}.Append(s.out)
	s.kick()
}

// Close ends the connection at once; its streams fail. Serve returns when all of serve have.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(http2.NoError, ErrClosed)
}

// Streams returns how many streams are open.
func (s *Server) Streams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

func (s *Server) last() uint32 { return s.top }

func (s *Server) known(id uint32) bool { return id&1 == 1 && id <= s.top }

func (s *Server) settled() {}

func (s *Server) goAway(http2.GoAway) {} // a client that goes away opens no more streams, and that is all

func (s *Server) failed() { s.dismiss(len(s.idle)) }

func (s *Server) emptied() {
	if s.closing {
		s.end(http2.NoError, errDrained)
	}
}

// hello reads the client's preface (RFC 9113 section 3.4).
func (s *Server) hello() error {
	for s.r < len(http2.Preface) {
		s.r = 0
		if err := s.readMore(len(http2.Preface)); err != nil {
			return err
		}
		s.r = min(s.w, len(http2.Preface))
		if string(s.buf[:s.r]) != http2.Preface[:s.r] {
			return &http2.Error{Code: http2.ProtocolError, Reason: "not the preface of HTTP/2"}
		}
	}
	return nil
}

// open takes a new request.
func (s *Server) open(id uint32, end bool) error {
	switch {
	case id&1 == 0:
		return &http2.Error{Code: http2.ProtocolError, Reason: "a client opens a stream with an even number"} // section 5.1.1
	case id <= s.top:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.resets.has(id) || s.err != nil {
			return s.late(0, 1)
		}
		return &http2.Error{Code: http2.StreamClosed, Reason: "HEADERS for a closed stream"} // section 5.1
	}
	if ok, err := s.admit(id, end); !ok {
		return err
	}
	r, err := s.section.Request()
	if err == nil && r.Protocol != "" && s.o.NoConnect {
		err = &http2.Error{Code: http2.ProtocolError, Reason: ":protocol without SETTINGS_ENABLE_CONNECT_PROTOCOL"}
	}
	if err == nil && end && r.Length > 0 && r.Method != "CONNECT" {
		err = &http2.Error{Code: http2.ProtocolError, Reason: "content-length without a body"}
	}
	if err != nil {
		s.opts.Report(MalformedMessage)
		return &http2.Error{Stream: id, Code: http2.ProtocolError, Reason: err.(*http2.Error).Reason}
	}
	st := getStream(s)
	st.fill(&r, end)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return nil
	case s.o.Admit != nil && !s.o.Admit():
		return &http2.Error{Stream: id, Code: http2.RefusedStream, Reason: "what serves it is about to end"}
	}
	st.begin(&s.conn, st, id)
	st.born, st.recvClosed = s.now, end
	if r.Method != "CONNECT" {
		st.length = r.Length
	}
	s.serving++
	st.held = int(s.section.Size)
	s.held += st.held
	s.employ(st)
	return nil
}

// admit says whether one more stream is served, and with an error how it is refused.
func (s *Server) admit(id uint32, end bool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return false, nil
	case s.closing:
		s.resets.add(id) // above the last stream of our GOAWAY: ignored, with what follows
		if !s.floods.reset.take(s.now, s.opts.MaxControl) {
			return false, s.abuse(RapidReset)
		}
		return false, nil
	case len(s.out) > backlog: // heads of answers, which no window holds back
		return false, s.abuse(WriteBacklog)
	}
	s.top = id
	switch {
	case len(s.streams) >= int(s.o.MaxStreams), s.serving >= 2*int(s.o.MaxStreams):
		return false, &http2.Error{Stream: id, Code: http2.RefusedStream, Reason: "too many streams"}
	case s.held+int(s.section.Size) > maxHeld:
		return false, &http2.Error{Stream: id, Code: http2.RefusedStream, Reason: "too many header fields at once"}
	case s.section.TooLarge:
		return false, s.tooLarge(id, end)
	}
	return true, nil
}

// tooLarge answers 431 without serving. Called with the lock.
func (s *Server) tooLarge(id uint32, end bool) error {
	if !s.floods.reset.take(s.now, s.opts.MaxControl) {
		return s.abuse(HeaderTooLarge)
	}
	s.opts.Report(HeaderTooLarge)
	if err := s.control(); err != nil {
		return err
	}
	at := s.beginBlock()
	s.out = s.enc.AppendStatus(s.out, 431)
	s.endBlock(at, id, true)
	if !end {
		s.sendReset(id, http2.NoError)
	}
	return nil
}

// orderly says whether the connection ended without anything being lost, or because somebody wanted it to.
func (s *Server) orderly(err error) bool {
	if e := (*http2.Error)(nil); errors.As(err, &e) {
		return false
	}
	return !s.cut || errors.Is(err, ErrClosed) || errors.Is(err, io.EOF)
}

var streamPool sync.Pool

func getStream(s *Server) *Stream {
	st, ok := streamPool.Get().(*Stream)
	if !ok {
		st = newStream()
	}
	st.srv = s
	st.call.Begin(s.o.Host, s.o.Conn)
	return st
}

func newStream() *Stream {
	st := &Stream{gone: make(chan struct{})}
	st.inform = st.sendInterim // made once: a method value allocates
	return st
}

var _ role = (*Server)(nil)

// fill makes a call of a request.
func (st *Stream) fill(r *http2.Request, end bool) {
	c := &st.call
	h := &c.Header
	c.Proto, c.Now, c.Gone, c.Inform = traffic.HTTP2, st.srv.now, st.gone, st.inform
	c.Method, c.Scheme, c.Authority = h.Lend(r.Method), h.Lend(r.Scheme), h.Lend(r.Authority)
	path, query := cutQuery(h.Lend(r.Path))
	c.Path, c.Query = traffic.NormalPath(path), query
	if r.Protocol != "" {
		c.Upgrade = lower(h.Lend(r.Protocol))
	}
	receive(h, r.Fields)
	if v, ok := h.Get("content-type"); ok && isGRPC(v) {
		c.Proto = traffic.GRPC
	}
	st.connect = r.Method == "CONNECT"
	st.expect = false
	if v, ok := h.Get("expect"); ok && lower(v) == "100-continue" {
		st.expect = true
	}
	if !end {
		c.Body = (*requestBody)(st)
	}
}
