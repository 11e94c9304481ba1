package load

import (
	"bytes"

	"github.com/weft-mesh/weft/wire/http2"
)

// http2Server answers each request, when it has ended, with the same response; a Stream's messages it sends back as they come.
type http2Server struct {
	session
	protocol Protocol
	answer   [][2]string
	content  []byte
}

func newHTTP2Server(p Protocol, bytes int) *http2Server {
	v := &http2Server{protocol: p, answer: [][2]string{{":status", "200"}, {"content-type", "application/grpc"}}, content: grpcMessage(bytes)}
	if p == HTTP2 {
		v.content = v.content[grpcPrefix:]
		v.answer = [][2]string{{":status", "200"}, {"server", "app"}, {"date", "Sat, 28 Nov 2026 09:28:07 GMT"}, {"content-type", "text/plain"}}
	}
	v.session = newSession(v)
	v.preface = true
	return v
}

func (v *http2Server) opened(c *conn) error { return v.start(c, "") }

func (v *http2Server) head(st *stream, _ []http2.Field) error {
	if v.protocol == Stream {
		st.open = true
		v.appendFields(st.id, false, v.answer)
	}
	return nil
}

func (v *http2Server) body(st *stream, p []byte) error {
	if v.protocol != Stream {
		return nil
	}
	if len(st.body) > 0 { // it waits for a window
		st.body = append(st.body[:len(st.body):len(st.body)], p...)
		return nil
	}
	st.body = p
	v.pump(st)
	st.body = bytes.Clone(st.body)
	return nil
}

func (v *http2Server) end(st *stream) error {
	delete(v.streams, st.id)
	st.trailer, st.open = v.protocol != HTTP2, false
	if v.protocol != Stream {
		v.appendFields(st.id, false, v.answer)
		st.body = v.content
		v.streams[st.id] = st // for its window
	}
	v.pump(st)
	if len(st.body) == 0 {
		delete(v.streams, st.id)
	}
	return nil
}

func (v *http2Server) reset(*stream, error) error { return nil } // the client knows why
