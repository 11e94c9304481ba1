package meshtest

import (
	"context"
	"io"
	"time"

	"github.com/weft-mesh/weft/cli/transcript"
	"github.com/weft-mesh/weft/traffic"
)

// Held is a call under way.
type Held struct {
	x       *exchange
	release chan struct{}
	done    chan struct{} // closed when it is answered
	end     context.CancelFunc
	err     error
}

// Hold makes a call, said as in a transcript's section calls without outcome, and returns when it is under way: an application has
// it, and keeps it until Release, or it was answered. A TCP connection is held once it has carried a line there and back.
func (m *Mesh) Hold(line string) *Held {
	m.t.Helper()
	c, err := transcript.ParseCall(line + " => ok")
	if err != nil {
		m.t.Fatal(err)
	}
	return m.hold(&c)
}

func (m *Mesh) hold(c *transcript.Call) *Held {
	m.t.Helper()
	q, err := c.Asked().Query(m.View().Mesh)
	if err != nil {
		m.t.Fatal(err)
	}
	m.refuse.Store(int32(c.Fail))
	h := &Held{release: make(chan struct{}), done: make(chan struct{})}
	h.x = m.exchange(c, &q, h.release)
	ctx, end := context.WithTimeout(m.ctx, bound)
	h.end = end
	under := make(chan struct{})
	m.goes(func() {
		defer close(h.done)
		if c.Proto == traffic.TCP {
			h.err = h.tcp(ctx, under)
		} else {
			h.err = h.x.http(ctx)
		}
	})
	m.underWay(h, under)
	return h
}

func (m *Mesh) underWay(h *Held, under chan struct{}) {
	m.t.Helper()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	for {
		all, more := m.calls.of(h.x.id)
		if h.x.id != "" && len(all) > 0 {
			return
		}
		if h.x.id == "" {
			more = under
		}
		select {
		case <-more:
			if h.x.id == "" {
				return
			}
		case <-h.done:
			return
		case <-timer.C:
			m.t.Fatalf("meshtest: %s is not under way after %v", h.x.c.Text, bound)
		}
	}
}

// tcp keeps a connection that works.
func (h *Held) tcp(ctx context.Context, under chan struct{}) error {
	c, err := h.x.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if h.x.say(c) != nil { // it is refused
		return nil
	}
	close(under)
	h.x.m.goes(func() {
		select {
		case <-h.release:
			c.Close()
		case <-h.done:
		}
	})
	_, _ = io.Copy(io.Discard, c) // until either side ends it
	return nil
}

// Ended waits until the call ends although it was not released: its connection is closed, or something else answers it.
func (h *Held) Ended() {
	h.x.m.t.Helper()
	h.x.m.wait(h.done, "the end of "+h.x.c.Text)
	h.recorded()
}

// over releases the call, and waits for its records.
func (h *Held) over() {
	h.x.m.t.Helper()
	h.Release()
	h.recorded()
}

// recorded waits for the records of a TCP connection that has ended, so that they are not taken for the next one's.
func (h *Held) recorded() {
	h.x.m.t.Helper()
	if h.x.id != "" {
		return
	}
	ctx, cancel := context.WithTimeout(h.x.m.ctx, bound)
	defer cancel()
	h.x.conclude(ctx)
}

// Answered says whether there is an answer already.
func (h *Held) Answered() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

// Release lets the application answer, and returns the answer. Of a TCP connection no records are looked for.
func (h *Held) Release() *Answer {
	m := h.x.m
	m.t.Helper()
	close(h.release)
	m.wait(h.done, "the answer to "+h.x.c.Text)
	defer h.end()
	if h.err != nil {
		m.t.Errorf("%s: %v", h.x.c.Text, h.err)
	}
	if h.x.id != "" {
		ctx, cancel := context.WithTimeout(m.ctx, bound)
		defer cancel()
		h.x.conclude(ctx)
	}
	return h.x.a
}
