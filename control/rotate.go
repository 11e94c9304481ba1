package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/stream"
)

// ErrBrought is of a rotation that is somebody else's affair.
var ErrBrought = errors.New("the root was brought; whoever brought it replaces it, and the mesh follows")

// Rotate replaces the root while the mesh runs: the new one is distributed, then signs, then every workload renews, then the
// old one is retired. It takes up a rotation that was interrupted. say hears of each step. An error names the workloads that
// hold it up. Of replicas, the one that leads rotates; the others follow, and say which of their proxies have come how far.
func (c *Control) Rotate(ctx context.Context, say func(string)) error {
	if cl := c.opts.Cluster; cl != nil {
		if brought, err := cl.Brought(); err != nil || brought != nil {
			return cmp.Or(err, ErrBrought)
		}
	}
	return c.rotate(ctx, nil, say)
}

// rotate is Rotate to a root; nil: one that is made.
func (c *Control) rotate(ctx context.Context, next *ca.Root, say func(string)) error {
	if !c.rotating.TryLock() {
		return errors.New("a rotation is under way; wait for its end")
	}
	defer c.rotating.Unlock()
	if c.awaited == nil || c.ca.Roots().Phase() == ca.Steady {
		c.awaited = awaited{}
	}
	if err := c.begin(next); err != nil {
		return err
	}
	if c.ca.Roots().Phase() == ca.Begun {
		say("distributing root " + c.ca.Roots().Next.ID().String())
		if err := c.distributed(ctx); err != nil {
			return fmt.Errorf("the new root is distributed, and does not sign yet: %w", err)
		}
		if err := c.ca.Switch(c.ca.Bundle().Sequence, false, time.Now()); err != nil {
			return err
		}
	}
	say("issuing under root " + c.ca.Roots().Active.ID().String())
	if err := c.renewed(ctx); err != nil {
		return fmt.Errorf("the new root signs, and the old one is still trusted: %w", err)
	}
	select { // handshakes that began with the old certificate end, and files with the new root reach everybody
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(c.reach):
	}
	c.retiring.Store(true)
	defer c.retiring.Store(false)
	if err := c.ca.Retire(true, time.Now()); err != nil {
		return err
	}
	say("retired the old root")
	if c.opts.Cluster != nil { // other replicas serve with a certificate of the old root until they have looked
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * followEvery):
		}
	}
	c.retiring.Store(false)
	if err := c.distributed(ctx); err != nil { // the rotation is over all the same: they hear of it when they are back
		say("the old root is trusted on: " + err.Error())
	}
	return nil
}

// handshakeTime is given to handshakes that are under way before a root is retired; on one machine they take milliseconds.
const handshakeTime = time.Second

// begin has the bundle hold the next root, unless a rotation to it is under way.
func (c *Control) begin(next *ca.Root) error {
	roots, now := c.ca.Roots(), time.Now()
	if roots.Phase() == ca.Begun && next != nil && roots.Next.ID() != next.ID() { // another one was brought meanwhile
		if err := c.ca.Abort(now); err != nil {
			return err
		}
	}
	if c.ca.Roots().Phase() != ca.Steady {
		return nil
	}
	return c.ca.Begin(next, now)
}

// distributed publishes the bundle, and waits until the proxy of every workload has taken it in: one that has not refuses whoever
// has a certificate of a root that it does not know.
func (c *Control) distributed(ctx context.Context) error {
	var version uint64
	if err := c.do(func() { version = c.publishTrust() }); err != nil {
		return err
	}
	return c.everyone(ctx, "has not taken in the roots", &stream.StandingRequest{Trust: version})
}

// renewed waits until the certificate of every workload rests on the root that signs.
func (c *Control) renewed(ctx context.Context) error {
	if err := c.distributed(ctx); err != nil {
		return err
	}
	active := c.ca.Roots().Active.ID()
	return c.everyone(ctx, "has not renewed its certificate", &stream.StandingRequest{Root: active[:]})
}

// trust is the roots that proxies are to verify with.
func (c *Control) trust() config.Trust {
	roots := c.ca.Roots()
	b, id := roots.Bundle(), roots.Active.ID()
	return config.Trust{Domain: b.TrustDomain, Sequence: b.Sequence, Roots: b.Roots, Issuer: id[:]}
}

// publishTrust has proxies and files get the roots of now, and returns their version. It runs in the owner.
func (c *Control) publishTrust() (version uint64) {
	t := c.trust()
	version = encode(c.publisher, &t).Version
	if version != encode(c.publisher, &c.publisher.trust).Version {
		c.publisher.setTrust(t)
		c.stirNews()
	}
	return version
}

// followEvery is how often the authority that replicas share is looked at: a step of a rotation waits for it, and a certificate that a
// replica issues meanwhile rests on the root of before, which is trusted on.
const followEvery = 5 * time.Second

// follow takes up, until ctx ends, what other replicas do with the authority.
func (c *Control) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(followEvery):
		}
		c.catchUp()
	}
}

// catchUp takes up what another replica has done. What can't be read now stays as it is here.
func (c *Control) catchUp() {
	if _, err := c.ca.Reload(); err != nil {
		c.opts.Log.Error("the authority cannot be read; the roots of before stay in use", "error", err)
	}
	_ = c.do(func() {
		if !c.retiring.Load() {
			c.publishTrust()
		}
	})
}
