package cert

import (
	"crypto/tls"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/identity"
)

// Store holds a workload's current identity and the bundles it believes. One per workload served; safe for concurrent
// use. Connections read what is current without waiting for an update.
type Store struct {
	now     func() time.Time
	current atomic.Pointer[generation]

	update sync.Mutex // from reading the current generation to having stored the next
	hooks  map[*func()]struct{}
}

// generation is what is current between two updates. Its first four fields never change; the rest is remembered work
// that goes with them.
type generation struct {
	own     *Identity          // nil: none yet
	ownRoot identity.RootID    // of own, among the bundles; zero: none of them
	bundles map[string]*Bundle // by trust domain

	mu      sync.Mutex
	proofs  map[[32]byte]proof // by SHA-256 of the leaf
	configs map[configKey]*tls.Config
}

func newGeneration(own *Identity, bundles map[string]*Bundle, now time.Time) *generation {
	g := &generation{own: own, bundles: bundles, proofs: map[[32]byte]proof{}, configs: map[configKey]*tls.Config{}}
	if own != nil {
		g.ownRoot, _ = g.rootFor(own, now)
	}
	return g
}

// NewStore begins without identity and bundles: nobody is let in, and nobody called. Now is the clock for all checks.
func NewStore(now func() time.Time) *Store {
	s := &Store{now: now, hooks: map[*func()]struct{}{}}
	s.current.Store(newGeneration(nil, nil, time.Time{}))
	return s
}

// rootFor finds the root of an own certificate. Whether the certificate is valid by now is another question, with
// another answer: it is asked at each handshake.
func (g *generation) rootFor(own *Identity, now time.Time) (identity.RootID, error) {
	b := g.bundles[own.ID.TrustDomain]
	if b == nil {
		return identity.RootID{}, fmt.Errorf("cert: our own identity %s: the bundle of its trust domain has not arrived: %w", own.ID, ErrUntrusted)
	}
	if now.Before(own.NotBefore) {
		now = own.NotBefore
	}
	if now.After(own.NotAfter) {
		now = own.NotAfter
	}
	path, err := b.path(own.chain, now)
	if err != nil {
		return identity.RootID{}, fmt.Errorf("cert: our own identity %s: %w (%v): %w", own.ID, ErrUntrusted, b, err)
	}
	return rootOf(path[len(path)-1]), nil
}

// SetIdentity puts a certificate to use for all connections to come. One that rests on no root of its trust domain's
// bundle is refused, and the last one stays; before any bundle has come, it is taken.
func (s *Store) SetIdentity(own *Identity) error {
	return s.set(func(g *generation, now time.Time) (*generation, error) {
		if g.bundles[own.ID.TrustDomain] != nil {
			if _, err := g.rootFor(own, now); err != nil {
				return nil, err
			}
		}
		return newGeneration(own, g.bundles, now), nil
	})
}

// SetBundles replaces all bundles: a trust domain that is left out is not believed any more. A bundle that is older
// than the one in force is refused (ErrStale, from a replica that lags), and all stay as they were. Afterwards Trusts
// says which connections to close.
func (s *Store) SetBundles(bundles ...*Bundle) error {
	next := make(map[string]*Bundle, len(bundles))
	for _, b := range bundles {
		if next[b.TrustDomain] != nil {
			return fmt.Errorf("cert: two bundles for trust domain %s", b.TrustDomain)
		}
		next[b.TrustDomain] = b
	}
	return s.set(func(g *generation, now time.Time) (*generation, error) {
		for td, b := range next {
			if err := b.follows(g.bundles[td]); err != nil {
				return nil, err
			}
		}
		if g.own != nil && next[g.own.ID.TrustDomain] == nil {
			return nil, fmt.Errorf("cert: there is no bundle for our own trust domain %s among the new ones", g.own.ID.TrustDomain)
		}
		return newGeneration(g.own, next, now), nil
	})
}

func (b *Bundle) follows(last *Bundle) error {
	if last == nil || b.Sequence > last.Sequence || b.Sequence == last.Sequence && b.equal(last) {
		return nil
	}
	return fmt.Errorf("cert: %v does not follow %v: %w", b, last, ErrStale)
}

func (s *Store) set(step func(*generation, time.Time) (*generation, error)) error {
	s.update.Lock()
	next, err := step(s.current.Load(), s.now())
	if err != nil {
		s.update.Unlock()
		return err
	}
	s.current.Store(next)
	hooks := maps.Clone(s.hooks)
	s.update.Unlock()
	for f := range hooks {
		(*f)()
	}
	return nil
}

// OnChange has f called after each update, by the goroutine that made it, until stop is called.
func (s *Store) OnChange(f func()) (stop func()) {
	s.update.Lock()
	defer s.update.Unlock()
	s.hooks[&f] = struct{}{}
	return func() {
		s.update.Lock()
		defer s.update.Unlock()
		delete(s.hooks, &f)
	}
}

// Identity is the certificate in use, nil if there is none yet.
func (s *Store) Identity() *Identity { return s.current.Load().own }

// Bundle is the bundle in force for a trust domain, nil if there is none.
func (s *Store) Bundle(trustDomain string) *Bundle { return s.current.Load().bundles[trustDomain] }

// OwnRoot is the root on which the certificate in use rests, zero if that is none of the bundle's: renew it.
func (s *Store) OwnRoot() identity.RootID { return s.current.Load().ownRoot }

// Ready says why no handshake can succeed now, or nil.
func (s *Store) Ready() error { return s.current.Load().ready(s.now()) }

func (g *generation) ready(now time.Time) error {
	if g.own == nil {
		return fmt.Errorf("cert: none has been issued so far; is the control plane running?: %w", ErrNoIdentity)
	}
	if err := g.own.inTime(now); err != nil {
		return err
	}
	if g.ownRoot.IsZero() {
		_, err := g.rootFor(g.own, now)
		return err
	}
	return nil
}

// Trusts reports whether a connection that was made with peer could be made again as far as roots are concerned: both
// the peer's root and our own are in the bundles in force, and have not expired. Leaves that have expired since do not
// count: calls under way may outlive them; after Peer.NotAfter a connection takes no new ones.
//
// Whoever keeps connections asks after it has put a new one where OnChange's function will find it, so that a root that
// goes in between is noticed by one or the other.
func (s *Store) Trusts(p Peer) bool {
	g, now := s.current.Load(), s.now()
	return g.own != nil && g.bundles[p.ID.TrustDomain].holds(p.Root, now) && g.bundles[g.own.ID.TrustDomain].holds(p.OwnRoot, now)
}
