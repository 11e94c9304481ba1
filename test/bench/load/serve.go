package load

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// Backend says what Serve answers.
type Backend struct {
	Ports map[Protocol]uint16 `json:"ports"` // on every IPv4 address
	Bytes int                 `json:"bytes"` // of each HTTP response, or gRPC message
}

// Serve answers until ctx ends; it calls ready once it listens.
func Serve(ctx context.Context, b Backend, ready func()) error {
	l, err := newLoop()
	if err != nil {
		return err
	}
	defer l.close()
	for p, port := range b.Ports {
		each, err := b.handlers(p)
		if err != nil {
			return err
		}
		if err := l.listen(netip.AddrPortFrom(netip.IPv4Unspecified(), port), each); err != nil {
			return err
		}
	}
	ready()
	for ctx.Err() == nil {
		if err := l.turn(100 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backend) handlers(p Protocol) (func() handler, error) {
	switch p {
	case HTTP1:
		answer := answer1(b.Bytes)
		return func() handler { return &http1Server{answer: answer} }, nil
	case HTTP2, GRPC, Stream:
		return func() handler { return newHTTP2Server(p, b.Bytes) }, nil
	case Echo:
		return func() handler { return echoServer{} }, nil
	case Source:
		block := make([]byte, 256<<10)
		return func() handler { return &pump{block: block} }, nil
	case Sink:
		return func() handler { return &sink{acks: true} }, nil
	}
	return nil, fmt.Errorf("no backend speaks %q", p)
}
