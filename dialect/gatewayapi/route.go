package gatewayapi

import (
	"fmt"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/feature/timeout"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// rule is a rule of a route of any kind.
type rule struct {
	field    string // "spec.rules[0]"
	matches  []matched
	filters  []v1.HTTPRouteFilter
	backends []v1.HTTPBackendRef
	timeout  *timeout.Policy
	attempt  *timeout.Policy
	retry    *retry.Policy
}

// matched is one match of a rule.
type matched struct {
	request match.Request
	prefix  string // that the path matched by; a filter may replace it
	whole   bool   // it did not match by a prefix
}

// part gives rules to the parents that a route is attached to: once for Services, once for Gateways, whose backends in other namespaces
// need a grant. A route that is attached to nothing is still checked.
func (r *reader) part(parents []parent, entries []entry, hostnames []v1.Hostname, list []rule) (part mesh.Part) {
	if len(entries) > 0 {
		r.entering = true
		part.GatewayRoutes = r.gatewayRoutes(entries, r.rules(list))
		r.entering = false
	}
	if len(parents) > 0 || len(entries) == 0 {
		part.Routes = r.serviceRoutes(parents, hostnames, list)
	}
	return part
}

func (r *reader) serviceRoutes(parents []parent, hostnames []v1.Hostname, list []rule) (out []mesh.Route) {
	before := len(r.Found)
	lowered := r.rules(list)
	if r.policy {
		lowered = r.onHosts(lowered, hostnames)
	}
	if len(parents) == 0 {
		r.Found = append(r.Found[:before], refusals(r.Found[before:])...)
		return nil
	}
	if len(hostnames) > 0 && !r.policy { // GEP-1294, "hostnames field": "SHOULD NOT infer any functionality" from it
		r.Info("spec.hostnames", "for calls between services it has no meaning: the rules are for calls of any host",
			"match on the header Host to tell hosts apart")
	}
	for _, p := range parents {
		x := mesh.Route{Ref: r.Ref, Created: r.Object.Created, Host: p.service.host(), Port: p.port,
			Rank: mesh.RankGatewayAPI, Consumer: p.consumer, Pooled: true, Rules: lowered}
		if r.policy {
			x.Rank, x.Rules = mesh.RankLinkerdRoute, toParent(lowered, x.Host)
		}
		out = append(out, x)
	}
	return out
}

func refusals(found []mesh.Finding) (out []mesh.Finding) {
	for _, f := range found {
		if f.Level == mesh.Error {
			out = append(out, f)
		}
	}
	return out
}

// rules lowers each rule once for each of its matches: calls follow the most specific match of all rules of all routes
// (HTTPRouteRule.matches), so that matches of one rule need not stand together. mesh sorts them.
func (r *reader) rules(list []rule) (out []mesh.Rule) {
	if len(list) == 0 {
		r.Warn("spec.rules", "without rules every call gets 500, since it matches and has no backend", "write a rule with backendRefs")
		return []mesh.Rule{{Rule: route.Rule{Ref: r.Ref}}}
	}
	for i := range list {
		out = append(out, r.follow(&list[i])...)
	}
	return out
}

// follow lowers one rule.
func (r *reader) follow(x *rule) (out []mesh.Rule) {
	ref := r.Rule(x.field)
	f := r.filters(x)
	base := mesh.Rule{Rule: route.Rule{Ref: ref}, CORS: f.cors, Headers: f.headers, Mirrors: f.mirrors, Timeout: x.timeout, Attempt: x.attempt, Retry: x.retry,
		Backends: r.backends(x, f.redirect != nil)}
	if f.failing != "" {
		base = mesh.Rule{Rule: route.Rule{Ref: ref}, Backends: []mesh.Backend{{Weighted: route.Weighted{Weight: 1, Missing: f.failing}}}}
	}
	for _, m := range x.matches {
		one := base
		if m.request.HTTP() {
			one.Matches = []match.Request{m.request}
		}
		if f.failing == "" {
			one.Redirect, one.Rewrite = r.redirect(f.at, ref, f.redirect, m), r.rewrite(f.at, ref, f.rewrite, m)
		}
		out = append(out, one)
	}
	return out
}

// backends lowers where calls go: to a Service by weight, 1 unless written. A backend that cannot be had keeps its share, and the
// calls of that share get 500 (HTTPRouteRule.backendRefs).
func (r *reader) backends(x *rule, redirects bool) (list []mesh.Backend) {
	total := 0
	for i := range x.backends {
		b, field := &x.backends[i], dialect.Index(x.field+".backendRefs", i)
		weight := ptr.Deref(b.Weight, 1)
		if weight < 0 || weight > 1_000_000 {
			r.Refuse(field+".weight", fmt.Sprintf("%d is not a weight", weight), "use a number from 0 to 1000000")
			continue
		}
		w := route.Weighted{Weight: uint32(weight)}
		w.Target, w.Missing = r.backend(field, &b.BackendObjectReference, "calls of its share get 500")
		edits, failing := r.backendFilters(field, r.Rule(x.field), b.Filters)
		if w.Missing == "" {
			w.Missing = failing
		}
		if total += int(weight); weight > 0 {
			list = append(list, mesh.Backend{Weighted: w, Headers: edits})
		}
	}
	switch {
	case redirects && len(x.backends) > 0:
		r.Refuse(x.field+".backendRefs", "a rule that redirects has no backends", "leave out one of them")
	case !redirects && len(x.backends) == 0 && r.policy:
		return []mesh.Backend{theParent}
	case !redirects && len(x.backends) == 0:
		r.Warn(x.field, "it has no backend: calls that match get 500", "add backendRefs")
	case !redirects && total == 0:
		r.Warn(x.field+".backendRefs", "all weights are 0: calls that match get 500", "give one backend a weight")
	}
	return list
}
