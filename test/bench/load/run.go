package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// caller has one request under way at a time.
type caller struct {
	run   *run
	self  interface{ begin() error }
	began time.Duration // since the run's

	served bool // it has had an answer
}

// run is a Spec under way.
type run struct {
	spec     *Spec
	loop     *loop
	to       netip.AddrPort
	base     time.Time
	counting bool
	seen     histogram
	callers  []*caller

	idle    []*caller       // those without a request
	begun   int             // callers that have had one
	served  int             // callers that have had an answer
	backlog []time.Duration // with a rate: when requests were due that wait for a caller

	first  error
	errors int
}

// Hooks are called when counting begins and ends.
type Hooks struct{ Begin, End func() error }

// Run drives a Spec. Its error says that there could be no run; what went wrong in it is in the Result.
func Run(s *Spec, hooks Hooks) (Result, error) {
	l, err := newLoop()
	if err != nil {
		return Result{}, err
	}
	defer l.close()
	to, err := netip.ParseAddrPort(s.Addr)
	if err != nil {
		return Result{}, err
	}
	r := &run{spec: s, loop: l, to: to, base: time.Now()}
	if err := r.open(); err != nil {
		return Result{}, err
	}
	if err := r.phase(s.Warm); err != nil {
		return Result{}, err
	}
	if err := r.servedAll(); err != nil {
		return Result{}, err
	}
	if err := hooks.Begin(); err != nil {
		return Result{}, err
	}
	r.counting = true
	at := r.now()
	if err := r.phase(s.For); err != nil {
		return Result{}, err
	}
	took := r.now() - at
	if err := hooks.End(); err != nil {
		return Result{}, err
	}
	out := r.seen.result()
	out.Took, out.Errors = took, r.errors
	if r.first != nil {
		out.Error = r.first.Error()
	}
	return out, nil
}

func (r *run) now() time.Duration { return time.Since(r.base) }

// maxErrors ends a run: what follows would be no other.
const maxErrors = 10

// phase lets time pass, with requests at the rate if there is one.
func (r *run) phase(d time.Duration) error {
	end, due := r.now()+d, r.now()
	for {
		now := r.now()
		if now >= end || r.errors >= maxErrors {
			return nil
		}
		wait := end - now
		if r.spec.Rate > 0 {
			for ; due <= now; due += time.Second / time.Duration(r.spec.Rate) {
				if err := r.due(due); err != nil {
					return err
				}
			}
			wait = min(wait, due-r.now())
		}
		if err := r.loop.turn(max(wait, 0)); err != nil {
			return err
		}
	}
}

// firstAnswers bounds the time that all callers together wait for their first answers: a handshake for each may be in it.
const firstAnswers = 20 * time.Second

// servedAll goes on until every caller has had an answer.
func (r *run) servedAll() error {
	for end := r.now() + firstAnswers; r.served < len(r.callers) && r.errors == 0; {
		if r.now() > end {
			return fmt.Errorf("%d of %d callers had an answer after %v", r.served, len(r.callers), firstAnswers)
		}
		if err := r.phase(10 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// due begins a request that was to begin at a time, if a caller is there.
func (r *run) due(at time.Duration) error {
	if len(r.idle) == 0 {
		r.backlog = append(r.backlog, at)
		return nil
	}
	k := r.idle[0] // the one that idles longest, so that all connections are used
	r.idle = r.idle[1:]
	k.began = at
	return k.self.begin()
}

// done is called by a handler when a caller's request has been answered; it begins the next one.
func (r *run) done(k *caller) error {
	now := r.now()
	if !k.served {
		k.served = true
		r.served++
	}
	if r.counting {
		r.seen.add(now - k.began)
	}
	switch {
	case r.spec.Idle:
		r.idle = append(r.idle, k)
		if r.begun == len(r.callers) {
			return nil
		}
		k = r.callers[r.begun]
		r.begun++
	case r.spec.Rate == 0:
		k.began = now
	case len(r.backlog) > 0:
		k.began, r.backlog = r.backlog[0], r.backlog[1:]
	default:
		r.idle = append(r.idle, k)
		return nil
	}
	return k.self.begin()
}

func (r *run) failed(err error) {
	if errors.Is(err, errFinished) {
		return
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the connection was closed")
	}
	r.errors++
	if r.first == nil {
		r.first = err
	}
}

// errFinished closes a connection that has served.
var errFinished = errors.New("finished")

// open connects all callers and lets them begin.
func (r *run) open() error {
	for range r.spec.Callers {
		k := &caller{run: r}
		r.callers = append(r.callers, k)
	}
	if err := r.connect(); err != nil {
		return err
	}
	for i, k := range r.callers {
		if r.spec.Idle && i == atOnce {
			return nil
		}
		r.begun++
		if r.spec.Rate > 0 {
			r.idle = append(r.idle, k)
			continue
		}
		k.began = r.now()
		if err := k.self.begin(); err != nil {
			return err
		}
	}
	return nil
}

// atOnce is how many callers that will idle make their requests at the same time.
const atOnce = 16

func (r *run) connect() error {
	s := r.spec
	if s.Protocol == HTTP2 || s.Protocol == GRPC || s.Protocol == Stream {
		return r.connect2()
	}
	for _, k := range r.callers {
		h, err := k.handler()
		if err != nil {
			return err
		}
		if s.Protocol == Fresh {
			continue // it connects for each request
		}
		if _, err := r.loop.dial(r.to, h); err != nil {
			return err
		}
	}
	return nil
}

// handler gives the caller its side of the protocol.
func (k *caller) handler() (handler, error) {
	s := k.run.spec
	var h interface {
		handler
		begin() error
	}
	switch s.Protocol {
	case HTTP1, Fresh:
		h = &http1Client{caller: k, request: request1(s)}
	case Echo:
		h = &echoClient{caller: k, message: bytes.Repeat([]byte("e"), s.Send)}
	case Source:
		h = &sourceClient{caller: k, sink: sink{each: func() error { return k.run.done(k) }}}
	case Sink:
		h = &sinkClient{caller: k, pump: pump{block: make([]byte, 256<<10)}}
	default:
		return nil, fmt.Errorf("no protocol %q", s.Protocol)
	}
	k.self = h
	return h, nil
}
