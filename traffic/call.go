package traffic

import (
	"bytes"
	"errors"
	"strconv"
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
	Origin   *Secure   // how connections to To are secured, in the place of what Upstream says; set with Target; nil: as it says
	Attempts uint8
	Deadline Deadline // obeyed by Host.Forward and Host.Sleep
	Judge    Judge    // whose word Failed takes; nil: the mesh's own rule

	// Gone is closed when the caller goes away before it has the whole answer; nil: that is not known. Forward and Sleep then
	// return ErrCanceled.
	Gone <-chan struct{}

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
	Err     error // no response head came, or, set by the engine after Forward, the body broke off
}

// Deadline carries the rule that set it, so that a 504 can say because.
type Deadline struct {
	At  time.Time
	Ref *decision.Ref
}

// Judge says which answers are failures.
type Judge interface {
	// Judge returns whether the callee failed the call, and the rule that says so; false: no rule speaks of the answer.
	Judge(*Call) (failed bool, ref *decision.Ref, ok bool)
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
	hd, tr, rh, rt := c.Header, c.Trailer, c.Response.Header, c.Response.Trailer
	hd.reset()
	tr.reset()
	rh.reset()
	rt.reset()
	c.Attrs = Attrs{Conn: conn, Header: hd}
	c.Body, c.Trailer, c.Host, c.To, c.Target = nil, tr, h, nil, Target{}
	c.Response = Response{Header: rh, Trailer: rt}
	c.Attempts, c.Deadline, c.Judge, c.Upstream, c.Origin, c.Inform, c.Gone = 0, Deadline{}, nil, nil, nil, nil, nil
	c.Sent, c.Received = 0, 0
	c.kept.release()
	c.tried, c.because, c.ends = c.room.tried[:0], c.room.because[:0], c.room.ends[:0]
}

// Because notes a verdict for the record.
func (c *Call) Because(v decision.Verdict) { c.because = append(c.because, v) }

// Verdicts returns all that was noted, in order.
func (c *Call) Verdicts() []decision.Verdict { return c.because }

// Tried returns the endpoints of earlier attempts.
func (c *Call) Tried() []*Endpoint { return c.tried }

// Reply answers in the callee's place. A gRPC call gets status 200 and the gRPC code that stands for status, in a response of
// headers alone ("Trailers-Only" in the protocol), with v's reason as its message: who is told no need not be told which rule
// said so. Response headers set before stay.
func (c *Call) Reply(status int, v decision.Verdict) error {
	if c.Proto == GRPC {
		return c.ReplyGRPC(grpcCode(status, v.Reason), v)
	}
	c.Response.Status, c.Response.Local = status, true
	c.Because(v)
	return nil
}

// ReplyGRPC answers a gRPC call in the callee's place with a code.
func (c *Call) ReplyGRPC(code int, v decision.Verdict) error {
	c.Response.Status, c.Response.Local = 200, true
	h := &c.Response.Header
	h.Set("content-type", "application/grpc")
	h.Set("grpc-status", strconv.Itoa(code))
	h.Set("grpc-message", v.Reason.String())
	c.Because(v)
	return nil
}

// Secures says how the connection to To is secured; nil: no policy speaks of it.
func (c *Call) Secures() *Secure {
	switch {
	case c.Origin != nil:
		return c.Origin
	case c.Upstream != nil:
		return &c.Upstream.Secure
	}
	return nil
}

// Mutual says whether the call goes to an endpoint by mutual TLS.
func (c *Call) Mutual(to *Endpoint) bool {
	s := c.Secures()
	return (s == nil || s.Mode == Mutual || s.Mode == Required) && to.Mutual()
}

// Fail notes why no response head came, and returns err.
func (c *Call) Fail(err error) error { c.Response.Err = err; return err }

// Failed says whether the callee failed the call, by the word of Judge if it has one on the answer; else by the mesh's own
// rule: no answer, a status from 500 on, or a gRPC status that means the server's fault. A caller that left, or a proxy
// without a certificate, is not the callee's fault.
func (c *Call) Failed() bool { failed, _ := c.FailedBy(); return failed }

