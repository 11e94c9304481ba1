package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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

func (i *rooted) forget(workload string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.root, workload)
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
// old one is retired. It takes up a rotation that was interrupted. say hears of each step. An error names the workloads that
// hold it up.
func (c *Control) Rotate(ctx context.Context, say func(string)) error {
	if !c.rotating.TryLock() {
		return errors.New("a rotation is under way; wait for its end")
	}
	defer c.rotating.Unlock()
	if c.ca.Roots().Phase() == ca.Steady {
		if err := c.ca.Begin(nil, time.Now()); err != nil {
			return err
		}
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
	select { // handshakes that began with the old certificate end
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(c.handshakes):
	}
	if err := c.ca.Retire(true, time.Now()); err != nil {
		return err
	}
	say("retired the old root")
	if err := c.distributed(ctx); err != nil { // the rotation is over all the same: they hear of it when they are back
		say("the old root is trusted on: " + err.Error())
	}
	return nil
}

// handshakeTime is given to handshakes that are under way before a root is retired; on one machine they take milliseconds.
const handshakeTime = time.Second

// distributed publishes the bundle, and waits until the proxy of every workload has taken it in: one that has not refuses whoever
// has a certificate of a root that it does not know.
func (c *Control) distributed(ctx context.Context) error {
	t := c.trust()
	name, version := config.Name(config.KindTrust, t.Domain), encode(&t).Version
	if err := c.do(func() { c.publisher.setTrust(t) }); err != nil {
		return err
	}
	return c.everyone(ctx, "has not taken in the roots", func() []string { return c.publisher.without(c.registry.all(), name, version) })
}

// renewed waits until the certificate of every workload rests on the root that signs.
func (c *Control) renewed(ctx context.Context) error {
	if err := c.distributed(ctx); err != nil {
		return err
	}
	return c.everyone(ctx, "has not renewed its certificate", c.onOldRoot)
}

// everyone waits until behind, asked in the owner, names nobody. An error says who is behind.
func (c *Control) everyone(ctx context.Context, lacks string, behind func() []string) error {
	var who []string
	err := c.settled(ctx, func() bool {
		who = behind()
		return len(who) == 0
	})
	if err == nil || len(who) == 0 {
		return err
	}
	return fmt.Errorf("%w: the proxy of %s %s; see weft status, and end what hangs", err, strings.Join(who, ", of "), lacks)
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

// forget drops all that a workload's proxy has refused.
func (n *nacks) forget(workload string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	maps.DeleteFunc(n.by, func(k, _ string) bool { return strings.HasPrefix(k, workload+" ") })
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
