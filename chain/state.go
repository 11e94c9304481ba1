package chain

import (
	"maps"
	"sync"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/balance"
	"github.com/weft-mesh/weft/feature/breaker"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/traffic"
)

// State is what was learnt from calls; it outlives configuration. One for each workload served.
type State struct {
	mu      sync.Mutex
	pools   map[traffic.Target]*poolState
	ledgers map[traffic.Target]*retry.Ledger // by service port
}

type poolState struct {
	set     *balance.Set
	breaker breaker.State
	limits  *breaker.Policy // of the configuration in use; guarded by State.mu
}

// NewState has learnt nothing.
func NewState() *State {
	return &State{pools: map[traffic.Target]*poolState{}, ledgers: map[traffic.Target]*retry.Ledger{}}
}

// pool returns what is known of a target, with its endpoints as p has them.
func (s *State) pool(t traffic.Target, p *config.Pool, now time.Time) *poolState {
	s.mu.Lock()
	defer s.mu.Unlock()
	ps := s.pools[t]
	if ps == nil {
		ps = &poolState{set: balance.NewSet()}
		s.pools[t] = ps
	}
	ps.limits = p.Policy.Breaker
	ps.set.Update(p.Policy.Balance, p.Policy.Outlier, p.Endpoints, now)
	return ps
}

func (s *State) ledger(t traffic.Target) *retry.Ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ledgers[t] == nil {
		s.ledgers[t] = &retry.Ledger{}
	}
	return s.ledgers[t]
}

// room says whether the limits of c's target have room for one more retry (retry.Room).
func (s *State) room(c *traffic.Call) (*decision.Ref, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ps := s.pools[c.Target]
	if ps == nil || ps.limits.Retry(&ps.breaker, c.Attempts > 1) {
		return nil, true
	}
	return &ps.limits.Ref, false
}

// keep drops what was learnt of a service's targets that are not used any more. Calls under way go on with what they hold.
func (s *State) keep(host string, used map[traffic.Target]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.pools, func(t traffic.Target, _ *poolState) bool { return t.Service == host && !used[t] })
}

// Forget drops what was learnt of a service that is not called any more.
func (s *State) Forget(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.pools, func(t traffic.Target, _ *poolState) bool { return t.Service == host })
	maps.DeleteFunc(s.ledgers, func(t traffic.Target, _ *retry.Ledger) bool { return t.Service == host })
}

// Snapshot is what was learnt of endpoints, as values: what a live proxy gives to explain.
func (s *State) Snapshot() map[traffic.Target][]balance.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[traffic.Target][]balance.Snapshot{}
	for t, p := range s.pools {
		out[t] = p.set.Snapshot()
	}
	return out
}
