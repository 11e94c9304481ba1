package h2

import (
	"strings"
	"unsafe"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// receive hands decoded fields to a header, which owns the copies.
func receive(h *traffic.Header, fields []http2.Field) {
	for i := range fields {
		f := &fields[i]
		name, value := h.Lend(f.Name), h.Lend(f.Value)
		if f.Never {
			h.ReceiveSecret(name, value)
		} else {
			h.Receive(name, value)
		}
	}
}

// block begins a field section in the connection's buffer: room for the frame's header stands before it. Called with the
// lock.
func (c *conn) beginBlock() (at int) {
	c.room(1 << 10)
	at = len(c.out)
	c.out = append(c.out, "\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	c.out = c.enc.AppendStart(c.out)
	return at
}

// perField is what a field may take in a section besides its name and value: two lengths, of 5 bytes at most, and how it is meant.
const perField = 16

// endBlock makes frames of it. Called with the lock.
func (c *conn) endBlock(at int, id uint32, end bool) {
	c.room(http2.HeaderLen * ((len(c.out)-at)/frameSize + 1))
	c.out = http2.AppendBlock(c.out, at, id, end, min(frameSize, c.peer.maxFrame))
	c.kick()
}

// addFields adds those fields of h that may travel in HTTP/2. Called with the lock.
func (c *conn) addFields(h *traffic.Header) {
	for f := range h.Fields {
		if f.Name == "host" || f.Name == "http2-settings" || http2.ConnectionSpecific(f.Name) ||
			f.Name == "te" && !strings.EqualFold(f.Value, "trailers") {
			continue
		}
		c.room(len(f.Name) + len(f.Value) + perField)
		c.out = c.enc.AppendField(c.out, f.Name, trim(f.Value), f.Secret) // the peer would refuse the message
	}
}

// trim takes off white space, which handlers may have left around a value.
func trim(s string) string {
	if s == "" || s[0] > ' ' && s[len(s)-1] > ' ' {
		return s
	}
	return strings.Trim(s, " \t")
}

// sendStatus sends the head of a response, final or interim. Called with the lock.
func (s *stream) sendStatus(status int, h *traffic.Header, end bool) {
	c := s.c
	at := c.beginBlock()
	c.out = c.enc.AppendStatus(c.out, status)
	if h != nil {
		c.addFields(h)
	}
	c.endBlock(at, s.id, end)
	if s.moved = true; status >= 200 {
		s.tail, s.tailOf = at, c.taken
	}
	if end {
		s.sent()
	}
}

// finish sends the trailers, or an empty last frame if there are none.
func (s *stream) finish(trailer *traffic.Header) error {
	for range trailer.Fields {
		return s.sendTrailer(trailer)
	}
	return s.send(nil, true)
}

func (s *stream) sendTrailer(h *traffic.Header) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := s.unsendable(); err != nil {
		return err
	}
	at := c.beginBlock()
	c.addFields(h)
	c.endBlock(at, s.id, true)
	s.sent()
	return nil
}

// text makes a string of bytes that are not changed while it is used.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// isGRPC says whether a content-type is gRPC's ("Content-Type → "content-type" "application/grpc" [("+proto" / "+json" /
// {custom})]": PROTOCOL-HTTP2.md), which is not gRPC-Web's.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}
