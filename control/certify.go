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

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/stream/server"
)

var errGone = errors.New("the workload is gone")

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

// Certify issues a certificate for the account of a workload that proves itself, and for nothing else.
func (c *Control) Certify(ctx context.Context, req *stream.CertifyRequest) (*stream.CertifyResponse, error) {
	got, err := c.certify(ctx, req)
	c.counters.certificates.Add(outcome(err))
	return got, err
}

func (c *Control) certify(ctx context.Context, req *stream.CertifyRequest) (*stream.CertifyResponse, error) {
	m, err := c.members.admit(ctx, req.Workload, req.Token)
	if err != nil {
		return nil, err
	}
	namespace, _, _ := strings.Cut(m.workload, "/")
	claim := ca.Claim{ID: identity.Of(c.opts.TrustDomain, namespace, m.account), Workload: m.workload}
	got, err := c.ca.Issue(req.CSR, claim, time.Now())
	if errors.Is(err, ca.ErrRefused) {
		return nil, fmt.Errorf("%w: %w", server.ErrRefused, err)
	}
	if err != nil {
		return nil, err
	}
	c.opts.Log.Info("certificate issued", "identity", claim.ID, "workload", m.workload, "serial", got.Serial, "until", got.NotAfter, "root", got.Root)
	return &stream.CertifyResponse{Chain: got.Chain}, nil
}

// rests notes a proxy's word on the root of its certificate.
func (c *Control) rests(workload string, root []byte) {
	if len(root) == len(identity.RootID{}) {
		c.rooted.note(workload, identity.RootID(root))
		c.acknowledged()
	}
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