// FailedBy is Failed with the rule that says so; nil: the mesh's own.
func (c *Call) FailedBy() (bool, *decision.Ref) {
	if err := c.Response.Err; err != nil {
		return !errors.Is(err, ErrCanceled) && !errors.Is(err, ErrNoIdentity), nil
	}
	if c.Judge != nil {
		if failed, ref, ok := c.Judge.Judge(c); ok {
			return failed, ref
		}
	}
	if c.Response.Status >= 500 {
		return true, nil
	}
	if c.Proto != GRPC {
		return false, nil
	}
	s, _ := c.GRPCStatus()
	return serverFault(s), nil
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

// Finish runs what is registered, last first, and gives up what was kept. The engine calls it once, when both bodies have
// ended; then it may make the record.
func (c *Call) Finish(now time.Time) {
	c.finish(0, now)
	if c.kept.src != nil {
		c.Body = c.kept.src
	}
	c.kept.release()
}

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
	judge                  Judge
}

// Mark takes the point where the call is now.
func (c *Call) Mark() Mark {
	return Mark{len(c.ends), c.Header.edit, c.Path, c.Query, c.Authority, c.Deadline, c.Judge}
}

// Keep makes the request body replayable up to limit bytes, for Rewind and Fork, until each that asked for it has called
// Commit or the call has ended. It is called before the first attempt; the largest limit counts.
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
	c.kept.mode.Store(fresh)
	c.Body = &c.kept
}

// Commit says that the caller of Keep will not rewind any more. Of a body that nobody has begun to read, as a connection's or
// an upgrade's, the engine gets its own back, which it can splice.
func (c *Call) Commit() {
	if c.kept.src == nil {
		return
	}
	if c.kept.holders--; c.kept.holders == 0 && c.kept.commit() {
		c.Body = c.kept.src
	}
}

// Replayable says whether Rewind can succeed, as of now: a pump that still runs may yet exceed the limit.
func (c *Call) Replayable() bool {
	return c.Body == nil || c.kept.src != nil && c.kept.mode.Load() <= keeping
}

// Rewind ends the attempt begun at m and makes the call as it was then, ready to be served once more. False: the body
// cannot be replayed, and nothing was changed.
func (c *Call) Rewind(m Mark, now time.Time) bool {
	if c.Body != nil && (c.kept.src == nil || !c.kept.freeze()) {
		return false
	}
	c.drop()
	c.kept.thaw()
	c.finish(m.ends, now)
	c.Header.rewind(m.edits)
	c.Path, c.Query, c.Authority, c.Deadline, c.Judge, c.Now = m.path, m.query, m.authority, m.deadline, m.judge, now
	if c.To != nil {
		c.tried = append(c.tried, c.To)
	}
	rh, rt := c.Response.Header, c.Response.Trailer
	rh.reset()
	rt.reset()
	c.To, c.Upstream, c.Response = nil, nil, Response{Header: rh, Trailer: rt}
	return true
}

// drop closes the response; afterwards nobody reads the request's body. A pump that waits for the caller's next byte has to
// be woken, or Close would wait for it.
func (c *Call) drop() {
	if c.Response.Body == nil {
		return
	}
	if c.Body != nil {
		c.Body.Interrupt(true)
		defer c.Body.Interrupt(false)
	}
	c.Response.Body.Close(ErrReset)
}

// Fork copies a call that is to live on its own (a mirror); it owns its strings, and has no deadline. It is called when both
// bodies have ended, and before Finish is over. False: there was a body and it was not kept whole.
func (c *Call) Fork(now time.Time) (*Call, bool) {
	f := &Call{}
	f.Begin(c.Host, c.Conn)
	f.Attrs = c.Attrs
	f.Now, f.Header, f.Trailer = now, c.Header.clone(), c.Trailer.clone()
	for _, s := range []*string{&f.Method, &f.Scheme, &f.Authority, &f.Path, &f.Query, &f.Upgrade} {
		*s = strings.Clone(*s)
	}
	if c.Body == nil {
		return f, true
	}
	b, ok := c.kept.whole()
	if len(b) > 0 {
		f.Body = &Bytes{bytes.Clone(b)}
	}
	return f, ok
}

// Limit moves the deadline to d from now, if that is earlier.
func (c *Call) Limit(d time.Duration, ref *decision.Ref) {
	if at := c.Now.Add(d); c.Deadline.At.IsZero() || at.Before(c.Deadline.At) {
		c.Deadline = Deadline{at, ref}
	}
}
