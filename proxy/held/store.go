// Package held holds a proxy's configuration: what was asked for, what has arrived, what is known not to exist. It asks for a resource
// when it is first needed, and forgets what nobody uses.
//
// It has no goroutine and no clock; whoever needs a resource waits in Get. Its errors wrap ErrUnavailable where nobody answered, and
// are those of Options' functions where a resource was refused.
package held

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/traffic"
)

// Wanter subscribes to resources; stream.Client is one.
type Wanter interface {
	Want(names ...string)
	Drop(names ...string)
	// Restore says that a resource is held already, with this body.
	Restore(name string, body []byte)
}

// Service is one version of a service, ready to be called.
type Service struct {
	Config *config.Service
	Way    *chain.Service
}

// Options says where resources are asked for, and who takes them into use. All fields are required.
type Options struct {
	Want     Wanter
	Build    func(*config.Service) (*Service, error)
	Workload func(name string, w *config.Workload) error // nil: it is gone
	Trust    func(*config.Trust) error
	Peer     func(name string) // a peer or a pod of which somebody was told something else, or nothing in time
	// Gateway readies a gateway's configuration, nil: it is gone, and returns what takes it into use.
	Gateway func(g *config.Gateway) (use func(), err error)
	Forget  func(host string) // a service that nobody uses any more
}

// Store holds the configuration that has arrived. A resource is asked for when it is first needed; whoever needs it waits. What
// is not there is known too, as long as it is subscribed to.
//
// A new version of a service, or of a gateway, is held back until the services that its rules lead to have arrived, or are known not to
// exist: no call takes a route whose end is not known yet. A service's endpoints are in use from the moment that it arrives.
type Store struct {
	o Options

	mu       sync.Mutex
	entries  map[string]*Entry
	ips      map[netip.Addr]*Entry // services by virtual IP
	pods     int                   // entries of pods
	evicted  []string              // forgotten, and still to be dropped
	changed  chan struct{}         // stirred when there is something to write to disk
	services sync.Map              // host -> *Entry: found without the lock
}

// Entry is one resource. Its fields are guarded by Store.mu but for ready, used, now and next.
type Entry struct {
	name    string
	ready   chan struct{} // closed once there is an answer
	known   bool
	missed  bool   // somebody has not waited for the answer
	value   any    // *config.Service and so on; nil: it does not exist
	body    []byte // of value
	missing map[string]bool
	waiters map[string]bool // services and gateways that hold back for this one
	pending func()          // takes into use what is held back; nil: nothing is

	used atomic.Int64            // when somebody asked for it
	now  atomic.Pointer[Service] // in use; nil: there is no such service
	next atomic.Pointer[Service] // held back
}

// maxEntries bounds what is held: an application that asks for made-up names makes those be forgotten that were not used longest.
const maxEntries = 20000

// maxPods bounds those of pods, whose names are the addresses of whoever calls: the longest unused are forgotten, whether they exist or not.
const maxPods = 2000

// New returns a store that holds nothing.
func New(o Options) *Store {
	return &Store{o: o, entries: map[string]*Entry{}, ips: map[netip.Addr]*Entry{}, changed: make(chan struct{}, 1)}
}

// Changed tells when there is something to write to disk.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// ErrUnavailable says that nobody answered, which is not the same as that something does not exist.
var ErrUnavailable = errors.New("it is not known here, and the control plane does not answer")

// Get returns a resource, asking for it and waiting if it is not known; value nil: it does not exist.
func (s *Store) Get(ctx context.Context, name string, now time.Time) (*Entry, any, error) {
	s.mu.Lock()
	e, fresh := s.entry(name, now)
	if e.known {
		v := e.value
		s.mu.Unlock()
		return e, v, nil
	}
	drop := s.evicted
	s.evicted = nil
	s.mu.Unlock()
	s.drop(drop)
	if fresh {
		s.o.Want.Want(name)
	}
	select {
	case <-e.ready:
		s.mu.Lock()
		defer s.mu.Unlock()
		return e, e.value, nil
	case <-ctx.Done():
		s.mu.Lock()
		e.missed = true
		s.mu.Unlock()
		return e, nil, fmt.Errorf("%s: %w (%w)", name, ErrUnavailable, ctx.Err())
	}
}

