package breaker

import (
	"sync/atomic"

	"github.com/weft-mesh/weft/traffic"
)

// State counts what is in flight to one service or subset. It outlives policies: what a call took under one, it gives back
// under the next.
type State struct{ connections, requests, retries atomic.Uint32 }

// Held is what a call takes while it lasts.
type Held struct{ Connection, Request, Retry bool }

// Of says what an attempt of c takes: a connection of the application's, unless calls share one there; a request, if it is
// HTTP; a retry, if it is not the first attempt. It is the same at the attempt's end as at its start.
func Of(c *traffic.Call) Held {
	return Held{Connection: own(c), Request: c.Proto != traffic.TCP, Retry: c.Attempts > 1}
}

func own(c *traffic.Call) bool {
	switch c.Proto {
	case traffic.TCP:
		return true
	case traffic.HTTP1:
		u := c.Upstream
		return u == nil || !u.Connect.Upgrade && u.Proto != traffic.HTTP2 && u.Proto != traffic.GRPC
	}
	return false
}

// Take counts h in; false: a limit is reached, and nothing was counted.
func (p *Policy) Take(s *State, h Held) bool {
	switch {
	case h.Connection && !take(&s.connections, p.connections()):
		return false
	case h.Request && !take(&s.requests, p.MaxRequests):
		s.Give(Held{Connection: h.Connection})
		return false
	case h.Retry && !take(&s.retries, p.MaxRetries):
		s.Give(Held{Connection: h.Connection, Request: h.Request})
		return false
	}
	return true
}

// Give counts h out.
func (s *State) Give(h Held) {
	give(&s.connections, h.Connection)
	give(&s.requests, h.Request)
	give(&s.retries, h.Retry)
}

// Retry says whether one more retry is within the limit now, of a call that holds the place of its latest retry or of none; when
// it is made, Take has the last word.
func (p *Policy) Retry(s *State, holds bool) bool {
	if p == nil || p.MaxRetries == 0 {
		return true
	}
	n := s.retries.Load()
	if holds && n > 0 {
		n--
	}
	return n < p.MaxRetries
}

// connections is how many calls may have a connection of their own or wait for one.
func (p *Policy) connections() uint32 {
	if p.MaxConnections == 0 {
		return 0
	}
	return p.MaxConnections + p.MaxPending
}

func take(n *atomic.Uint32, limit uint32) bool {
	if now := n.Add(1); limit == 0 || now <= limit {
		return true
	}
	n.Add(^uint32(0))
	return false
}

func give(n *atomic.Uint32, held bool) {
	if held {
		n.Add(^uint32(0))
	}
}
