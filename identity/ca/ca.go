// Package ca is the mesh's built-in certificate authority: it issues SPIFFE X.509 identities and changes its own root
// while the mesh runs.
//
// The core is pure: Roots is a value with three steps (Begin, Switch, Retire), issuing reads a request, a claim and the
// time. A State keeps the roots; Dir keeps them in a directory. What a certificate says comes from the Claim that its
// caller has proved, never from the request: a request only brings a public key. Each step is saved before it takes
// effect, so a crash resumes at one side of the step or the other. A state that can't be read is an error that names it;
// it never leads to a new root. Errors wrap ErrRefused (the asker's fault), ErrRootExpired, ErrStep (not now), ErrDamaged or
// ErrChanged.
//
// Replicas may share a State: each issues, one at a time takes steps, and the others Reload. A Server keeps a certificate
// for what the control plane itself serves.
package ca

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/identity"
)

var (
	// ErrRefused is wrapped when a request or a claim can't be answered, however often it is sent.
	ErrRefused = errors.New("certificate request refused")
	// ErrRootExpired is wrapped when the root can't sign any more, or not yet.
	ErrRootExpired = errors.New("the root certificate is outside of its validity")
	// ErrStep is wrapped when a step of a rotation isn't possible now.
	ErrStep = errors.New("rotation step refused")
	// ErrDamaged is wrapped when there is a state that can't be used.
	ErrDamaged = errors.New("the authority's state is damaged")
	// ErrChanged is wrapped when another replica has saved a step meanwhile: Reload, and decide anew.
	ErrChanged = errors.New("the authority's state has been changed by another replica")
)

// Config says what the authority vouches for, and for how long.
type Config struct {
	TrustDomain  string        // required
	Lifetime     time.Duration // of workloads' certificates; zero: 24 h; at least 2 s; let the old one pass before a rotation
	Skew         time.Duration // how far a certificate is backdated for clocks that lag; zero: 30 s; never over half the lifetime
	RootLifetime time.Duration // of roots made here; zero: ten years
}

const minLifetime = 2 * time.Second

func (c Config) validate() (Config, error) {
	if err := identity.ValidTrustDomain(c.TrustDomain); err != nil {
		return c, fmt.Errorf("ca: %w", err)
	}
	c.Lifetime = orDefault(c.Lifetime, 24*time.Hour)
	c.Skew = orDefault(c.Skew, 30*time.Second)
	c.RootLifetime = orDefault(c.RootLifetime, 10*365*24*time.Hour)
	switch {
	case c.Lifetime < minLifetime:
		return c, fmt.Errorf("ca: lifetime %v is under %v, and X.509 counts in whole seconds", c.Lifetime, minLifetime)
	case c.Skew < 0:
		return c, fmt.Errorf("ca: skew %v is negative", c.Skew)
	case c.RootLifetime < c.Lifetime:
		return c, fmt.Errorf("ca: a root that lives %v can't issue certificates that live %v", c.RootLifetime, c.Lifetime)
	}
	return c, nil
}

func orDefault(d, zero time.Duration) time.Duration {
	if d == 0 {
		return zero
	}
	return d
}

// CA issues certificates and rotates its root. Its methods are safe for concurrent use; issuing takes no lock.
type CA struct {
	config Config
	state  State
	roots  atomic.Pointer[Roots]
	step   sync.Mutex // held from reading the roots to having saved those that follow
}

// Open loads the authority that the state holds. Only where there has never been one does it make one: with first, or
// with a new root where that is nil. Of replicas that do so at once, all get the same one.
func Open(state State, config Config, first *Root, now time.Time) (*CA, error) {
	c, err := Load(state, config)
	if !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	if config, err = config.validate(); err != nil {
		return nil, err
	}
	if first == nil {
		if first, err = Generate(config.TrustDomain, now, config.RootLifetime); err != nil {
			return nil, err
		}
	}
	c, err = Create(state, config, first, now)
	if errors.Is(err, fs.ErrExist) {
		return Load(state, config)
	}
	return c, err
}

// Create begins an authority on a state that holds none, with a root from Generate or Import. If the state holds
// something, the error wraps fs.ErrExist and nothing is touched.
func Create(state State, config Config, root *Root, now time.Time) (*CA, error) {
	config, err := config.validate()
	if err != nil {
		return nil, err
	}
	if err := root.belongsTo(config.TrustDomain); err != nil {
		return nil, err
	}
	roots := NewRoots(config.TrustDomain, root, now)
	data, err := roots.encode()
	if err != nil {
		return nil, err
	}
	if err := state.Create(data); err != nil {
		return nil, fmt.Errorf("ca: saving a new authority in %s: %w", state, err)
	}
	return with(state, config, roots), nil
}

