package proxy

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/traffic"
)

// Wanter subscribes to resources; stream.Client is one.
type Wanter interface {
	Want(names ...string)
	Drop(names ...string)
}

// store holds the configuration that has arrived. A resource is asked for when it is first needed; whoever needs it waits. What
// is not there is known too, as long as it is subscribed to.
//
// A new version of a service is held back until the services that its rules lead to have arrived, or are known not to exist:
// no call takes a route whose end is not known yet.
type store struct {
	want  Wanter
	build func(name string, v any) error // takes a parsed resource into use, nil if it is gone

	mu      sync.Mutex
	entries map[string]*entry
}

// entry is one resource. Its fields are guarded by store.mu but for ready.
type entry struct {
	ready   chan struct{} // closed once there is an answer
	known   bool
	value   any    // *config.Service and so on; nil: it does not exist
	body    []byte // of value
	next    *held
	waiters map[string]bool // services that hold back for this one
	used    time.Time
}

// held is a version that waits for others.
type held struct {
	value   *config.Service
	body    []byte
	missing map[string]bool // names that have not arrived
}

func newStore(want Wanter, build func(string, any) error) *store {
	return &store{want: want, build: build, entries: map[string]*entry{}}
}

// get returns a resource, asking for it and waiting if it is not known; nil, nil: it does not exist.
func (s *store) get(ctx context.Context, name string, now time.Time) (any, error) {
	s.mu.Lock()
	e, fresh := s.entry(name)
	e.used = now
	if e.known {
		v := e.value
		s.mu.Unlock()
		return v, nil
	}
	ready := e.ready
	s.mu.Unlock()
	if fresh {
		s.want.Want(name)
	}
	select {
	case <-ready:
		s.mu.Lock()
		defer s.mu.Unlock()
		return e.value, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s is not known here and the control plane did not answer: %w", name, ctx.Err())
	}
}

// peek returns what is known of a resource without asking.
func (s *store) peek(name string) (v any, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[name]; e != nil {
		return e.value, e.known
	}
	return nil, false
}

// entry returns the entry of a name; fresh: it is new, and nobody has asked for it yet. It needs the lock.
func (s *store) entry(name string) (e *entry, fresh bool) {
	if e := s.entries[name]; e != nil {
		return e, false
	}
	e = &entry{ready: make(chan struct{})}
	s.entries[name] = e
	return e, true
}

// Apply takes updates into use; it is stream.Client's. The errors are those of resources that were refused: their last good
// version stays.
func (s *store) Apply(updates []stream.Update) map[string]error {
	refused := map[string]error{}
	var asked []string
	for _, u := range updates {
		v, err := parse(u)
		if err == nil {
			var more []string
			more, err = s.take(u, v)
			asked = append(asked, more...)
		}
		if err != nil {
			refused[u.Name] = err
		}
	}
	if len(asked) > 0 {
		s.want.Want(asked...)
	}
	return refused
}

func parse(u stream.Update) (any, error) {
	if u.Body == nil {
		return nil, nil
	}
	var v any
	switch kind, _ := config.Cut(u.Name); kind {
	case config.KindService:
		v = new(config.Service)
	case config.KindAddress:
		v = new(config.Address)
	case config.KindWorkload:
		v = new(config.Workload)
	case config.KindPeer:
		v = new(config.Peer)
	case config.KindTrust:
		v = new(config.Trust)
	default:
		return nil, fmt.Errorf("proxy: a resource of kind %q; is the control plane newer than this proxy?", kind)
	}
	return v, config.Parse(u.Body, v)
}

// take takes one resource in; it returns names to ask for.
func (s *store) take(u stream.Update, v any) (ask []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, _ := s.entry(u.Name)
	if svc, ok := v.(*config.Service); ok {
		if missing := s.missing(svc, u.Name, &ask); len(missing) > 0 {
			e.next = &held{svc, u.Body, missing}
			return ask, nil
		}
	}
	e.next = nil
	if err := s.use(u.Name, e, v, u.Body); err != nil {
		return ask, err
	}
	return ask, s.release(u.Name, e)
}

// missing returns the services that svc leads to and that nothing is known of; those not yet asked for are added to ask.
func (s *store) missing(svc *config.Service, self string, ask *[]string) map[string]bool {
	out := map[string]bool{}
	for t := range targets(svc) {
		name := config.Name(config.KindService, t.Service)
		if name == self {
			continue
		}
		e, fresh := s.entry(name)
		if fresh {
			*ask = append(*ask, name)
		}
		if !e.known && e.next == nil { // one that is held back itself has arrived: two that lead to each other must not wait
			out[name] = true
			if e.waiters == nil {
				e.waiters = map[string]bool{}
			}
			e.waiters[self] = true
		}
	}
	return out
}

// targets yields where the rules of a service lead.
func targets(svc *config.Service) func(func(traffic.Target) bool) {
	return func(yield func(traffic.Target) bool) {
		for i := range svc.Ports {
			for _, r := range svc.Ports[i].Rules {
				for j := range r.Backends {
					if r.Backends[j].Missing == "" && !yield(r.Backends[j].Target) {
						return
					}
				}
				for j := range r.Mirrors {
					if !yield(r.Mirrors[j].Target) {
						return
					}
				}
			}
		}
	}
}

// use takes a version into use and wakes who waits. It needs the lock.
func (s *store) use(name string, e *entry, v any, body []byte) error {
	if err := s.build(name, v); err != nil {
		return err
	}
	e.value, e.body = v, body
	if !e.known {
		e.known = true
		close(e.ready)
	}
	return nil
}

// release takes into use what waited for name alone.
func (s *store) release(name string, e *entry) error {
	waiters := e.waiters
	e.waiters = nil
	for w := range waiters {
		x := s.entries[w]
		if x == nil || x.next == nil {
			continue
		}
		if delete(x.next.missing, name); len(x.next.missing) > 0 {
			continue
		}
		next := x.next
		x.next = nil
		if err := s.use(w, x, next.value, next.body); err != nil {
			return fmt.Errorf("%s, which waited for it: %w", w, err)
		}
		if err := s.release(w, x); err != nil {
			return err
		}
	}
	return nil
}

// address finds the service that has a virtual IP; empty: none.
func (s *store) address(ctx context.Context, ip netip.Addr, now time.Time) (string, error) {
	v, err := s.get(ctx, config.Name(config.KindAddress, ip.Unmap().String()), now)
	if a, ok := v.(*config.Address); ok && a != nil {
		return a.Host, err
	}
	return "", err
}

// idle drops what nobody has asked for since then, and that nothing in use leads to.
func (s *store) idle(since time.Time) {
	s.mu.Lock()
	led := map[string]bool{}
	for _, e := range s.entries {
		if svc, ok := e.value.(*config.Service); ok && svc != nil && !e.used.Before(since) {
			for t := range targets(svc) {
				led[config.Name(config.KindService, t.Service)] = true
			}
		}
	}
	var drop []string
	for name, e := range s.entries {
		kind, _ := config.Cut(name)
		if (kind == config.KindService || kind == config.KindAddress || kind == config.KindPeer) && e.known && e.next == nil &&
			len(e.waiters) == 0 && e.used.Before(since) && !led[name] {
			drop = append(drop, name)
			delete(s.entries, name)
			_ = s.build(name, nil)
		}
	}
	s.mu.Unlock()
	if len(drop) > 0 {
		s.want.Drop(drop...)
	}
}
