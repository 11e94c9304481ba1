package h2

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// call is one call on its way through a Client.
type call struct {
	stream
	cl   *Client
	call *traffic.Call // nil: it was let go
	body traffic.Body  // of the request

	event     chan struct{} // something for RoundTrip to look at
	runs      func()
	expires   func()
	uploading bool
	started   bool // it was uploading once
	uploaded  sync.Cond
	timer     *time.Timer
	armed     bool

	connect  bool // CONNECT, plain or extended
	upgrade  bool // an HTTP/1.1 upgrade that goes as an extended CONNECT
	isHead   bool
	headed   bool // the response's head has come
	tunnel   bool // and opens a tunnel
	proceed  bool // 100 (Continue) has come
	informed int
	interim  []interim
}

// interim is a 1xx response that RoundTrip has yet to pass on.
type interim struct {
	status int
	header traffic.Header
}

var callPool sync.Pool

func getCall() *call {
	if s, ok := callPool.Get().(*call); ok {
		return s
	}
	s := &call{event: make(chan struct{}, 1)}
	s.runs, s.expires = s.upload, s.expire // made once: a method value allocates
	return s
}

// head is what a call is sent as.
type head struct {
	call      *traffic.Call
	authority string
	header    *traffic.Header
	tunnel    bool
}

func (cl *Client) roundTrip(c *traffic.Call, h head) error {
	s := getCall()
	s.cl, s.call, s.body = cl, c, c.Body
	s.connect = h.tunnel || c.Method == "CONNECT" || c.Upgrade != ""
	s.upgrade = !h.tunnel && c.Method != "CONNECT" && c.Upgrade != ""
	s.isHead = c.Method == "HEAD" && !s.connect
	if err := s.await(c, h); err != nil {
		return c.Fail(err)
	}
	expect := c.Body != nil && !h.tunnel && expects(c)
	if err := s.start(c, h, expect); err != nil {
		s.discardCall()
		return c.Fail(err)
	}
	if err := s.head(c, expect); err != nil {
		s.stop()
		return c.Fail(err)
	}
	s.settle(c)
	return nil
}

func expects(c *traffic.Call) bool {
	v, ok := c.Header.Get("expect")
	return ok && lower(v) == "100-continue"
}

// await waits for the server's settings if the call depends on them.
func (s *call) await(c *traffic.Call, h head) error {
	if c.Upgrade == "" || h.tunnel {
		return nil
	}
	t := time.NewTimer(s.cl.opts.HandshakeTimeout)
	defer t.Stop()
	select {
	case <-s.cl.ready:
	case <-s.cl.done:
		return ErrGoingAway
	case <-c.Gone:
		return traffic.ErrCanceled
	case <-t.C:
	}
	s.cl.mu.Lock()
	defer s.cl.mu.Unlock()
	if !s.cl.peer.connect {
		return ErrNoUpgrade
	}
	return nil
}

