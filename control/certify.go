package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/stream/server"
)

var errGone = errors.New("the workload is not registered any more")

// rooted remembers on which root the certificate rests that each workload's proxy uses, by its own word.
type rooted struct {
	mu   sync.Mutex
	root map[string]identity.RootID
}

func (i *rooted) note(workload string, root identity.RootID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.root == nil {
		i.root = map[string]identity.RootID{}
	}
	i.root[workload] = root
}

func (i *rooted) of(workload string) identity.RootID {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.root[workload]
}

// Certify issues a certificate for a workload's registered account, and for nothing else.
func (c *Control) Certify(req *stream.CertifyRequest) (*stream.CertifyResponse, error) {
	if err := c.registry.check(req.Workload, req.Token); err != nil {
		return nil, fmt.Errorf("%w: %w", server.ErrRefused, err)
	}
	w := c.registry.get(req.Workload)
	if w == nil {
		return nil, fmt.Errorf("%w: %w", server.ErrRefused, errGone)
	}
	claim := ca.Claim{ID: identity.Of(c.opts.TrustDomain, w.Namespace, w.Account), Workload: w.Key()}
	got, err := c.ca.Issue(req.CSR, claim, time.Now())
	if errors.Is(err, ca.ErrRefused) {
		return nil, fmt.Errorf("%w: %w", server.ErrRefused, err)
	}
	if err != nil {
		return nil, err
	}
	c.opts.Log.Info("certificate issued", "identity", claim.ID, "workload", w.Key(), "serial", got.Serial, "until", got.NotAfter, "root", got.Root)
	return &stream.CertifyResponse{Chain: got.Chain}, nil
}

// rests notes a proxy's word on the root of its certificate.
func (c *Control) rests(workload string, root []byte) {
	if len(root) == len(identity.RootID{}) {
		c.rooted.note(workload, identity.RootID(root))
		c.acknowledged()
	}
}

// Rotate replaces the root while the mesh runs: the new one is distributed, then signs, then every workload renews, then the
// old one is retired. It takes up a rotation that was interrupted. say hears of each step.
func (c *Control) Rotate(ctx context.Context, say func(string)) error {
	if c.ca.Roots().Phase() == ca.Steady {
		if err := c.ca.Begin(nil, time.Now()); err != nil {
			return err
		}
	}
	if c.ca.Roots().Phase() == ca.Begun {
		say("distributing root " + c.ca.Roots().Next.ID().String())
		if err := c.distributed(ctx); err != nil {
			return fmt.Errorf("distribute the new root: %w; still without it: %v", err, c.behindTrust())
		}
		if err := c.ca.Switch(c.ca.Bundle().Sequence, false, time.Now()); err != nil {
			return err
		}
	}
	say("issuing under root " + c.ca.Roots().Active.ID().String())
	if err := c.renewed(ctx); err != nil {
		return fmt.Errorf("wait for workloads to renew: %w; still on the old root: %v", err, c.onOldRoot())
	}
	select { // handshakes that began with the old certificate end
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(handshakes):
	}
	if err := c.ca.Retire(true, time.Now()); err != nil {
		return err
	}
	say("retired the old root")
	return c.distributed(ctx)
}

// handshakes that are under way are given this long before a root is retired; on one machine they take milliseconds.
const handshakes = time.Second

// distributed publishes the bundle and waits until every proxy has taken it in.
func (c *Control) distributed(ctx context.Context) error {
	t := c.trust()
	name, version := config.Name(config.KindTrust, t.Domain), encode(&t).Version
	if err := c.do(func() { c.publisher.setTrust(t) }); err != nil {
		return err
	}
	return c.settled(ctx, func() bool { return len(c.publisher.behind(name, version)) == 0 })
}

func (c *Control) renewed(ctx context.Context) error {
	if err := c.distributed(ctx); err != nil {
		return err
	}
	return c.settled(ctx, func() bool { return len(c.onOldRoot()) == 0 })
}

// onOldRoot names the workloads whose certificates rest on another root than the one that signs.
func (c *Control) onOldRoot() (who []string) {
	active := c.ca.Roots().Active.ID()
	for _, w := range c.registry.all() {
		if c.rooted.of(w.Key()) != active {
			who = append(who, w.Key())
		}
	}
	return who
}

func (c *Control) behindTrust() (who []string) {
	t := c.trust()
	_ = c.do(func() { who = c.publisher.behind(config.Name(config.KindTrust, t.Domain), encode(&t).Version) })
	return who
}

// nacks keeps what proxies have refused, until they take a later version.
type nacks struct {
	mu sync.Mutex
	by map[string]string // "workload resource" -> why
}

func (n *nacks) add(workload string, x stream.Nack) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.by == nil {
		n.by = map[string]string{}
	}
	n.by[workload+" "+x.Name] = x.Error
}

func (n *nacks) clear(workload, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.by, workload+" "+name)
}

// Refused lists what proxies could not take into use, as "workload resource: why".
func (c *Control) Refused() (out []string) {
	c.nacks.mu.Lock()
	defer c.nacks.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(c.nacks.by)) {
		out = append(out, k+": "+c.nacks.by[k])
	}
	return out
}
