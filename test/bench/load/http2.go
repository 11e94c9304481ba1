package load

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/weft-mesh/weft/wire/http2"
)

// session is one end of an HTTP/2 connection.
type session struct {
	quiet
	c       *conn
	role    role
	enc     *http2.Encoder
	dec     *http2.Decoder
	section http2.Section
	out     []byte // frames that are sent together
	preface bool   // the client's is still to come
	window  int    // of the connection, for what we send
	initial int    // of new streams
	taken   int    // bytes of bodies since the last WINDOW_UPDATE
	streams map[uint32]*stream
	waiting []*stream // for a window
	block   []byte    // of a section whose end is to come
	ending  bool      // its stream ends with it
}

// role is what clients and servers do differently.
type role interface {
	head(st *stream, fields []http2.Field) error // or trailers
	body(st *stream, p []byte) error
	end(st *stream) error // the peer has said all
	reset(st *stream, err error) error
}

// stream is a request and its response.
type stream struct {
	id      uint32
	window  int
	body    []byte // what is to be sent, lent
	trailer bool   // gRPC's follows the body
	open    bool   // more of the body may come
	got     int    // bytes of the peer's body
	taken   int    // of these, since the last WINDOW_UPDATE
	k       *http2Caller
	status  bool // 200 was seen
	grpc    bool // grpc-status 0 was seen
}

const (
	ourWindow   = 1 << 20 // of a stream
	ourConn     = 16 << 20
	tableLimit  = 4096
	updateAfter = ourWindow / 2
)

func newSession(r role) session {
	return session{role: r, enc: http2.NewEncoder(tableLimit), dec: http2.NewDecoder(tableLimit), section: http2.Section{Limit: 64 << 10},
		window: http2.DefaultWindow, initial: http2.DefaultWindow, streams: map[uint32]*stream{}}
}

// start sends what stands at the beginning of a connection.
func (s *session) start(c *conn, first string) error {
	s.c = c
	s.out = append(s.out, first...)
	s.out = http2.AppendSettings(s.out, http2.Setting{ID: http2.SettingInitialWindowSize, Value: ourWindow},
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Value: 1 << 20}, http2.Setting{ID: http2.SettingEnablePush, Value: 0})
	s.out = http2.WindowUpdate{Increment: ourConn - http2.DefaultWindow}.Append(s.out)
	return s.flush()
}

func (s *session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	err := s.c.sendCopy(s.out)
	s.out = s.out[:0]
	return err
}

func (s *session) received(_ *conn, p []byte) (taken int, err error) {
	if s.preface {
		if len(p) < len(http2.Preface) {
			return 0, nil
		}
		if !bytes.HasPrefix(p, []byte(http2.Preface)) {
			return 0, errors.New("no HTTP/2 preface")
		}
		s.preface, taken = false, len(http2.Preface)
	}
	for {
		h, ok := http2.ParseFrameHeader(p[taken:])
		end := taken + http2.HeaderLen + int(h.Length)
		if !ok || len(p) < end {
			break
		}
		if err := s.frame(h, p[taken+http2.HeaderLen:end]); err != nil {
			return end, fmt.Errorf("%v frame: %w", h.Type, err)
		}
		taken = end
	}
	return taken, s.flush()
}

func (s *session) frame(h http2.FrameHeader, p []byte) error {
	switch h.Type {
	case http2.TypeData:
		return s.data(h, p)
	case http2.TypeHeaders:
		f, err := http2.ParseHeaders(h, p)
		if err != nil {
			return err
		}
		s.block = append(s.block[:0], f.Fragment...)
		return s.headers(h, f.EndHeaders)
	case http2.TypeContinuation:
		s.block = append(s.block, p...)
		return s.headers(h, h.Flags.Has(http2.FlagEndHeaders))
	case http2.TypeSettings:
		return s.settings(h, p)
	case http2.TypeWindowUpdate:
		return s.update(h, p)
	case http2.TypePing:
		if !h.Flags.Has(http2.FlagAck) {
			s.out = append(http2.FrameHeader{Length: h.Length, Type: h.Type, Flags: http2.FlagAck}.Append(s.out), p...)
		}
	case http2.TypeRSTStream:
		if st := s.streams[h.Stream]; st != nil {
			delete(s.streams, h.Stream)
			return s.role.reset(st, fmt.Errorf("stream reset, code %d", p[3]))
		}
	case http2.TypeGoAway:
		return fmt.Errorf("code %d: %s", p[7], p[8:])
	}
	return nil
}