// entry returns the entry of a name; fresh: it is new, and nobody has asked for it yet. It needs the lock.
func (s *Store) entry(name string, now time.Time) (e *Entry, fresh bool) {
	if e := s.entries[name]; e != nil {
		e.Touch(now)
		return e, false
	}
	kind, key := config.Cut(name)
	switch {
	case kind == config.KindPod && s.pods >= maxPods:
		s.evict(func(name string, _ *Entry) bool { return isPod(name) })
	case len(s.entries) >= maxEntries:
		s.evict(func(name string, e *Entry) bool { return e.value == nil && forgettable(name) && len(e.waiters) == 0 })
	}
	e = &Entry{name: name, ready: make(chan struct{})}
	e.Touch(now)
	s.entries[name] = e
	switch kind {
	case config.KindService:
		s.services.Store(key, e)
	case config.KindPod:
		s.pods++
	}
	return e, true
}

// Expect makes room for a resource that is going to be asked for; known: there is an answer already.
func (s *Store) Expect(name string, now time.Time) (known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, _ := s.entry(name, now)
	return e.known
}

// Now is the version of a service that is in use; nil: there is no such service.
func (e *Entry) Now() *Service { return e.now.Load() }

// Touch notes that somebody needs e. It writes seldom: connections share the entry.
func (e *Entry) Touch(now time.Time) {
	if n := now.Unix(); e.used.Load() != n {
		e.used.Store(n)
	}
}

// Find is the chain's Finder.
func (s *Store) Find(t traffic.Target) (traffic.Handler, string) {
	x, ok := s.services.Load(t.Service)
	if !ok {
		return nil, "the configuration of " + t.Service + " has not arrived"
	}
	e := x.(*Entry)
	h, why := wayOf(e.now.Load()).Find(t)
	if next := e.next.Load(); h == nil && next != nil {
		return next.Way.Find(t)
	}
	return h, why
}

func wayOf(s *Service) *chain.Service {
	if s == nil {
		return nil
	}
	return s.Way
}

// Apply takes updates into use; it is stream.Client's. The errors are those of resources that were refused: their last good
// version stays.
func (s *Store) Apply(updates []stream.Update, now time.Time) map[string]error {
	refused := map[string]error{}
	var asked []string
	for _, u := range updates {
		v, err := parse(u)
		if err == nil {
			var more []string
			more, err = s.take(u, v, now)
			asked = append(asked, more...)
		}
		if err != nil {
			refused[u.Name] = err
		}
	}
	if len(asked) > 0 {
		s.o.Want.Want(asked...)
	}
	s.Stir()
	return refused
}

// Stir says that there is something to write to disk.
func (s *Store) Stir() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
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
	case config.KindPod:
		v = new(traffic.Pod)
	case config.KindTrust:
		v = new(config.Trust)
	case config.KindGateway:
		v = new(config.Gateway)
	default:
		return nil, fmt.Errorf("proxy: a resource of kind %q; is the control plane newer than this proxy?", kind)
	}
	return v, config.Parse(u.Body, v)
}

