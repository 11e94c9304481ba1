package balance

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/outlier"
	"github.com/weft-mesh/weft/traffic"
)

type handler struct {
	set  *Set
	next traffic.Handler
}

// With picks from set before next.
func With(set *Set) traffic.Wrap {
	return func(next traffic.Handler) traffic.Handler { return &handler{set, next} }
}

func (h *handler) Serve(c *traffic.Call) error {
	p := h.set.now.Load().policy
	key, cookie := p.Hash.key(c)
	e := h.set.Pick(&c.Attrs, c.Tried(), key)
	if e == nil {
		v := decision.Verdict{Ref: &p.Ref, Outcome: decision.Deny, Reason: decision.NoEndpoint}
		c.Trail.Took("balance", v, "no endpoint that may be called")
		c.Response.Err = noEndpoint(c.Target)
		return c.Reply(503, v)
	}
	e.pending.Add(1)
	c.To = &e.Endpoint
	start := c.Now
	c.AtEnd(e)
	err := h.next.Serve(c)
	if silent(c) {
		return err
	}
	now := c.Host.Now()
	e.observe(now.Sub(start), err != nil || c.Response.Status >= 500, now.UnixNano())
	if cookie != "" && err == nil {
		c.Response.Header.Add("set-cookie", cookie)
	}
	return err
}

// noEndpoint names the target that is empty.
type noEndpoint traffic.Target

func (t noEndpoint) Error() string { return traffic.Target(t).String() + " has no endpoint" }

// End learns whether the attempt failed.
func (e *Endpoint) End(c *traffic.Call, _, now time.Time) {
	e.pending.Add(-1)
	v := e.set.now.Load()
	if v.outlier == nil || silent(c) || blameless(c) {
		return
	}
	o := outcome(c)
	out := 0
	if o != outlier.Success {
		out = len(v.endpoints) - len(e.set.well(v, now.UnixNano()).endpoints)
	}
	if v.outlier.Observe(&e.outlier, o, now, len(v.endpoints), out) {
		e.set.ejections.Add(1)
		c.Because(decision.Verdict{Ref: &v.outlier.Ref, Reason: decision.Ejected})
	}
}

// silent: the endpoint had no word in how the attempt ended. That the engine has answered by now, since the endpoint did not, does not
// clear it; what the caller did wrong does.
func silent(c *traffic.Call) bool {
	err := c.Response.Err
	if errors.Is(err, traffic.ErrCanceled) || errors.Is(err, traffic.ErrNoIdentity) {
		return true
	}
	return c.Response.Local && !blamed(err)
}

// blameless: the endpoint is not to be left out because of it, though it may be passed over. Callers that give it no time at all could
// have it left out for all others as they like; whoever cancels the call instead cannot.
func blameless(c *traffic.Call) bool {
	err := c.Response.Err
	return errors.Is(err, traffic.ErrBlameless) || errors.Is(err, traffic.ErrDeadline) && c.Deadline.Ref == nil
}

func blamed(err error) bool {
	for _, x := range [...]error{traffic.ErrConnect, traffic.ErrWrongPeer, traffic.ErrRefused, traffic.ErrReset, traffic.ErrDeadline} {
		if errors.Is(err, x) {
			return true
		}
	}
	return false
}

func outcome(c *traffic.Call) outlier.Outcome {
	switch {
	case !c.Failed():
		return outlier.Success
	case c.Response.Err != nil && (c.Response.Status == 0 || c.Response.Local):
		return outlier.NoAnswer
	case c.Response.Status >= 502 && c.Response.Status <= 504, gatewayCode(c):
		return outlier.Gateway
	}
	return outlier.Failure
}

// gatewayCode: DEADLINE_EXCEEDED and UNAVAILABLE are gRPC's 504 and 503.
func gatewayCode(c *traffic.Call) bool {
	code, ok := c.GRPCStatus()
	return ok && c.Proto == traffic.GRPC && (code == "4" || code == "14")
}

// key is what a call's endpoint is chosen by, and the cookie to set where the call brought none; empty: there is none.
func (h *Hash) key(c *traffic.Call) (key, cookie string) {
	switch {
	case h.Header != "":
		key, _ = c.Header.Joined(h.Header)
	case h.Param != "":
		key, _ = c.Param(h.Param)
	case h.SourceIP:
		key = c.Remote().String()
	case h.Cookie != "":
		if key = cookieOf(c, h.Cookie); key == "" && h.SetTTL {
			key = strconv.FormatUint(hash(strconv.FormatUint(c.Draw, 16)), 16)
			cookie = h.setCookie(key)
		}
	}
	return key, cookie
}

// cookieOf returns the value of a cookie (RFC 6265 section 4.2).
func cookieOf(c *traffic.Call, name string) string {
	for n, all := range c.Header.All { // HTTP/2 may send each in a field of its own (RFC 9113 section 8.2.3)
		for n == "cookie" && all != "" {
			var pair string
			pair, all, _ = strings.Cut(all, ";")
			if k, v, _ := strings.Cut(strings.TrimSpace(pair), "="); k == name {
				return v
			}
		}
	}
	return ""
}

// setCookie: a TTL of zero makes a cookie of the session.
func (h *Hash) setCookie(value string) string {
	s := h.Cookie + "=" + value + "; HttpOnly"
	if h.Path != "" {
		s += "; Path=" + h.Path
	}
	if h.TTL > 0 {
		s += "; Max-Age=" + strconv.Itoa(int(h.TTL.Seconds()))
	}
	return s
}
