package meshtest

import (
	"context"
	"errors"
	"sync"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/stream/server"
)

// line is a proxy's connection to the control plane: messages are encoded, and handed over in memory.
type line struct {
	control *control.Control
	ctx     context.Context
	end     context.CancelFunc
	open    chan struct{} // closed when there is a session

	mu      sync.Mutex
	session server.Session // not changed any more once open is closed
	closed  bool
}

func newLine(ctx context.Context, c *control.Control) *line {
	l := &line{control: c, open: make(chan struct{})}
	l.ctx, l.end = context.WithCancel(ctx)
	return l
}

var errClosed = errors.New("the line is closed")

// Send implements stream.Transport.
func (l *line) Send(b []byte) error {
	var up stream.Up
	if err := stream.Unmarshal(b, &up); err != nil {
		return err
	}
	s, err := l.opened(&up)
	if err == nil {
		err = s.Take(&up)
	}
	if err != nil {
		l.end()
	}
	return err
}

func (l *line) opened(up *stream.Up) (server.Session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	if l.session == nil {
		s, err := l.control.Open(l.ctx, up.Hello)
		if err != nil {
			return nil, err
		}
		l.session = s
		close(l.open)
	}
	return l.session, nil
}

// Recv implements stream.Transport.
func (l *line) Recv() ([]byte, error) {
	select {
	case <-l.open:
	case <-l.ctx.Done():
		return nil, errClosed
	}
	down, err := l.session.Next(l.ctx)
	if err != nil {
		return nil, err
	}
	return stream.Marshal(down), nil
}

// Close implements stream.Transport.
func (l *line) Close() error {
	l.end()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session != nil && !l.closed {
		l.session.Close()
	}
	l.closed = true
	return nil
}