func (s *session) headers(h http2.FrameHeader, whole bool) error {
	if h.Type == http2.TypeHeaders {
		s.ending = h.Flags.Has(http2.FlagEndStream)
	}
	if !whole {
		return nil
	}
	s.section.Reset()
	if err := s.dec.Decode(s.block, &s.section); err != nil {
		return err
	}
	st := s.stream(h.Stream)
	if err := s.role.head(st, s.section.Fields); err != nil {
		return err
	}
	if s.ending {
		return s.role.end(st)
	}
	return nil
}

// stream is the one with an ID, which a client has begun if there is none.
func (s *session) stream(id uint32) *stream {
	st := s.streams[id]
	if st == nil {
		st = &stream{id: id, window: s.initial}
		s.streams[id] = st
	}
	return st
}

func (s *session) data(h http2.FrameHeader, p []byte) error {
	f, err := http2.ParseData(h, p)
	if err != nil {
		return err
	}
	if s.taken += int(h.Length); s.taken >= ourConn/2 {
		s.out = http2.WindowUpdate{Increment: uint32(s.taken)}.Append(s.out)
		s.taken = 0
	}
	st := s.streams[h.Stream]
	if st == nil {
		return nil // it was reset
	}
	st.got += len(f.Data)
	if st.taken += int(h.Length); st.taken >= updateAfter && !f.EndStream {
		s.out = http2.WindowUpdate{Stream: st.id, Increment: uint32(st.taken)}.Append(s.out)
		st.taken = 0
	}
	if err := s.role.body(st, f.Data); err != nil {
		return err
	}
	if f.EndStream {
		return s.role.end(st)
	}
	return nil
}

func (s *session) settings(h http2.FrameHeader, p []byte) error {
	f, err := http2.ParseSettings(h, p)
	if err != nil || f.Ack {
		return err
	}
	for x := range f.All {
		switch x.ID {
		case http2.SettingHeaderTableSize:
			s.enc.SetMaxTableSize(x.Value)
		case http2.SettingInitialWindowSize:
			for _, st := range s.streams {
				st.window += int(x.Value) - s.initial
			}
			s.initial = int(x.Value)
		}
	}
	s.out = http2.AppendSettingsAck(s.out)
	s.resume()
	return nil
}

func (s *session) update(h http2.FrameHeader, p []byte) error {
	f, err := http2.ParseWindowUpdate(h, p)
	if err != nil {
		return err
	}
	if f.Stream == 0 {
		s.window += int(f.Increment)
	} else if st := s.streams[f.Stream]; st != nil {
		st.window += int(f.Increment)
	}
	s.resume()
	return nil
}

// resume goes on with streams that waited for a window.
func (s *session) resume() {
	waiting := s.waiting
	s.waiting = nil
	for _, st := range waiting {
		s.pump(st)
	}
}

// pump sends what the windows allow of a stream's body, and its end.
func (s *session) pump(st *stream) {
	for len(st.body) > 0 {
		n := min(len(st.body), http2.DefaultFrameSize, s.window, st.window)
		if n <= 0 {
			s.waiting = append(s.waiting, st)
			return
		}
		last := n == len(st.body) && !st.open && !st.trailer
		s.out = http2.Data{Stream: st.id, EndStream: last, Data: st.body[:n]}.Append(s.out)
		st.body = st.body[n:]
		s.window -= n
		st.window -= n
		if last {
			return
		}
	}
	if st.trailer {
		s.appendFields(st.id, true, [][2]string{{"grpc-status", "0"}})
	}
}

// appendFields sends a section.
func (s *session) appendFields(id uint32, end bool, list [][2]string) {
	start := len(s.out)
	s.out = append(s.out, make([]byte, http2.HeaderLen)...)
	s.out = s.enc.AppendStart(s.out)
	for _, f := range list {
		s.out = s.enc.AppendField(s.out, f[0], f[1], false)
	}
	s.out = http2.AppendBlock(s.out, start, id, end, http2.DefaultFrameSize)
}

// grpcMessage is a gRPC message of n bytes (gRPC over HTTP2, Length-Prefixed-Message).
func grpcMessage(n int) []byte {
	return append([]byte{0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, bytes.Repeat([]byte("m"), n)...)
}

const grpcPrefix = 5
