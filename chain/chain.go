// Package chain is the list of what a call goes through, built when configuration arrives. It opens no socket: the proxy runs
// these handlers with the network as their host, explain and test run the same ones without.
package chain

import (
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/balance"
	"github.com/weft-mesh/weft/feature/breaker"
	"github.com/weft-mesh/weft/feature/classify"
	"github.com/weft-mesh/weft/feature/cors"
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

// rule is the way of a call that a route's rule has taken, in order.
//
//   - A fault stands for a callee that fails, whatever the rule does for its calls: an abort is not retried and a delay does not
//     count towards the rule's timeout, as in Envoy, whose fault filter stands before its router.
//   - CORS answers what browsers ask before anything is done for a call, and speaks of any answer to others: those of redirects too,
//     and whatever edits of headers make of them.
//   - Headers, then rewrite: the edits of headers may name the authority, and the rewrite's word is the last. Response edits
//     reach the answers of all that follows.
//   - A redirect and the rule's own answer are such, as in Envoy and as the Gateway API has it ("All filters are expected to be
//     compatible with each other", HTTPRouteRule.filters). A redirect is made of the call as it came, so that where it has one,
//     the request is not edited; neither needs a backend.
//   - A copy is made of the call as it is sent, so after both; outside of retries, so once.
//   - Classes say what a failure is, for the retries and the ejections that follow.
//   - The timeout bounds all attempts and the pauses between them; an attempt's own stands inside, where Rewind undoes it.
//   - The backend is drawn by the call's lot: all attempts go to the same one, each to an endpoint of its own.
func (b *builder) rule(r *mesh.Rule) traffic.Handler {
	return traffic.Chain(b.split(r),
		fault.With(r.Fault),
		cors.With(r.CORS),
		headers.With(edited(r)),
		redirect.With(r.Redirect),
		fault.With(r.Answer),
		rewrite.With(r.Rewrite),
		mirror.With(r.Mirrors, b.mirrors(r)),
		classify.With(r.Classify),
		timeout.With(r.Timeout),
		retry.With(r.Retry, b.budget, b.ledger, b.room),
		timeout.Attempt(r.Attempt),
	)
}

// edited are the edits of a rule: of responses alone, where it redirects.
func edited(r *mesh.Rule) *headers.Policy {
	if r.Headers == nil || r.Redirect == nil {
		return r.Headers
	}
	return &headers.Policy{Ref: r.Headers.Ref, Response: r.Headers.Response}
}

// pool is the way of one attempt to a service or subset of it, in order. Limits come before the choice, so that what is over
// them costs no endpoint anything. What a caller may reach is judged when it is known where the call goes; such a denial is no
// endpoint's failure, and is not tried again elsewhere.
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
	if err := readyInbound(&w.Inbound); err != nil {
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
