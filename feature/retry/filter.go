package retry

import (
	"errors"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

// Room says whether the limits of a call's target have room for one more retry of it, and because of what not.
type Room func(*traffic.Call) (*decision.Ref, bool)

type handler struct {
	p      *Policy
	budget *Budget
	ledger *Ledger
	room   Room
	next   traffic.Handler
}

// With puts retries before next: each is within p, and within b, which all calls from this proxy to one service share by way of
// l; nil b is the default budget. room may be nil: no limit but these. Nil policy, or one of no attempts: nothing.
func With(p *Policy, b *Budget, l *Ledger, room Room) traffic.Wrap {
	if p == nil || p.Attempts == 0 {
		return nil
	}
	if b == nil {
		b = &Budget{}
	}
	return func(next traffic.Handler) traffic.Handler { return &handler{p, b, l, room, next} }
}

// Serve returns the last attempt's answer. One that is not made again reaches the caller whole.
func (h *handler) Serve(c *traffic.Call) error {
	if c.Trail != nil {
		c.Trail.Took("retry", decision.Verdict{Ref: &h.p.Ref, Reason: decision.Matched}, h.p.String())
	}
	h.ledger.Deposit(h.budget, c.Now)
	c.Keep(maxBody)
	m, bound := c.Mark(), c.Deadline.At
	for {
		c.Attempts++
		err := h.next.Serve(c)
		wait, again := h.again(c, m, bound)
		if !again {
			c.Commit()
			return err
		}
		if wait == 0 {
			continue
		}
		if err := c.Host.Sleep(c, wait); err != nil {
			c.Commit()
			return c.Fail(err)
		}
		c.Now = c.Host.Now()
	}
}

// again goes back to m if one more attempt is wanted and may be made; bound is the call's own deadline.
func (h *handler) again(c *traffic.Call, m traffic.Mark, bound time.Time) (wait time.Duration, ok bool) {
	now := c.Host.Now()
	late := errors.Is(c.Response.Err, traffic.ErrDeadline) && (bound.IsZero() || now.Before(bound))
	if !h.p.Wants(c, late) {
		return 0, false
	}
	v := decision.Verdict{Ref: &h.p.Ref, Reason: decision.Retried}
	wait = h.p.Wait(int(c.Attempts), &c.Attrs)
	switch ref, room := h.mayRetry(c); {
	case int(c.Attempts) > h.p.Attempts || c.Attempts == 255:
		c.Trail.Passed("retry", &h.p.Ref, "no attempt is left")
	case !bound.IsZero() && !now.Add(wait).Before(bound):
		c.Trail.Passed("retry", &h.p.Ref, "no time is left")
	case !c.Replayable():
		c.Trail.Passed("retry", &h.p.Ref, "the request's body is too long to be sent again")
	case !room:
		h.stop(c, decision.Verdict{Ref: ref, Reason: decision.Limited})
	case !h.ledger.Withdraw(h.budget, now):
		h.stop(c, decision.Verdict{Ref: &h.budget.Ref, Reason: decision.NoBudget})
	case c.Rewind(m, now):
		c.Because(v)
		c.Trail.Took("retry", v, "again")
		return wait, true
	}
	return 0, false
}

func (h *handler) mayRetry(c *traffic.Call) (*decision.Ref, bool) {
	if h.room == nil {
		return nil, true
	}
	return h.room(c)
}

// stop notes why a retry that was wanted is not made.
func (h *handler) stop(c *traffic.Call, v decision.Verdict) {
	c.Because(v)
	c.Trail.Took("retry", v, "not again")
}
