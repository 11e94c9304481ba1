package ca

import (
	"fmt"
	"time"
)

// Roots is where a rotation stands, as a value: the steps return what follows and change nothing. Root pointers are to
// immutable values. At most one of Next and Retiring is set.
type Roots struct {
	TrustDomain string
	Sequence    uint64    // of the bundle; grows whenever the bundle changes, even across a state that was lost
	Active      *Root     // signs
	Next        *Root     // in the bundle, does not sign yet
	Retiring    *Root     // in the bundle, does not sign any more
	Settled     time.Time // when the last certificate that Retiring has signed is expired
}

// Phase names where a rotation stands.
type Phase uint8

const (
	Steady   Phase = iota // one root
	Begun                 // a second root is being distributed
	Switched              // the second root signs, the first is still trusted
)

func (p Phase) String() string { return [...]string{"steady", "begun", "switched"}[p] }

// Bundle is the trust anchors of a trust domain.
type Bundle struct {
	TrustDomain string
	Sequence    uint64
	Roots       [][]byte // DER, the oldest first: the same sequence is the same bytes
}

// NewRoots is a trust domain with its first root.
func NewRoots(trustDomain string, root *Root, now time.Time) Roots {
	return Roots{TrustDomain: trustDomain, Active: root}.numbered(now)
}

// numbered gives the bundle its next number. It starts from the clock's seconds: an authority that was made anew, or
// restored from a backup, then outbids what its subscribers hold, instead of being taken for a stale replica.
func (r Roots) numbered(now time.Time) Roots {
	r.Sequence = max(r.Sequence+1, uint64(max(now.Unix(), 0)))
	return r
}

// Phase says which step comes next.
func (r Roots) Phase() Phase {
	switch {
	case r.Next != nil:
		return Begun
	case r.Retiring != nil:
		return Switched
	}
	return Steady
}

// Bundle is what to distribute.
func (r Roots) Bundle() Bundle {
	b := Bundle{TrustDomain: r.TrustDomain, Sequence: r.Sequence}
	for _, x := range []*Root{r.Retiring, r.Active, r.Next} {
		if x != nil {
			b.Roots = append(b.Roots, x.anchor().Raw)
		}
	}
	return b
}

// Begin adds a root to the bundle. An error wraps ErrStep or ErrRootExpired.
func (r Roots) Begin(next *Root, now time.Time) (Roots, error) {
	if err := r.want(Steady, "begin"); err != nil {
		return r, err
	}
	if err := next.belongsTo(r.TrustDomain); err != nil {
		return r, err
	}
	if next.same(r.Active) {
		return r, fmt.Errorf("ca: begin: root %s is the one in use: %w", next.ID(), ErrStep)
	}
	if err := next.usable(now); err != nil {
		return r, err
	}
	r.Next = next
	return r.numbered(now), nil
}

// Switch makes the new root sign. The bundle stays what it is. Lifetime is the longest of certificates signed so far.
func (r Roots) Switch(acked uint64, force bool, lifetime time.Duration, now time.Time) (Roots, error) {
	if err := r.want(Begun, "switch"); err != nil {
		return r, err
	}
	if acked < r.Sequence && !force {
		return r, fmt.Errorf("ca: switch: a subscriber has acknowledged bundle %d only, the new root is in bundle %d; "+
			"wait until all have it, or force it: %w", acked, r.Sequence, ErrStep)
	}
	if err := r.Next.usable(now); err != nil {
		return r, err
	}
	r.Active, r.Next, r.Retiring, r.Settled = r.Next, nil, r.Active, now.Add(lifetime)
	if _, until := r.Retiring.Validity(); until.Before(r.Settled) {
		r.Settled = until
	}
	return r, nil
}

// Retire takes the old root out of the bundle.
func (r Roots) Retire(renewed bool, now time.Time) (Roots, error) {
	if err := r.want(Switched, "retire"); err != nil {
		return r, err
	}
	if !renewed && now.Before(r.Settled) {
		return r, fmt.Errorf("ca: retire: certificates of root %s may be in use until %s; have every workload renew, "+
			"or wait until then: %w", r.Retiring.ID(), stamp(r.Settled), ErrStep)
	}
	r.Retiring, r.Settled = nil, time.Time{}
	return r.numbered(now), nil
}

// Abort forgets a root that does not sign yet.
func (r Roots) Abort(now time.Time) (Roots, error) {
	if err := r.want(Begun, "abort"); err != nil {
		return r, err
	}
	r.Next = nil
	return r.numbered(now), nil
}

// Reissue replaces the certificate that signs by another one of the same anchor, in any phase. An error wraps ErrStep or
// ErrRootExpired.
func (r Roots) Reissue(root *Root, now time.Time) (Roots, error) {
	if err := root.belongsTo(r.TrustDomain); err != nil {
		return r, err
	}
	if root.ID() != r.Active.ID() {
		return r, fmt.Errorf("ca: reissue: root %s is not the one in use, %s: begin a rotation: %w", root.ID(), r.Active.ID(), ErrStep)
	}
	if err := root.usable(now); err != nil {
		return r, err
	}
	anchor := r.Active.anchor()
	if r.Active = root; !root.anchor().Equal(anchor) { // which the bundle holds
		r = r.numbered(now)
	}
	return r, nil
}

// oldest is the root that has been in the bundle for longest, as long as it can sign: whoever knows any bundle since the
// rotation began knows it.
func (r Roots) oldest(now time.Time) *Root {
	if r.Retiring != nil && r.Retiring.usable(now) == nil {
		return r.Retiring
	}
	return r.Active
}

func (r Roots) equal(o Roots) bool {
	return r.TrustDomain == o.TrustDomain && r.Sequence == o.Sequence && r.Settled.Equal(o.Settled) &&
		r.Active.Equal(o.Active) && r.Next.Equal(o.Next) && r.Retiring.Equal(o.Retiring)
}

func (r Roots) want(p Phase, step string) error {
	if r.Phase() == p {
		return nil
	}
	follows := [...]string{"the next step is begin", "the next step is switch (or abort)", "the next step is retire"}[r.Phase()]
	return fmt.Errorf("ca: %s: the rotation is %s, %s: %w", step, r.Phase(), follows, ErrStep)
}
