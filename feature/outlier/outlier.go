package outlier

import (
	"cmp"
	"sync/atomic"
	"time"
)

// Outcome is what became of a call, as far as the endpoint is to blame.
type Outcome uint8

const (
	Success  Outcome = iota
	Failure          // classified as one: a 5xx, a gRPC server error
	Gateway          // 502, 503 or 504
	NoAnswer         // no connection, or broken off before the response's head
)

// State is one endpoint's; it is written by every call that ends there. Zero: nothing is known.
type State struct {
	failures, gateway, local atomic.Uint32 // in a row
	ejections                atomic.Uint32
	since, until             atomic.Int64 // of the latest ejection, in ns
}

// Ejected says whether the endpoint is left out at now, in ns.
func (s *State) Ejected(now int64) bool { return s.until.Load() > now }

// Until is when the latest ejection ends, in ns; 0: there was none.
func (s *State) Until() int64 { return s.until.Load() }

// Observe takes the outcome of a call at now; total and out count the endpoints and those left out. It returns true if the
// endpoint is ejected by this.
func (p *Policy) Observe(s *State, o Outcome, now time.Time, total, out int) bool {
	was := s.until.Load()
	if was > now.UnixNano() { // calls begun before it was left out: they say nothing of how it is when it comes back
		return false
	}
	return p.count(s, o) && p.may(total, out) && p.eject(s, was, now)
}

// count returns true when a limit is reached.
func (p *Policy) count(s *State, o Outcome) bool {
	if o == Success {
		s.reset()
		return false
	}
	if o == NoAnswer && p.Local > 0 {
		return s.local.Add(1) >= p.Local
	}
	full := reached(&s.failures, p.Consecutive)
	if o == Failure {
		s.gateway.Store(0)
		return full
	}
	return reached(&s.gateway, p.Gateway) || full
}

func reached(n *atomic.Uint32, limit uint32) bool { return n.Add(1) >= limit && limit > 0 }

// reset writes only what has a value: success is every call's.
func (s *State) reset() {
	for _, n := range [...]*atomic.Uint32{&s.failures, &s.gateway, &s.local} {
		if n.Load() != 0 {
			n.Store(0)
		}
	}
}

// may says whether one more may be left out: one always, while another is well.
func (p *Policy) may(total, out int) bool {
	well := total - out
	if well < 2 || uint32(well*100) < p.MinHealth*uint32(total) {
		return false
	}
	return out == 0 || uint32((out+1)*100) <= p.maxPercent()*uint32(total)
}

// Panic says whether so many are left out that all are to be used again (MinHealth).
func (p *Policy) Panic(total, out int) bool {
	return p != nil && out > 0 && uint32((total-out)*100) < p.MinHealth*uint32(total)
}

// eject leaves the endpoint out for a time that is longer each time, less one for each interval in which it behaved since was,
// the end of its latest ejection. Of several calls that fail at once, one ejects.
func (p *Policy) eject(s *State, was int64, now time.Time) bool {
	n := s.ejections.Load()
	if was > 0 {
		n -= min(n, uint32(now.Sub(time.Unix(0, was))/p.interval()))
	}
	span := p.max()
	if times := p.times(n); times <= span/p.base() {
		span = times * p.base()
	}
	if !s.until.CompareAndSwap(was, now.Add(span).UnixNano()) {
		return false
	}
	s.ejections.Store(n + 1)
	s.since.Store(now.UnixNano())
	s.reset()
	if p.Wary && p.Consecutive > 0 {
		s.failures.Store(p.Consecutive - 1)
	}
	return true
}

// times is how often Base fits into the ejection after n others.
func (p *Policy) times(n uint32) time.Duration {
	if p.Doubles {
		return 1 << min(n, 62)
	}
	return time.Duration(n) + 1
}

func (p *Policy) base() time.Duration     { return cmp.Or(p.Base, 30*time.Second) }
func (p *Policy) interval() time.Duration { return cmp.Or(p.Interval, 10*time.Second) }
func (p *Policy) max() time.Duration      { return max(p.base(), cmp.Or(p.Max, 300*time.Second)) }
func (p *Policy) maxPercent() uint32      { return cmp.Or(p.MaxPercent, 10) }

// Snapshot is State as a value: for explain against a live proxy, and for the admin page.
type Snapshot struct {
	Failures, Gateway, Local, Ejections uint32
	Since, Until                        time.Time // of the latest ejection; zero: none
}

// Snapshot returns what is known.
func (s *State) Snapshot() Snapshot {
	v := Snapshot{Failures: s.failures.Load(), Gateway: s.gateway.Load(), Local: s.local.Load(), Ejections: s.ejections.Load()}
	if until := s.until.Load(); until > 0 {
		v.Since, v.Until = time.Unix(0, s.since.Load()), time.Unix(0, until)
	}
	return v
}

// Restore makes the state as it was.
func (s *State) Restore(v Snapshot) {
	s.failures.Store(v.Failures)
	s.gateway.Store(v.Gateway)
	s.local.Store(v.Local)
	s.ejections.Store(v.Ejections)
	if !v.Until.IsZero() {
		s.since.Store(v.Since.UnixNano())
		s.until.Store(v.Until.UnixNano())
	}
}
