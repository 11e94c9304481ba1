package proxy

import (
	"errors"
	"sync"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/proxy/room"
	"github.com/weft-mesh/weft/traffic"
)

// span is what the proxy notes of a call beside the call: it becomes the record at the call's end.
type span struct {
	p      *Proxy
	by     observe.Reporter
	head   time.Time
	stream bool // of HTTP/2
	mute   bool // there will be no record: the call was only a try
	owed   bool // the application owes it an answer, and the gate counts it

	record observe.Record // its memory, since sinks are handed a pointer
}

var spans = sync.Pool{New: func() any { return new(span) }}

// start begins a call, before any handler sees it.
func (p *Proxy) start(c *traffic.Call, by observe.Reporter) *span {
	s := spans.Get().(*span)
	*s = span{p: p, by: by}
	s.stream = c.Proto == traffic.HTTP2 || c.Proto == traffic.GRPC
	if c.Now.IsZero() || s.stream { // whose reader's clock may be behind
		c.Now = p.now()
	}
	c.Draw = p.opts.Draw()
	c.AtEnd(s) // first, so that it hears of the end last
	return s
}

// serve sends the call through h and sees to it that there is an answer. outside: the caller is not of the mesh, and is not told
// of its objects.
func (s *span) serve(c *traffic.Call, h traffic.Handler, outside bool) {
	if !s.p.opts.Room.Begin(c.Now, s.stream) {
		s.p.opts.Refused(room.Memory)
		h = refusal{503, decision.Limited}
	} else {
		defer s.p.opts.Room.Begun()
	}
	err := h.Serve(c)
	s.head = s.p.now()
	c.Now = s.head
	answer(c, err, outside)
	if s.owed && unending(c) {
		s.leave()
	}
}

// enter counts a call to the application that way leads to, or refuses one that comes too late. taken: it is counted already.
func (s *span) enter(way traffic.Handler, taken bool) traffic.Handler {
	if s.owed = taken || s.p.gate.Enter(); s.owed {
		return way
	}
	return refusal{503, decision.ConnectFailed}
}

func (s *span) leave() {
	if s.owed {
		s.owed = false
		s.p.gate.Leave()
	}
}

// unending says whether a call that has the head of its answer may go on for as long as it likes.
func unending(c *traffic.Call) bool {
	if c.Response.Local {
		return false // it ends
	}
	return c.Proto == traffic.TCP || c.Proto == traffic.GRPC || c.Response.Status == 101 || c.Method == "CONNECT"
}

// End makes the record.
func (s *span) End(c *traffic.Call, since, now time.Time) {
	if !s.mute {
		s.record = observe.Of(c, s.by, since, s.head, now)
		s.p.opts.Sink.Take(&s.record)
	}
	s.leave()
	*s = span{}
	spans.Put(s)
}

// done ends a call whose bodies have ended.
func (p *Proxy) done(c *traffic.Call) { c.Finish(p.now()) }

// left says whether a call failed because its caller went away.
func left(err error) bool { return errors.Is(err, traffic.ErrCanceled) }
