package h2

import (
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

	connect      bool // CONNECT, plain or extended
	upgrade      bool // an HTTP/1.1 upgrade that goes as an extended CONNECT
	isHead       bool
	headed       bool // the response's head has come
	tunnel       bool // and opens a tunnel
	proceed      bool // 100 (Continue) has come
	informed     int  // interim responses, and their size
	informedSize uint32
	interim      []interim
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

// disarm stops the clock. Called with the lock.
func (s *call) disarm() {
	if s.armed && s.timer.Stop() {
		s.armed = false
	}
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
	s.informed, s.informedSize, s.interim = 0, 0, nil
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