// take takes one resource in; it returns names to ask for.
func (s *Store) take(u stream.Update, v any, now time.Time) (ask []string, err error) {
	kind, _ := config.Cut(u.Name)
	if kind == config.KindGateway {
		return s.takeGateway(u, v, now)
	}
	if kind != config.KindService {
		if err := s.apply(u.Name, kind, v); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[u.Name]
	if e == nil {
		return nil, nil // forgotten meanwhile
	}
	var svc *Service
	if cfg, ok := v.(*config.Service); ok {
		if svc, err = s.o.Build(cfg); err != nil {
			return nil, err
		}
		if e.missing = s.missing(cfg.Targets, e, now, &ask); len(e.missing) > 0 {
			e.next.Store(svc)
			e.pending = func() {
				next := e.next.Load() // it may have been built anew
				s.use(e, next.Config, next, u.Body)
			}
			return ask, nil
		}
	}
	heard := e.known || e.missed
	s.use(e, v, svc, u.Body)
	s.release(e)
	if heard && (kind == config.KindPeer || kind == config.KindPod) {
		s.o.Peer(u.Name)
	}
	return ask, nil
}

func (s *Store) takeGateway(u stream.Update, v any, now time.Time) (ask []string, err error) {
	g, _ := v.(*config.Gateway)
	use, err := s.o.Gateway(g)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[u.Name]
	if e == nil {
		return nil, nil
	}
	begin := func() {
		s.use(e, v, nil, u.Body)
		use()
	}
	if g != nil {
		if e.missing = s.missing(g.Targets, e, now, &ask); len(e.missing) > 0 {
			e.pending = begin
			return ask, nil
		}
	}
	begin()
	return ask, nil
}

// apply hands over what is not a service.
func (s *Store) apply(name, kind string, v any) error {
	switch kind {
	case config.KindWorkload:
		w, _ := v.(*config.Workload)
		return s.o.Workload(name, w)
	case config.KindTrust:
		if t, ok := v.(*config.Trust); ok {
			return s.o.Trust(t)
		}
	}
	return nil
}

// missing returns the services among targets that nothing is known of; those not yet asked for are added to ask.
func (s *Store) missing(targets iter.Seq[traffic.Target], self *Entry, now time.Time, ask *[]string) map[string]bool {
	out := map[string]bool{}
	for t := range targets {
		name := config.Name(config.KindService, t.Service)
		if name == self.name {
			continue
		}
		e, fresh := s.entry(name, now)
		if fresh {
			*ask = append(*ask, name)
		}
		if !e.known && e.next.Load() == nil { // one that is held back itself has arrived: two that lead to each other must not wait
			out[name] = true
			if e.waiters == nil {
				e.waiters = map[string]bool{}
			}
			e.waiters[self.name] = true
		}
	}
	return out
}

// use takes a version into use and wakes who waits. It needs the lock.
func (s *Store) use(e *Entry, v any, svc *Service, body []byte) {
	if old, ok := e.value.(*config.Service); ok && old != nil {
		for _, ip := range old.IPs {
			if s.ips[ip] == e {
				delete(s.ips, ip)
			}
		}
	}
	if svc != nil {
		for _, ip := range svc.Config.IPs {
			s.ips[ip] = e
		}
	}
	e.value, e.body, e.pending, e.missing = v, body, nil, nil
	e.now.Store(svc)
	e.next.Store(nil)
	if !e.known {
		e.known = true
		close(e.ready)
	}
}

// release takes into use what waited for e alone. It needs the lock.
func (s *Store) release(e *Entry) {
	waiters := e.waiters
	e.waiters = nil
	for w := range waiters {
		x := s.entries[w]
		if x == nil || x.pending == nil {
			continue
		}
		if delete(x.missing, e.name); len(x.missing) > 0 {
			continue
		}
		x.pending()
		s.release(x)
	}
}

// Rebuild builds all services anew: what they share has changed. On an error all stay as they were.
func (s *Store) Rebuild() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	type built struct {
		at  *atomic.Pointer[Service]
		svc *Service
	}
	var all []built
	for _, e := range s.entries {
		for _, at := range []*atomic.Pointer[Service]{&e.now, &e.next} {
			if old := at.Load(); old != nil {
				svc, err := s.o.Build(old.Config)
				if err != nil {
					return err
				}
				all = append(all, built{at, svc})
			}
		}
	}
	for _, b := range all {
		b.at.Store(b.svc)
	}
	return nil
}

// ByIP finds what has an IP: a service, or a workload, or, both nil, nothing of the mesh.
func (s *Store) ByIP(ctx context.Context, ip netip.Addr, now time.Time) (*Entry, *config.Address, error) {
	s.mu.Lock()
	e := s.ips[ip]
	s.mu.Unlock()
	if e != nil {
		e.Touch(now)
		return e, nil, nil
	}
	_, v, err := s.Get(ctx, config.Name(config.KindAddress, ip.String()), now)
	a, _ := v.(*config.Address)
	switch {
	case err != nil || a == nil:
		return nil, nil, err
	case a.Workload != nil:
		return nil, a, nil
	}
	e, v, err = s.Get(ctx, config.Name(config.KindService, a.Host), now)
	if svc, _ := v.(*config.Service); svc == nil {
		return nil, nil, err
	}
	return e, nil, err
}