// Load reads an authority. If the state has never held one, the error wraps fs.ErrNotExist; if it holds something that
// can't be used, ErrDamaged.
func Load(state State, config Config) (*CA, error) {
	config, err := config.validate()
	if err != nil {
		return nil, err
	}
	roots, err := read(state, config.TrustDomain)
	if err != nil {
		return nil, err
	}
	return with(state, config, roots), nil
}

func read(state State, trustDomain string) (Roots, error) {
	data, err := state.Load()
	if err != nil {
		return Roots{}, fmt.Errorf("ca: reading %s: %w", state, err)
	}
	roots, err := decode(data)
	if err != nil {
		return Roots{}, fmt.Errorf("ca: %s: %w: %w; restore it from a backup, or move it away to start a new authority, "+
			"which every workload will have to be told of", state, ErrDamaged, err)
	}
	if roots.TrustDomain != trustDomain {
		return Roots{}, fmt.Errorf("ca: %s holds the authority of trust domain %q, not of %q; use that name, or another state",
			state, roots.TrustDomain, trustDomain)
	}
	return roots, nil
}

func with(state State, config Config, roots Roots) *CA {
	c := &CA{config: config, state: state}
	c.roots.Store(&roots)
	return c
}

// Lifetime is that of the certificates that it issues, the longest.
func (c *CA) Lifetime() time.Duration { return c.config.Lifetime }

// Roots is where the rotation stands.
func (c *CA) Roots() Roots { return *c.roots.Load() }

// Bundle is what to distribute to all who verify certificates of this trust domain.
func (c *CA) Bundle() Bundle { return c.roots.Load().Bundle() }

// Issue signs a certificate for the key of a PKCS #10 request, in DER. See Claim.
func (c *CA) Issue(csr []byte, claim Claim, now time.Time) (Issued, error) {
	return issue(c.roots.Load().Active, c.config, csr, claim, now)
}

// Reload takes up what another replica has saved since. changed: something is other than it was here. After an error all
// is as it was.
func (c *CA) Reload() (changed bool, err error) {
	c.step.Lock()
	defer c.step.Unlock()
	next, err := read(c.state, c.config.TrustDomain)
	if err != nil {
		return false, err
	}
	if next.equal(*c.roots.Load()) {
		return false, nil
	}
	c.roots.Store(&next)
	return true, nil
}

// Reissue signs with another certificate of the same anchor from now on: whoever brought the authority has renewed it.
func (c *CA) Reissue(root *Root, now time.Time) error {
	return c.advance(func(r Roots) (Roots, error) { return r.Reissue(root, now) })
}

// Begin adds a root to the bundle without using it yet; nil makes a new one. Distribute the bundle, then Switch.
func (c *CA) Begin(next *Root, now time.Time) error {
	return c.advance(func(r Roots) (_ Roots, err error) {
		if next == nil {
			if next, err = Generate(c.config.TrustDomain, now, c.config.RootLifetime); err != nil {
				return r, err
			}
		}
		return r.Begin(next, now)
	})
}

// Switch issues under the new root from now on. It is refused as long as somebody has not acknowledged the bundle that
// holds it: acked is the lowest sequence among all subscribers. Force switches all the same; who lags then can't verify
// new certificates. Have every workload renew, then Retire.
func (c *CA) Switch(acked uint64, force bool, now time.Time) error {
	return c.advance(func(r Roots) (Roots, error) { return r.Switch(acked, force, c.config.Lifetime, now) })
}

// Retire takes the old root out of the bundle. It is refused while certificates of that root may be in use: until all
// have expired, or renewed says that every workload uses one of the new root (or is to be cut off). A handshake under way
// may still show the old one: leave the time that a handshake may take between the last renewal and this.
func (c *CA) Retire(renewed bool, now time.Time) error {
	return c.advance(func(r Roots) (Roots, error) { return r.Retire(renewed, now) })
}

// Abort forgets a root that has been begun and not switched to.
func (c *CA) Abort(now time.Time) error {
	return c.advance(func(r Roots) (Roots, error) { return r.Abort(now) })
}

// advance saves what follows from a step, and only then uses it.
func (c *CA) advance(step func(Roots) (Roots, error)) error {
	c.step.Lock()
	defer c.step.Unlock()
	next, err := step(*c.roots.Load())
	if err != nil {
		return err
	}
	data, err := next.encode()
	if err != nil {
		return err
	}
	if err := c.state.Replace(data); err != nil {
		return fmt.Errorf("ca: saving %s; the rotation stays where it was: %w", c.state, err)
	}
	c.roots.Store(&next)
	return nil
}
