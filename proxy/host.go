package proxy

import (
	"errors"
	"io"
	"time"

	"github.com/weft-mesh/weft/traffic"
)

// engine is what the hosts of all calls have in common. Each connection has a host of its own that knows where it came from and
// where it goes: outbound and inbound add Forward.
type engine struct{ p *Proxy }

// Now is the proxy's clock.
func (e engine) Now() time.Time { return e.p.now() }

// Sleep waits, but not beyond the call's deadline, and not for a caller that has left.
func (e engine) Sleep(c *traffic.Call, d time.Duration) error {
	err := error(nil)
	if at := c.Deadline.At; !at.IsZero() {
		if left := at.Sub(e.p.now()); left < d {
			d, err = left, traffic.ErrDeadline
		}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return err
	case <-c.Gone:
		return traffic.ErrCanceled
	case <-e.p.ctx.Done():
		return traffic.ErrCanceled
	}
}

// Copies that nobody waits for are bounded in number and time.
const (
	maxMirrors = 256
	mirrorTime = 30 * time.Second
)

// Detach runs a copy of a call on a goroutine of its own, and throws its answer away. Where too many run already, it is not made.
func (e engine) Detach(c *traffic.Call, to traffic.Handler) {
	p := e.p
	if p.mirrors.Add(1) > maxMirrors || p.ctx.Err() != nil {
		p.mirrors.Add(-1)
		p.opts.Refused("too-many-mirrors")
		c.Finish(p.now())
		return
	}
	p.tasks.Go(func() {
		defer p.mirrors.Add(-1)
		c.Limit(mirrorTime, nil)
		_ = to.Serve(c)
		if b := c.Response.Body; b != nil {
			b.Close(discard(b))
		}
		c.Finish(p.now())
	})
}

var errEnough = errors.New("a copy's answer is not wanted")

// discard reads a body, so that its connection can be used again, unless it is long.
func discard(b traffic.Body) error {
	for n := 0; n < 1<<20; {
		p, err := b.Next()
		if n += len(p); err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errEnough
}