// start opens the stream and sends the head.
func (s *call) start(c *traffic.Call, h head, expect bool) error {
	cl := s.cl
	var left time.Duration
	if !c.Deadline.At.IsZero() {
		if left = time.Until(c.Deadline.At); left <= 0 {
			return traffic.ErrDeadline
		}
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	switch {
	case cl.err != nil || cl.leaving:
		return ErrGoingAway
	case cl.available() == 0 || len(cl.out) > backlog:
		return ErrFull
	}
	s.uploaded.L = &cl.mu
	s.begin(&cl.conn, s, cl.next)
	if cl.next += 2; cl.next > http2.MaxStream {
		cl.leave() // stream numbers cannot be used again (RFC 9113 section 5.1.1)
	}
	s.sendRequest(c, h)
	if s.body != nil && !expect && !s.connect {
		s.startUpload()
	}
	if left > 0 {
		s.arm(left)
	}
	return nil
}

// sendRequest writes the head. Called with the lock.
func (s *call) sendRequest(c *traffic.Call, h head) {
	at := s.c.beginBlock()
	s.addPseudo(c, h)
	if h.header != nil {
		s.c.addFields(h.header)
	} else if !h.tunnel {
		s.c.addFields(&c.Header)
	}
	end := c.Body == nil && !s.connect
	s.c.endBlock(at, s.id, end)
	s.tail, s.tailOf = at, s.c.taken
	if end {
		s.sendClosed = true
	}
}

func (s *call) addPseudo(c *traffic.Call, h head) {
	e, authority, method := s.c.enc, c.Authority, c.Method
	if h.tunnel {
		authority = h.authority
	}
	if s.connect {
		method = "CONNECT"
	}
	s.c.out = e.AppendField(s.c.out, ":method", method, false)
	if !s.connect || c.Upgrade != "" && !h.tunnel {
		scheme, path := c.Scheme, c.Path
		if scheme == "" {
			scheme = "http"
		}
		if path == "" {
			path = "/"
		}
		if c.Query != "" {
			s.c.path = append(append(append(s.c.path[:0], path...), '?'), c.Query...)
			path = text(s.c.path)
		}
		s.c.out = e.AppendField(s.c.out, ":scheme", scheme, false)
		s.c.out = e.AppendField(s.c.out, ":path", path, false)
	}
	if authority != "" {
		s.c.out = e.AppendField(s.c.out, ":authority", authority, false)
	}
	if c.Upgrade != "" && !h.tunnel {
		s.c.out = e.AppendField(s.c.out, ":protocol", c.Upgrade, false)
	}
}

// head waits for the response's head, and deals with what comes before it.
func (s *call) head(c *traffic.Call, expect bool) error {
	var patience <-chan time.Time
	if expect {
		t := time.NewTimer(s.cl.o.ExpectTimeout)
		defer t.Stop()
		patience = t.C
	}
	for {
		select {
		case <-s.event:
		case <-c.Gone:
			s.abort(http2.Cancel, traffic.ErrCanceled)
		case <-patience:
			patience = nil
			s.proceedNow()
		}
		done, err := s.look(c)
		if done || err != nil {
			return err
		}
	}
}

// look says whether the head is there, and passes on what came before.
func (s *call) look(c *traffic.Call) (bool, error) {
	s.c.mu.Lock()
	list := s.interim
	s.interim = nil
	done, err := s.headed, s.err
	if s.proceed && !s.headed && err == nil && !s.connect {
		s.startUpload()
	}
	s.proceed = false
	s.c.mu.Unlock()
	for i := range list {
		if c.Inform != nil && err == nil {
			c.Inform(list[i].status, &list[i].header)
		}
	}
	if done {
		return true, nil // a head that came is an answer, even if the body breaks off at once
	}
	return false, err
}

func (s *call) proceedNow() {
	s.c.mu.Lock()
	s.proceed = true
	s.c.mu.Unlock()
}

// settle gives the response its body, or ends a call whose response has none.
func (s *call) settle(c *traffic.Call) {
	s.c.mu.Lock()
	if s.raw = s.tunnel; s.tunnel && s.err == nil {
		s.startUpload()
	}
	bare := s.recvClosed && len(s.in) == 0 && s.err == nil && !s.tunnel
	s.c.mu.Unlock()
	if bare {
		s.stop()
		return
	}
	c.Response.Body = (*responseBody)(s)
	c.AtEnd(s)
}

// startUpload begins to send the request's body. Called with the lock.
func (s *call) startUpload() {
	if s.started || s.sendClosed {
		return
	}
	s.started, s.uploading = true, true
	s.cl.running.Add(1)
	go s.runs()
}

// upload sends the request's body and trailers.
func (s *call) upload() {
	cl := s.cl
	defer cl.running.Done()
	err := s.copy()
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if err != nil && !errors.Is(err, errStopped) && !errors.Is(err, traffic.ErrInterrupted) && s.err == nil {
		s.reset(http2.Cancel, fmt.Errorf("the request's body broke off (%v): %w", err, traffic.ErrCanceled))
	}
	s.uploading = false
	s.uploaded.Broadcast()
}

func (s *call) copy() error {
	c := s.call
	if s.body == nil { // of a tunnel
		return s.send(nil, true)
	}
	for {
		b, err := s.body.Next()
		if len(b) > 0 {
			if err := s.send(b, false); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return s.finish(&c.Trailer)
		}
		if err != nil {
			return err
		}
	}
}

// stopUpload returns when nobody reads the request's body any more.
func (s *call) stopUpload() {
	s.c.mu.Lock()
	if !s.uploading {
		s.c.mu.Unlock()
		return
	}
	s.stopSend = true
	s.writable.Signal()
	s.c.mu.Unlock()
	if s.body != nil {
		s.body.Interrupt(true)
		defer s.body.Interrupt(false)
	}
	s.waitUpload()
}

func (s *call) waitUpload() {
	s.c.mu.Lock()
	for s.uploading {
		s.uploaded.Wait()
	}
	s.c.mu.Unlock()
}

// stop ends a call of which nothing more is wanted, and gives it back.
func (s *call) stop() {
	s.stopUpload()
	c := s.c // s may be another's as soon as it is in the pool
	c.mu.Lock()
	defer c.mu.Unlock()
	code := http2.Cancel
	if s.recvClosed {
		code = http2.NoError // the response is whole: only the rest of the request is not wanted
	}
	s.reset(code, errStopped)
	s.release()
}

// abort fails the call and tells the server.
func (s *call) abort(code http2.ErrCode, err error) {
	s.c.mu.Lock()
	s.reset(code, err)
	s.c.mu.Unlock()
}

// arm starts the clock of the deadline. Called with the lock.
func (s *call) arm(left time.Duration) {
	s.armed = true
	if s.timer == nil {
		s.timer = time.AfterFunc(left, s.expires)
		return
	}
	s.timer.Reset(left)
}

func (s *call) expire() { s.abort(http2.Cancel, traffic.ErrDeadline) }

// release lets the call go, and puts the stream back into the pool if nobody else can still hold it. Called with the lock.
func (s *call) release() {
	s.call, s.body = nil, nil
	s.drop()
	s.consumed()
	stopped := !s.armed || s.timer.Stop()
	if s.err != nil || !stopped || s.uploading {
		return
	}
	s.forget()
}

// discardCall puts back a stream that was never opened.
func (s *call) discardCall() {
	s.call, s.body = nil, nil
	s.forget()
}

func (s *call) forget() {
	select {
	case <-s.event:
	default:
	}
	s.armed, s.headed, s.tunnel, s.proceed, s.started = false, false, false, false, false
	s.informed, s.interim = 0, nil
	callPool.Put(s)
}

// End is told that the call is over, or this attempt of it.
func (s *call) End(*traffic.Call, time.Time, time.Time) {
	c := s.c // s may be another's as soon as it is in the pool
	c.mu.Lock()
	held := s.call != nil
	c.mu.Unlock()
	if held {
		(*responseBody)(s).Close(traffic.ErrCanceled)
	}
	c.mu.Lock()
	s.release()
	c.mu.Unlock()
}

func (s *call) wakeUp() {
	select {
	case s.event <- struct{}{}:
	default:
	}
}

// fields takes the head of the response, an interim one, or trailers.
func (s *call) fields(end bool) error {
	sec := &s.c.section
	if s.headed {
		return s.trailers(sec, end)
	}
	r, err := sec.Response()
	if err != nil {
		return err
	}
	if r.Status < 200 {
		return s.informs(&r, end)
	}
	if s.call == nil {
		return nil
	}
	s.tunnel = s.connect && r.Status/100 == 2
	if r.Length >= 0 && !s.isHead && r.Status != 304 && r.Status != 204 && !s.tunnel {
		s.length = r.Length
	}
	if end && s.length > 0 {
		return &http2.Error{Code: http2.ProtocolError, Reason: "content-length without a body"}
	}
	s.headed = true
	resp := &s.call.Response
	resp.Status = r.Status
	if s.upgrade && s.tunnel {
		resp.Status = 101
	}
	receive(&resp.Header, r.Fields)
	if end {
		s.received()
	}
	s.wakeUp()
	return nil
}

func (s *call) informs(r *http2.Response, end bool) error {
	if s.informed++; end || s.informed > interims {
		return &http2.Error{Code: http2.ProtocolError, Reason: "interim responses without a final one"}
	}
	if r.Status == 100 {
		s.proceed = true
	} else {
		i := interim{status: r.Status}
		receive(&i.header, r.Fields)
		s.interim = append(s.interim, i)
	}
	s.wakeUp()
	return nil
}

func (s *call) trailers(sec *http2.Section, end bool) error {
	if !end {
		return &http2.Error{Code: http2.ProtocolError, Reason: "trailers without END_STREAM"}
	}
	if err := sec.Trailers(); err != nil {
		return err
	}
	if s.length > 0 {
		return &http2.Error{Code: http2.ProtocolError, Reason: "the body is shorter than its content-length"}
	}
	if s.call != nil {
		receive(&s.call.Response.Trailer, sec.Fields)
	}
	s.received()
	return nil
}

func (s *call) data() error {
	if !s.headed {
		return &http2.Error{Stream: s.id, Code: http2.ProtocolError, Reason: "DATA before the response's head"}
	}
	if s.isHead {
		return &http2.Error{Stream: s.id, Code: http2.ProtocolError, Reason: "a body in answer to HEAD"}
	}
	return nil
}

func (s *call) ended() {}

func (s *call) aborted() { s.wakeUp() }

// responseBody is the body of a response to a Client.
type responseBody call

// Next lends the next bytes. When it returns an error, io.EOF included, nobody reads the request's body any more, unless the
// response has opened a tunnel and ended first.
func (b *responseBody) Next() ([]byte, error) {
	s := (*call)(b)
	s.c.mu.Lock()
	p, err := s.read()
	s.c.mu.Unlock()
	if err != nil && err != traffic.ErrInterrupted && !(err == io.EOF && s.tunnel) {
		s.stopUpload()
	}
	return p, err
}

func (b *responseBody) Interrupt(on bool) { b.interrupt(on) }

// Close ends the call: what the server has not said yet is not wanted.
func (b *responseBody) Close(err error) {
	s := (*call)(b)
	s.c.mu.Lock()
	graceful := err == nil && s.tunnel && s.recvClosed && len(s.in) == 0 && s.err == nil
	s.c.mu.Unlock()
	if graceful {
		s.waitUpload()
	} else {
		s.stopUpload()
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	code := http2.Cancel
	if s.recvClosed {
		code = http2.NoError
	}
	s.reset(code, errStopped)
	s.call = nil
	s.drop()
	s.consumed()
}
