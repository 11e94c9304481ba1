// Package traffictest is a Host for tests of handlers: its clock is moved by hand, its callee is a function.
package traffictest

import (
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

// Epoch is when every host's clock starts.
var Epoch = time.Unix(1_800_000_000, 0)

// Host answers calls by a function. Its zero fields are useful: it answers 200, at once.
type Host struct {
	Time     time.Time
	Answer   func(*traffic.Call) error // nil: status 200
	Slept    []time.Duration
	Attempts int // calls that were forwarded
	Detached []*traffic.Call
}

// Now is the host's clock.
func (h *Host) Now() time.Time { return h.Time }

// Sleep moves the clock, to the call's deadline at most.
func (h *Host) Sleep(c *traffic.Call, d time.Duration) error {
	h.Slept = append(h.Slept, d)
	if at := c.Deadline.At; !at.IsZero() && h.Time.Add(d).After(at) {
		h.Time = at
		return traffic.ErrDeadline
	}
	h.Time = h.Time.Add(d)
	return nil
}

// Forward lets Answer answer.
func (h *Host) Forward(c *traffic.Call) error {
	h.Attempts++
	if h.Answer != nil {
		return h.Answer(c)
	}
	c.Response.Status = 200
	return nil
}

// Detach serves a copy at once.
func (h *Host) Detach(c *traffic.Call, to traffic.Handler) {
	h.Detached = append(h.Detached, c)
	_ = to.Serve(c)
	c.Finish(h.Time)
}

// Call begins a GET of http://svc/ on the host, from nowhere.
func (h *Host) Call() *traffic.Call {
	c := &traffic.Call{}
	h.Begin(c, &traffic.Conn{})
	return c
}

// Begin begins c as Call does, keeping its memory.
func (h *Host) Begin(c *traffic.Call, conn *traffic.Conn) {
	if h.Time.IsZero() {
		h.Time = Epoch
	}
	c.Begin(h, conn)
	c.Proto, c.Method, c.Scheme, c.Authority, c.Path, c.Now = traffic.HTTP1, "GET", "http", "svc", "/", h.Time
}

// Status answers with a status.
func Status(code int) func(*traffic.Call) error {
	return func(c *traffic.Call) error { c.Response.Status = code; return nil }
}

// Err answers with an error.
func Err(err error) func(*traffic.Call) error {
	return func(c *traffic.Call) error { return c.Fail(err) }
}

// Script answers each call with the next; the last answers all that follow.
func Script(answers ...func(*traffic.Call) error) func(*traffic.Call) error {
	return func(c *traffic.Call) error {
		a := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		return a(c)
	}
}

// Last is the last verdict that was noted; the zero one if none was.
func Last(c *traffic.Call) decision.Verdict {
	if v := c.Verdicts(); len(v) > 0 {
		return v[len(v)-1]
	}
	return decision.Verdict{}
}
