// Package chain is the list of what a call goes through, built when configuration arrives. It opens no socket: the proxy runs
// these handlers with the network as their host, explain and test run the same ones without.
package chain

import (
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/balance"
	"github.com/weft-mesh/weft/feature/breaker"
	"github.com/weft-mesh/weft/feature/classify"
	"github.com/weft-mesh/weft/feature/fault"
	"github.com/weft-mesh/weft/feature/headers"
	"github.com/weft-mesh/weft/feature/mirror"
	"github.com/weft-mesh/weft/feature/mtls"
	"github.com/weft-mesh/weft/feature/redirect"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/feature/rewrite"
	"github.com/weft-mesh/weft/feature/timeout"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// rule is the way of a call that a route's rule has taken, in order. A fault comes before what changes the call, since it stands
// for a callee that fails; a copy is made of what is sent; the timeout bounds all attempts, and each attempt is balanced anew.
func (b *builder) rule(r *mesh.Rule) traffic.Handler {
	return traffic.Chain(b.split(r),
		redirect.With(r.Redirect),
		fault.With(r.Fault),
		headers.With(r.Headers),
		rewrite.With(r.Rewrite),
		mirror.With(r.Mirrors, b.mirrors(r)),
		classify.With(r.Classify),
		timeout.With(r.Timeout),
		retry.With(r.Retry, b.budget, b.ledger, b.room),
		timeout.Attempt(r.Timeout),
	)
}

// pool is the way of one attempt to a service or subset of it, in order. What a caller may reach is judged when it is known
// where the call goes.
func (b *builder) pool(p *config.Pool, s *poolState) traffic.Handler {
	return traffic.Chain(traffic.Forward{},
		toUpstream(&p.Policy, b.proto),
		breaker.With(p.Policy.Breaker, &s.breaker),
		balance.With(s.set),
		authz.WithEgress(b.egress),
	)
}

// NewInbound is the way of a call into a workload, in order.
func NewInbound(w *config.Workload) (traffic.Handler, error) {
	if err := compileEngines(w.Inbound.Authz); err != nil {
		return nil, err
	}
	return traffic.Chain(traffic.Forward{},
		mtls.With(w.Inbound.MTLS),
		authz.With(w.Inbound.Authz),
	), nil
}

// NewPassthrough is the way of a call to an address that is no service's. Its engine sets To and Upstream first.
func NewPassthrough(egress []authz.Engine) (traffic.Handler, error) {
	if err := compileEngines(egress); err != nil {
		return nil, err
	}
	return traffic.Chain(traffic.Forward{}, authz.WithEgress(egress)), nil
}

func compileEngines(engines []authz.Engine) error {
	for i := range engines {
		if err := engines[i].Compile(); err != nil {
			return err
		}
	}
	return nil
}
