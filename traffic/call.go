package traffic

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/weft-mesh/weft/decision"
)

// Call is one request, or one TCP connection, on its way. The engine keeps one per HTTP/1.1 connection and per HTTP/2
// stream, and uses it again.
type Call struct {
	Attrs
	Body     Body   // of the request
	Trailer  Header // of the request, complete when Body has ended
	Response Response
	Host     Host

	To       *Endpoint // chosen by balance
	Target   Target    // chosen by route
	Upstream *Upstream // how to connect to To; set with it
	Attempts uint8
	Deadline Deadline // obeyed by Host.Forward and Host.Sleep

	// Inform passes an interim response (1xx but 101) on to the caller; nil where the caller's protocol has none.
	Inform func(status int, h *Header)

	// Sent and Received count body bytes towards the callee and back; the engine adds to them.
	Sent, Received int64

	tried   []*Endpoint
	because []decision.Verdict
	ends    []end
	kept    kept
	room    struct { // what the slices above use until they outgrow it
		tried   [4]*Endpoint
		because [8]decision.Verdict
		ends    [6]end
	}
}

// Response is what comes back. Status 101, or 2xx to CONNECT or TCP: both bodies are raw bytes from here on.
type Response struct {
	Status  int
	Header  Header
	Body    Body
	Trailer Header
	Local   bool  // made by a handler, not by the callee
	Err     error // no response head came
}

// Deadline carries the rule that set it, so that a 504 can say because.
type Deadline struct {
	At  time.Time
	Ref *decision.Ref
}

// Ender is told when what it was registered for is over: the call, or an attempt that is tried again.
type Ender interface {
	End(c *Call, since, now time.Time)
}

type end struct {
	e     Ender
	since time.Time
}

// Begin readies a call for use, keeping its memory.
func (c *Call) Begin(h Host, conn *Conn) {
	hd, tr, rh, rt, buf := c.Header, c.Trailer, c.Response.Header, c.Response.Trailer, c.kept.buf
	hd.reset()
	tr.reset()
	rh.reset()
	rt.reset()
	c.Attrs = Attrs{Conn: conn, Header: hd}
	c.Body, c.Trailer, c.Host, c.To, c.Target = nil, tr, h, nil, Target{}
	c.Response = Response{Header: rh, Trailer: rt}
	c.Attempts, c.Deadline, c.Upstream, c.Inform = 0, Deadline{}, nil, nil
	c.Sent, c.Received = 0, 0
	c.kept.src, c.kept.buf, c.kept.holders = nil, buf[:0], 0
	c.tried, c.because, c.ends = c.room.tried[:0], c.room.because[:0], c.room.ends[:0]
}

// Because notes a verdict for the record.
func (c *Call) Because(v decision.Verdict) { c.because = append(c.because, v) }

// Verdicts returns all that was noted, in order.
func (c *Call) Verdicts() []decision.Verdict { return c.because }

// Tried returns the endpoints of earlier attempts.
func (c *Call) Tried() []*Endpoint { return c.tried }

// Reply answers in the callee's place.
func (c *Call) Reply(status int, v decision.Verdict) error {
	c.Response.Status, c.Response.Local = status, true
	c.Because(v)
	return nil
}

// Fail notes why no response head came, and returns err.
func (c *Call) Fail(err error) error { c.Response.Err = err; return err }

// Failed says whether the callee failed the call: no head, a 5xx, or a gRPC status that means the server's fault.
func (c *Call) Failed() bool {
	if c.Response.Err != nil || c.Response.Status >= 500 {
		return true
	}
	if c.Proto != GRPC {
		return false
	}
	switch s, _ := c.GRPCStatus(); s {
	case "2", "4", "8", "13", "14", "15":
		return true
	}
	return false
}

// GRPCStatus is in the head of a trailers-only response, else in the trailers.
func (c *Call) GRPCStatus() (string, bool) {
	if s, ok := c.Response.Header.Get("grpc-status"); ok {
		return s, true
	}
	return c.Response.Trailer.Get("grpc-status")
}

// AtEnd registers e for the end of the call, or of this attempt when it is rewound.
func (c *Call) AtEnd(e Ender) { c.ends = append(c.ends, end{e, c.Now}) }

