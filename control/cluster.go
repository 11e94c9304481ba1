package control

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"time"

	"github.com/weft-mesh/weft/control/lastgood"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/stream"
)

// Cluster says what is other on Kubernetes. Workloads are Pods, which come from a source as all objects do; their proxies prove
// themselves by tokens. Services have the addresses that the cluster gave them. The authority and the last good versions of configuration are
// kept where all replicas find them, and there is no state directory. Policies that are refused, and have no earlier version there, close
// their namespace, or keep the control plane from starting (see Options.Unguarded).
type Cluster struct {
	// Attest says whose token it is, by the API server's word. Errors for a token that proves nothing wrap ErrToken.
	Attest func(ctx context.Context, token string) (Proof, error)
	// CA keeps the authority where all replicas find it.
	CA ca.State
	// Brought reads the authority that somebody else keeps, cert-manager say, and replaces when he sees fit. It returns nil where there
	// is none: then one is made here.
	Brought func() (*ca.Root, error)
	// Expired is a time: a root that was made here before it is replaced. The zero time: none is. Somebody asks for a rotation so, once,
	// however often that is read.
	Expired func() (time.Time, error)
	// Good has the last good versions of configuration.
	Good lastgood.Pieces
	// Ask asks another replica how far its proxies are.
	Ask func(ctx context.Context, replica netip.Addr, q *stream.StandingRequest) ([]string, error)

	Namespace, Account string // that replicas run as
	Pod                string // this one
	// Reach is how long a rotation leaves files with the roots to reach every proxy before it retires one: the kubelet looks at
	// ConfigMaps once a minute [2 min].
	Reach time.Duration
}

func (o *Cluster) check() error {
	if o.Attest == nil || o.CA == nil || o.Brought == nil || o.Expired == nil || o.Good == nil || o.Ask == nil || o.Namespace == "" || o.Account == "" {
		return errors.New("control: a cluster needs Attest, CA, Brought, Expired, Good, Ask, Namespace and Account")
	}
	if o.Reach == 0 {
		o.Reach = 2 * time.Minute
	}
	return nil
}

// openAuthority finds the authority where it is kept, or begins one. What is brought beside one that is kept is for the leader, KeepAuthority: if it is
// good for nothing, the mesh goes on with what is kept.
func (c *Control) openAuthority() (err error) {
	config := ca.Config{TrustDomain: c.opts.TrustDomain, Lifetime: c.opts.CertLifetime}
	var state ca.State = ca.Dir(c.state.path("ca"))
	var first *ca.Root
	if cl := c.opts.Cluster; cl != nil {
		state = cl.CA
		if c.ca, err = ca.Load(state, config); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if first, err = cl.Brought(); err != nil {
			return err
		}
	}
	c.ca, err = ca.Open(state, config, first, time.Now())
	return err
}

// CA is the authority, for what the control plane itself serves.
func (c *Control) CA() *ca.CA { return c.ca }

// keepEvery is how often the leader looks at the authority.
const keepEvery = 10 * time.Second

// KeepAuthority is for the replica that leads, until ctx ends: it goes on with a rotation that was interrupted, follows an authority
// that is brought, and replaces a root made here before it expires.
func (c *Control) KeepAuthority(ctx context.Context) {
	for {
		if err := c.keepAuthority(ctx); err != nil && ctx.Err() == nil {
			c.opts.Log.Error("the authority is not as it should be; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(keepEvery):
		}
	}
}

// rotateTime bounds one attempt at a rotation, beside Reach: then it is said who holds it up, and what was brought is looked at again.
const rotateTime = 5 * time.Minute

func (c *Control) keepAuthority(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.reach+rotateTime)
	defer cancel()
	c.catchUp()
	brought, err := c.opts.Cluster.Brought()
	if err != nil {
		return err
	}
	expired, err := c.opts.Cluster.Expired()
	if err != nil {
		return err
	}
	say := func(line string) { c.opts.Log.Info("root: " + line) }
	roots, now := c.ca.Roots(), time.Now()
	switch {
	case roots.Phase() != ca.Steady:
		return c.rotate(ctx, brought, say)
	case brought == nil && (nearsEnd(roots.Active, now) || before(roots.Active, expired, now)):
		return c.rotate(ctx, nil, say)
	case brought == nil || brought.Equal(roots.Active):
		return nil
	case brought.ID() == roots.Active.ID():
		say("signing with another certificate of " + brought.Name())
		if err := c.ca.Reissue(brought, now); err != nil {
			return err
		}
		return c.do(func() { c.publishTrust() })
	}
	return c.rotate(ctx, brought, say)
}

// before says whether a root was made before a time that has come.
func before(r *ca.Root, t, now time.Time) bool {
	made, _ := r.Validity()
	return !t.After(now) && made.Add(ca.Backdated).Before(t)
}

// nearsEnd says whether less than a tenth of a root's life is left.
func nearsEnd(r *ca.Root, now time.Time) bool {
	from, until := r.Validity()
	return until.Sub(now) < until.Sub(from)/10
}
