package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/stream/server"
)

// session is one proxy's connection. What waits to be sent is the latest of each resource: a slow proxy costs memory for what
// it wants, not for every change.
type session struct {
	c *Control
	*member

	mu      sync.Mutex
	held    map[string]held
	waiting map[string]*stream.Body
	flying  map[uint64][]flight // by nonce; not yet acknowledged
	nonce   uint64
	wake    chan struct{}
	err     error // why it ended
}

// flight is a version of a resource on its way. Most messages have one.
type flight struct {
	name    string
	version uint64
}

// held is the version of a resource that was sent last and the one that is in use.
type held struct{ sent, acked uint64 }

func newSession(c *Control, m *member) *session {
	return &session{c: c, member: m, held: map[string]held{}, waiting: map[string]*stream.Body{},
		flying: map[uint64][]flight{}, wake: make(chan struct{}, 1)}
}

// Open lets a proxy in that proves to speak for a workload.
func (c *Control) Open(ctx context.Context, hello *stream.Hello) (server.Session, error) {
	s, err := c.open(ctx, hello)
	c.counters.sessions.Add(outcome(err))
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (c *Control) open(ctx context.Context, hello *stream.Hello) (*session, error) {
	m, err := c.members.admit(ctx, hello.Workload, hello.Token)
	if err != nil {
		return nil, err
	}
	s := newSession(c, m)
	stays := false
	if err := c.do(func() {
		if stays = c.members.stays(m); stays { // or it has gone meanwhile, and nobody would end this session
			c.publisher.open(s)
		}
	}); err != nil {
		return nil, err
	}
	if !stays {
		return nil, fmt.Errorf("%w: %w", server.ErrRefused, errGone)
	}
	c.rests(hello.Workload, hello.Root)
	return s, nil
}

// mostNames bounds what one proxy may ask for; its own bound is less than half of it. The longest names are those of pods, two names
// of Kubernetes with a kind before them.
const (
	mostNames  = 50_000
	longestRef = 1 << 10 // bytes
	longestWhy = 1 << 10 // bytes of a reason that are kept
)

func (s *session) Take(up *stream.Up) error {
	s.acknowledge(up)
	s.c.rests(s.workload, up.Root)
	for _, n := range up.Refused {
		if s.wanted(n.Name) { // it was sent nothing else to refuse
			n.Error = n.Error[:min(len(n.Error), longestWhy)]
			s.c.refused(s.workload, n)
		}
	}
	if len(up.Subscribe)+len(up.Unsubscribe) == 0 {
		return s.ended()
	}
	if n := s.wants() + len(up.Subscribe); n > mostNames {
		return fmt.Errorf("%w: %d resources are wanted, and a proxy may have %d", server.ErrRefused, n, mostNames)
	}
	for _, w := range up.Subscribe {
		if len(w.Name) > longestRef {
			return fmt.Errorf("%w: no resource has a name of %d bytes", server.ErrRefused, len(w.Name))
		}
	}
	err := s.c.do(func() {
		s.c.publisher.makeRoom(s, len(up.Subscribe))
		for _, name := range up.Unsubscribe {
			s.c.publisher.unsubscribe(s, name)
		}
		for _, w := range up.Subscribe {
			s.c.publisher.subscribe(s, w.Name, w.Version)
		}
		delete(s.c.unheard, s.workload)
	})
	s.c.acknowledged() // it may have said that it has all
	for _, name := range up.Unsubscribe {
		s.c.nacks.clear(s.workload, name)
	}
	return errors.Join(err, s.ended())
}

func (s *session) acknowledge(up *stream.Up) {
	if up.Ack == 0 {
		return
	}
	var refused map[string]bool
	if len(up.Refused) > 0 {
		refused = map[string]bool{}
		for _, n := range up.Refused {
			refused[n.Name] = true
		}
	}
	s.mu.Lock()
	taken := s.flying[up.Ack]
	delete(s.flying, up.Ack)
	taken = slices.DeleteFunc(taken, func(x flight) bool { return refused[x.name] })
	for _, x := range taken {
		if h, ok := s.held[x.name]; ok {
			h.acked = x.version
			s.held[x.name] = h
		}
	}
	more := len(s.waiting) > 0
	s.mu.Unlock()
	for _, x := range taken {
		s.c.nacks.clear(s.workload, x.name)
	}
	if more {
		s.stir()
	}
	s.c.acknowledged()
}

func (s *session) Next(ctx context.Context) (*stream.Down, error) {
	for {
		if down, err := s.take(); down != nil || err != nil {
			return down, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.wake:
		}
	}
}

// mostFlying bounds the messages that a proxy has not answered yet; what comes meanwhile waits, the latest of each.
const mostFlying = 16

// roomy is how many a map has room for before it grows.
const roomy = 8

// take makes a message of all that waits.
func (s *session) take() (*stream.Down, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 || len(s.flying) >= mostFlying {
		return nil, s.err
	}
	s.nonce++
	down := &stream.Down{Nonce: s.nonce}
	sent := make([]flight, 0, len(s.waiting))
	for _, name := range slices.Sorted(maps.Keys(s.waiting)) {
		b := s.waiting[name]
		down.Resources = append(down.Resources, stream.Resource{Name: name, Version: b.Version, Body: b.Bytes, Gone: b.Version == 0})
		sent = append(sent, flight{name, b.Version})
		s.c.counters.pushes.Add(kindOf(name))
	}
	s.flying[s.nonce] = sent
	if clear(s.waiting); len(sent) > roomy {
		s.waiting = map[string]*stream.Body{} // the first time all that is wanted waited: its room is not needed again
	}
	return down, nil
}

func (s *session) Close() {
	_ = s.c.do(func() { s.c.publisher.close(s) })
	s.c.acknowledged() // whoever waited for this proxy waits no longer
}

// end makes the proxy's connection close with an error.
func (s *session) end(err error) {
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	s.stir()
}

func (s *session) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *session) stir() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *session) push(name string, b *stream.Body) {
	s.mu.Lock()
	h := s.held[name]
	h.sent = b.Version
	s.held[name], s.waiting[name] = h, b
	s.mu.Unlock()
	s.stir()
}

// sent notes what the proxy had already.
func (s *session) sent(name string, version uint64) {
	s.c.nacks.clear(s.workload, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[name] = held{version, version}
}

func (s *session) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, name)
	delete(s.waiting, name)
}

func (s *session) last(name string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[name].sent
}

func (s *session) acked(name string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[name].acked
}

// settled says whether the proxy has answered everything.
func (s *session) settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting) == 0 && len(s.flying) == 0
}

func (s *session) wanted(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.held[name]
	return ok
}

func (s *session) wants() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}

func (s *session) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.held))
}
