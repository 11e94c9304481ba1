package h2

import (
	"github.com/weft-mesh/weft/wire/http2"
)

// fields takes the head of the response, an interim one, or trailers.
func (s *call) fields(end bool) error {
	sec := &s.c.section
	if s.headed {
		return s.trailers(sec, end)
	}
	r, err := sec.Response()
	if err != nil {
		return err
	}
	if r.Status < 200 {
		return s.informs(&r, end)
	}
	if s.call == nil {
		return nil
	}
	s.tunnel = s.connect && r.Status/100 == 2
	if r.Length >= 0 && !s.isHead && r.Status != 304 && r.Status != 204 && !s.tunnel {
		s.length = r.Length
	}
	if end && s.length > 0 {
		return &http2.Error{Code: http2.ProtocolError, Reason: "content-length without a body"}
	}
	s.headed = true
	resp := &s.call.Response
	resp.Status = r.Status
	if s.upgrade && s.tunnel {
		resp.Status = 101
	}
	receive(&resp.Header, r.Fields)
	if end {
		s.received()
	}
	s.wakeUp()
	return nil
}

func (s *call) informs(r *http2.Response, end bool) error {
	s.informed++
	s.informedSize += s.c.section.Size
	if end || s.informed > interims || s.informedSize > s.c.opts.MaxHeaderList {
		return &http2.Error{Code: http2.ProtocolError, Reason: "interim responses without a final one"}
	}
	if r.Status == 100 {
		s.proceed = true
	} else {
		i := interim{status: r.Status}
		receive(&i.header, r.Fields)
		s.interim = append(s.interim, i)
	}
	s.wakeUp()
	return nil
}

func (s *call) trailers(sec *http2.Section, end bool) error {
	if !end {
		return &http2.Error{Code: http2.ProtocolError, Reason: "trailers without END_STREAM"}
	}
	if err := sec.Trailers(); err != nil {
		return err
	}
	if s.length > 0 {
		return &http2.Error{Code: http2.ProtocolError, Reason: "the body is shorter than its content-length"}
	}
	if s.call != nil {
		receive(&s.call.Response.Trailer, sec.Fields)
	}
	s.received()
	return nil
}

func (s *call) data() error {
	if !s.headed {
		return &http2.Error{Stream: s.id, Code: http2.ProtocolError, Reason: "DATA before the response's head"}
	}
	if s.isHead {
		return &http2.Error{Stream: s.id, Code: http2.ProtocolError, Reason: "a body in answer to HEAD"}
	}
	return nil
}

func (s *call) ended() {}

func (s *call) aborted() { s.wakeUp() }