// Finish runs what is registered, last first. The engine calls it when both bodies have ended.
func (c *Call) Finish(now time.Time) { c.finish(0, now) }

func (c *Call) finish(keep int, now time.Time) {
	for n := len(c.ends); n > keep; n-- {
		e := c.ends[n-1]
		c.ends = c.ends[:n-1]
		e.e.End(c, e.since, now)
	}
}

// Mark is a point that a call can go back to.
type Mark struct {
	ends                   int
	edits                  uint16
	path, query, authority string
	deadline               Deadline
}

// Mark takes the point where the call is now.
func (c *Call) Mark() Mark {
	return Mark{len(c.ends), c.Header.edit, c.Path, c.Query, c.Authority, c.Deadline}
}

// Keep makes the request body replayable up to limit bytes, for Rewind and Fork, until each that asked for it has called
// Commit or the call has ended. It is called before the first attempt.
func (c *Call) Keep(limit int) {
	if c.Body == nil {
		return
	}
	c.kept.holders++
	if c.kept.src != nil {
		c.kept.limit = max(c.kept.limit, limit)
		return
	}
	c.kept.src, c.kept.limit, c.kept.pos, c.kept.eof = c.Body, limit, 0, false
	c.kept.mode.Store(keeping)
	c.Body = &c.kept
}

// Commit says that the caller of Keep will not rewind any more.
func (c *Call) Commit() {
	if c.kept.holders--; c.kept.holders == 0 {
		c.kept.mode.CompareAndSwap(keeping, passing)
	}
}

// Rewind ends the attempt begun at m and makes the call as it was then, ready to be served once more. False: the body
// cannot be replayed, and nothing was changed.
func (c *Call) Rewind(m Mark, now time.Time) bool {
	if c.Body != nil && (c.kept.src == nil || !c.kept.mode.CompareAndSwap(keeping, frozen)) {
		return false
	}
	if c.Response.Body != nil {
		if c.Body != nil {
			c.Body.Interrupt(true)
		}
		c.Response.Body.Close(ErrReset) // returns once nobody reads the request body
		if c.Body != nil {
			c.Body.Interrupt(false)
		}
	}
	c.kept.pos = 0
	c.kept.mode.Store(keeping)
	c.finish(m.ends, now)
	c.Header.rewind(m.edits)
	c.Path, c.Query, c.Authority, c.Deadline, c.Now = m.path, m.query, m.authority, m.deadline, now
	if c.To != nil {
		c.tried = append(c.tried, c.To)
	}
	rh, rt := c.Response.Header, c.Response.Trailer
	rh.reset()
	rt.reset()
	c.To, c.Response = nil, Response{Header: rh, Trailer: rt}
	return true
}

// Fork copies a call that is to live on its own (a mirror, a question to an authority); it owns its strings. False: there is
// a body and it was not kept whole.
func (c *Call) Fork() (*Call, bool) {
	f := &Call{Host: c.Host}
	f.Begin(c.Host, c.Conn)
	f.Attrs = c.Attrs
	f.Header = Header{fields: slices.Clone(c.Header.fields), edit: c.Header.edit}
	for i := range f.Header.fields {
		f.Header.fields[i].Name = strings.Clone(f.Header.fields[i].Name)
		f.Header.fields[i].Value = strings.Clone(f.Header.fields[i].Value)
	}
	for _, s := range []*string{&f.Method, &f.Scheme, &f.Authority, &f.Path, &f.Query} {
		*s = strings.Clone(*s)
	}
	if c.Body == nil {
		return f, true
	}
	if c.kept.src == nil || c.kept.mode.Load() == passing || !c.kept.eof {
		return f, false
	}
	f.Body = &Bytes{bytes.Clone(c.kept.buf)}
	return f, true
}

// Limit moves the deadline to d from now, if that is earlier.
func (c *Call) Limit(d time.Duration, ref *decision.Ref) {
	if at := c.Now.Add(d); c.Deadline.At.IsZero() || at.Before(c.Deadline.At) {
		c.Deadline = Deadline{at, ref}
	}
}
