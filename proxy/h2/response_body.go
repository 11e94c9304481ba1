package h2

import (
	"io"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// responseBody is the body of a response to a Client.
type responseBody call

// Next lends the next bytes. When it returns an error, io.EOF included, nobody reads the request's body any more, unless the
// response has opened a tunnel and ended first.
func (b *responseBody) Next() ([]byte, error) {
	s := (*call)(b)
	s.c.mu.Lock()
	p, err := s.read()
	s.c.mu.Unlock()
	if err != nil && err != traffic.ErrInterrupted && !(err == io.EOF && s.tunnel) {
		s.stopUpload()
	}
	return p, err
}

// Ready lets whoever writes the body gather it behind its head: without it, each small response cost the caller's proxy two writes, 6 µs
// of the 27 that a pair costs.
func (b *responseBody) Ready() bool { return b.ready() }

func (b *responseBody) Interrupt(on bool) { b.interrupt(on) }

// Close ends the call: what the server has not said yet is not wanted.
func (b *responseBody) Close(err error) {
	s := (*call)(b)
	s.c.mu.Lock()
	graceful := err == nil && s.tunnel && s.recvClosed && len(s.in) == 0 && s.err == nil
	s.c.mu.Unlock()
	if graceful {
		s.waitUpload()
	} else {
		s.stopUpload()
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	code := http2.Cancel
	if s.recvClosed {
		code = http2.NoError
	}
	s.reset(code, errStopped)
	s.call = nil
	s.drop()
	s.consumed()
}
