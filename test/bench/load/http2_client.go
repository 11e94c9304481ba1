package load

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/weft-mesh/weft/wire/http2"
)

// http2Client is a connection that callers share.
type http2Client struct {
	session
	run    *run
	next   uint32 // stream
	fixed  [][2]string
	sent   []byte // the body
	inside bool   // begin is called from received, which flushes
}

// http2Caller has a stream for each request, or, of Stream, one for all.
type http2Caller struct {
	*caller
	client *http2Client
	st     *stream
}

// connect2 opens the connections, each for some callers.
func (r *run) connect2() error {
	per := max(r.spec.PerConn, 1)
	var client *http2Client
	for i, k := range r.callers {
		if i%per == 0 {
			client = newHTTP2Client(r)
			if _, err := r.loop.dial(r.to, client); err != nil {
				return err
			}
		}
		k.self = &http2Caller{caller: k, client: client}
	}
	return nil
}

func newHTTP2Client(r *run) *http2Client {
	s := r.spec
	method := "POST"
	if s.Protocol == HTTP2 && s.Send == 0 {
		method = "GET"
	}
	k := &http2Client{run: r, next: 1, fixed: [][2]string{{":method", method}, {":scheme", "http"}, {":path", s.Path}, {":authority", s.Host}}}
	if s.Protocol == HTTP2 {
		k.fixed = append(k.fixed, [][2]string{{"user-agent", "bench/1.0"}, {"accept", "application/json"}, {"accept-encoding", "gzip"}}...)
		k.sent = bytes.Repeat([]byte("y"), s.Send)
	} else {
		k.fixed = append(k.fixed, [][2]string{{"content-type", "application/grpc"}, {"te", "trailers"}, {"user-agent", "grpc-bench/1.0"}}...)
		k.sent = grpcMessage(s.Send)
	}
	k.fixed = append(k.fixed, s.Headers...)
	k.session = newSession(k)
	return k
}

func (k *http2Client) opened(c *conn) error { return k.start(c, http2.Preface) }

func (k *http2Client) received(c *conn, p []byte) (int, error) {
	k.inside = true
	n, err := k.session.received(c, p)
	k.inside = false
	return n, err
}

func (k *http2Client) closed(_ *conn, err error) { k.run.failed(err) }

func (x *http2Caller) begin() error {
	k := x.client
	stream := k.run.spec.Protocol == Stream
	if x.st == nil || !stream {
		x.st = k.stream(k.next)
		k.next += 2
		x.st.k, x.st.open = x, stream
		k.appendFields(x.st.id, len(k.sent) == 0, k.fixed)
	}
	x.st.got = 0
	if x.st.body = k.sent; len(k.sent) > 0 {
		k.pump(x.st)
	}
	if k.inside {
		return nil
	}
	return k.flush()
}

var errNoStream = errors.New("a response to no request")

func (k *http2Client) head(st *stream, fields []http2.Field) error {
	if st.k == nil {
		return errNoStream
	}
	for _, f := range fields {
		switch {
		case f.Name == ":status" && f.Value == "200":
			st.status = true
		case f.Name == ":status":
			return fmt.Errorf("%w: %s", errStatus, f.Value)
		case f.Name == "grpc-status" && f.Value == "0":
			st.grpc = true
		}
	}
	return nil
}

func (k *http2Client) body(st *stream, _ []byte) error {
	if k.run.spec.Protocol != Stream || st.got < len(k.sent) {
		return nil
	}
	return k.run.done(st.k.caller)
}

func (k *http2Client) end(st *stream) error {
	delete(k.streams, st.id)
	want := k.run.spec.Get
	if k.run.spec.Protocol != HTTP2 {
		want += grpcPrefix
	}
	switch {
	case st.k == nil:
		return errNoStream
	case k.run.spec.Protocol == Stream:
		return errors.New("the stream ended")
	case !st.status, k.run.spec.Protocol == GRPC && !st.grpc:
		return errStatus
	case k.run.spec.Get > 0 && st.got != want:
		return fmt.Errorf("an answer of %d bytes, want %d", st.got, want)
	}
	return k.run.done(st.k.caller)
}

func (k *http2Client) reset(_ *stream, err error) error { return err }