// ByEndpoint finds an endpoint of a service that is held, its pool, and the service: one of the hosts whose address a is, or, where no workload
// has the address, any of a namespace. Anybody may list any address as his service's: it is not for him to say where calls to it go.
func (s *Store) ByEndpoint(at netip.AddrPort, a *config.Address, namespace string) (e *Entry, port *config.Port, to *traffic.Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.among(a) { // several services may have it: the answer is always the same
		x := s.entries[name]
		if x == nil || x.now.Load() == nil || a == nil && x.now.Load().Config.Namespace != namespace {
			continue
		}
		if port, to = x.now.Load().Config.Endpoint(at); to != nil {
			return x, port, to
		}
	}
	return nil, nil, nil
}

// among are the names of the services that an address may be of. It needs the lock.
func (s *Store) among(a *config.Address) []string {
	if a == nil {
		return slices.Sorted(maps.Keys(s.entries))
	}
	var names []string
	for _, host := range a.Members {
		names = append(names, config.Name(config.KindService, host))
	}
	return names
}

// Idle drops what nobody has asked for since then, and that nothing in use leads to.
func (s *Store) Idle(since time.Time) {
	s.mu.Lock()
	led := s.led(since.Unix())
	var drop []string
	for name, e := range s.entries {
		if e.used.Load() < since.Unix() && !led[name] && forgettable(name) && len(e.waiters) == 0 {
			drop = append(drop, name)
		}
	}
	s.forget(drop)
	s.mu.Unlock()
	s.drop(drop)
}

// Disown forgets all pods: they may have others' addresses now. Who needs one asks for it anew.
func (s *Store) Disown() {
	s.mu.Lock()
	names := slices.Collect(maps.Keys(s.entries))
	names = slices.DeleteFunc(names, func(n string) bool { return !isPod(n) })
	s.forget(names)
	s.mu.Unlock()
	s.drop(names)
}

// drop unsubscribes from what was forgotten. Who has asked for some of it since may have done so before that was said, and would wait for ever.
func (s *Store) drop(names []string) {
	if len(names) == 0 {
		return
	}
	s.o.Want.Drop(names...)
	s.mu.Lock()
	again := slices.DeleteFunc(names, func(n string) bool { return s.entries[n] == nil })
	s.mu.Unlock()
	if len(again) > 0 {
		s.o.Want.Want(again...)
	}
}

func forgettable(name string) bool {
	kind, _ := config.Cut(name)
	return kind == config.KindService || kind == config.KindAddress || kind == config.KindPeer || kind == config.KindPod
}

func isPod(name string) bool { kind, _ := config.Cut(name); return kind == config.KindPod }

// led names what the services used since then lead to. It needs the lock.
func (s *Store) led(since int64) map[string]bool {
	led := map[string]bool{}
	for _, e := range s.entries {
		if g, ok := e.value.(*config.Gateway); ok && g != nil {
			for t := range g.Targets {
				led[config.Name(config.KindService, t.Service)] = true
			}
		}
		for _, svc := range []*Service{e.now.Load(), e.next.Load()} {
			if svc != nil && e.used.Load() >= since {
				for t := range svc.Config.Targets {
					led[config.Name(config.KindService, t.Service)] = true
				}
			}
		}
	}
	return led
}

// evict forgets an eighth of what may be, the longest unused first. It needs the lock.
func (s *Store) evict(may func(name string, e *Entry) bool) {
	var all []*Entry
	for name, e := range s.entries {
		if may(name, e) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b *Entry) int { return int(a.used.Load() - b.used.Load()) })
	var drop []string
	for _, e := range all[:len(all)/8] {
		drop = append(drop, e.name)
	}
	s.forget(drop)
	s.evicted = append(s.evicted, drop...)
}

// forget takes entries out. It needs the lock.
func (s *Store) forget(names []string) {
	for _, name := range names {
		e := s.entries[name]
		delete(s.entries, name)
		if svc, ok := e.value.(*config.Service); ok && svc != nil {
			for _, ip := range svc.IPs {
				if s.ips[ip] == e {
					delete(s.ips, ip)
				}
			}
		}
		switch kind, host := config.Cut(name); kind {
		case config.KindService:
			s.services.CompareAndDelete(host, e)
			s.o.Forget(host)
		case config.KindPod:
			s.pods--
		}
		e.now.Store(nil)
		e.next.Store(nil)
	}
}
