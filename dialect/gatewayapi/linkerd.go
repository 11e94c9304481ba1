package gatewayapi

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// Linkerd has an HTTPRoute of its own, which is an early one of the Gateway API with fewer filters, and attaches routes of both projects to
// its Servers. It is read here, by the code that reads the others; what differs asks for reader.policy. Package linkerd lists the kind, and
// judges calls to a Server by the routes that are attached to it.

// policyGroup is Linkerd's.
const policyGroup = "policy.linkerd.io"

// LinkerdRoute is the kind HTTPRoute of Linkerd.
func LinkerdRoute() dialect.Kind {
	k := httpRouteKind()
	k.Dialect, k.Group, k.Versions = decision.Linkerd, policyGroup, []string{"v1beta3", "v1beta2", "v1beta1", "v1alpha1"}
	k.Harmless = routesAlone
	delete(k.Schema.Fields["spec"].Fields, "useDefaultGateways")
	rule, filter := k.Schema.At(rules), k.Schema.At(filters)
	for _, name := range []string{"name", "retry", "sessionPersistence"} {
		delete(rule.Fields, name)
	}
	for _, name := range []string{"requestMirror", "urlRewrite", "cors", "externalAuth", "extensionRef"} {
		delete(filter.Fields, name)
	}
	absent := func(path string) bool { return k.Schema.At(strings.TrimSuffix(path, ".*")) == nil }
	k.Fields = slices.DeleteFunc(k.Fields, absent)
	maps.DeleteFunc(k.Unsupported, func(path, _ string) bool { return absent(path) })
	maps.DeleteFunc(k.Ignored, func(path, _ string) bool { return absent(path) })
	k.Schema.SetEnum(filters+".type", "RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect")
	for from, to := range map[string]string{"rules[].retries": "the annotation retry.linkerd.io/limit", "rules[].retry": "the annotations retry.linkerd.io/http and retry.linkerd.io/limit",
		"rules[].filters[].urlRewrite": ofAPI, "rules[].filters[].requestMirror": ofAPI, "rules[].filters[].cors": ofAPI} {
		k.Renamed["spec."+from] = to
	}
	return k
}

// routesAlone says whether a route, however much of it cannot be read, is certain to be attached to no Server: who may call is not its to say.
func routesAlone(o *dialect.Object) bool {
	x, ok := readRoute(o)
	return ok && len(x.parents) > 0 && !slices.ContainsFunc(x.parents, func(ref v1.ParentReference) bool {
		return !slices.Contains([]v1.Kind{"Service", "Gateway", "EgressNetwork"}, ptr.Deref(ref.Kind, ""))
	})
}

// atServers has a kind of the Gateway API say who may call where a route of it is attached to a Server of Linkerd's, or may be: however much of
// it cannot be read, one that names none is harmless.
func atServers(k *dialect.Kind) {
	k.Guards = true
	k.Harmless = func(o *dialect.Object) bool {
		spec, _ := o.Tree["spec"].(map[string]any)
		return !slices.ContainsFunc(mapsIn(spec["parentRefs"]), func(p map[string]any) bool {
			return textOf(p, "kind", "") == "Server" && textOf(p, "group", "") == policyGroup
		})
	}
}

const ofAPI = "Linkerd's HTTPRoute has no such filter; that of apiVersion: gateway.networking.k8s.io/v1 has"

// asLinkerd reads references as Linkerd does: core is the group of Services too, and the group that is meant where there is none is its own.
func asLinkerd(refs []v1.ParentReference) []v1.ParentReference {
	out := slices.Clone(refs)
	for i := range out {
		ref := &out[i]
		if g := ptr.Deref(ref.Group, policyGroup); strings.EqualFold(string(g), "core") {
			ref.Group = ptr.To[v1.Group]("")
		} else {
			ref.Group = &g
		}
	}
	return out
}

// isServer says whether a reference is to a Server of Linkerd.
func isServer(ref *v1.ParentReference) bool {
	return ptr.Deref(ref.Group, "") == policyGroup && ptr.Deref(ref.Kind, "") == "Server"
}

// serverParent says why a route is not attached to a Server: package linkerd makes rules of those that are. A Server is of the route's own
// namespace, and has one port (policy-controller/k8s/index/src/inbound/routes.rs).
func (r *reader) serverParent(field string, ref *v1.ParentReference) (ok bool) {
	name, namespace := string(ref.Name), r.Object.Namespace
	server := r.View.Get(policyGroup, "Server", namespace, name)
	switch {
	case ptr.Deref(ref.Namespace, v1.Namespace(namespace)) != v1.Namespace(namespace):
		r.Refuse(field+".namespace", "a Server of another namespace cannot be the parent of a route", "put the route there")
	case ref.Port != nil:
		r.Refuse(field+".port", "a Server has one port: a route names none", "remove it")
	case ref.SectionName != nil:
		r.Refuse(field+".sectionName", "a Server has no sections", "remove it")
	case server == nil:
		r.Warn(field+".name", "there is no Server "+name+" in the namespace "+namespace+": the route is not attached to it", "correct the name, or write the Server")
	case r.Object.Kind == "HTTPRoute" && r.heldByGRPC(name):
		r.Warn(field, "a GRPCRoute is attached to the Server "+name+" too, and comes first: this route has no effect there", "")
	case !counts(r.Object.Kind, protocolOf(server)):
		r.Warn(field, fmt.Sprintf("the proxyProtocol of the Server %s is %s: there a %s has no effect", name, cmp.Or(protocolOf(server), "unknown"), r.Object.Kind),
			"GRPCRoutes count where it is gRPC, HTTPRoutes where it is unknown, HTTP/1 or HTTP/2")
	default:
		return true
	}
	return false
}

// heldByGRPC says whether a GRPCRoute is attached to a Server: HTTPRoutes are not then (GEP-1426, "Route types").
func (r *reader) heldByGRPC(server string) bool {
	return slices.ContainsFunc(r.View.Find(byParent["GRPCRoute"], serverKey(r.Object.Namespace, server)), func(o *dialect.Object) bool {
		return o.Namespace == r.Object.Namespace && namesServer(o, server)
	})
}

// byLinkerdParent finds Linkerd's own routes.
var byLinkerdParent = &dialect.Lookup{Group: policyGroup, Kind: "HTTPRoute", Keys: func(o *dialect.Object) (keys []string) {
	x, _ := readRoute(o)
	for _, ref := range asLinkerd(x.parents) {
		if isServer(&ref) {
			keys = append(keys, serverKey(string(ptr.Deref(ref.Namespace, v1.Namespace(o.Namespace))), string(ref.Name)))
		}
	}
	return keys
}}

func serverKey(namespace, name string) string {
	return referred(policyGroup, "Server", namespace, name)
}

// namesServer says whether a route names a Server of its namespace as its parent, and rightly.
func namesServer(o *dialect.Object, server string) bool {
	x, ok := readRoute(o)
	refs := x.parents
	if o.Group == policyGroup {
		refs = asLinkerd(refs)
	}
	return ok && slices.ContainsFunc(refs, func(ref v1.ParentReference) bool {
		return isServer(&ref) && string(ref.Name) == server && ptr.Deref(ref.Namespace, v1.Namespace(o.Namespace)) == v1.Namespace(o.Namespace) &&
			ref.Port == nil && ref.SectionName == nil
	})
}

// Served is what a route that is attached to a Server asks of calls: one match of one of its rules.
type Served struct {
	Route  *dialect.Object
	Rule   mesh.Rule // with one match
	Barred bool      // nobody is to pass by it: weft cannot do all that it asks for
}

// ServedBy returns what the routes ask of calls that are attached to a Server of Linkerd, in the order in which they are tried: a call is of
// the first that matches. attached: there is a route, though it may have no rules.
func ServedBy(v dialect.View, server *dialect.Object) (list []Served, attached bool) {
	r, key := newReader(server, v), serverKey(server.Namespace, server.Name)
	kind, routes := "HTTPRoute", slices.Concat(v.Find(byParent["HTTPRoute"], key), v.Find(byLinkerdParent, key))
	if r.heldByGRPC(server.Name) {
		kind, routes = "GRPCRoute", slices.Clone(v.Find(byParent["GRPCRoute"], key))
	}
	if protocol := protocolOf(server); !counts(kind, protocol) {
		return nil, false
	}
	return r.served(routes, server.Name)
}

// protocolOf is the proxyProtocol of a Server.
func protocolOf(server *dialect.Object) string {
	var spec struct {
		ProxyProtocol string `json:"proxyProtocol"`
	}
	if dialect.DecodeField(server, "spec", &spec) != nil {
		return ""
	}
	return spec.ProxyProtocol
}

// counts says whether routes of a kind are looked at where a Server has a protocol (policy-controller/grpc/src/inbound.rs, to_server).
func counts(kind, protocol string) bool {
	switch protocol {
	case "", "unknown", "HTTP/1", "HTTP/2":
		return kind == "HTTPRoute"
	}
	return kind == "GRPCRoute" && protocol == "gRPC"
}

// served lowers the matches of those routes that name a Server.
func (r *reader) served(routes []*dialect.Object, server string) (list []Served, attached bool) {
	slices.SortStableFunc(routes, func(a, b *dialect.Object) int {
		switch {
		case goesBefore(a, b):
			return -1
		case goesBefore(b, a):
			return 1
		}
		return 0
	})
	for _, o := range routes {
		if o.Namespace != r.Object.Namespace || !namesServer(o, server) {
			continue
		}
		attached = true
		x := newReader(o, r.View)
		asked, hostnames := x.asked()
		for i := range asked {
			a := &asked[i]
			base := mesh.Rule{Rule: route.Rule{Ref: x.Rule(a.field)}}
			for _, m := range a.matches {
				one := base
				one.Matches = []match.Request{m.request}
				for _, h := range x.onHosts([]mesh.Rule{one}, hostnames) {
					list = append(list, Served{Route: o, Rule: h, Barred: len(a.filters) > 0 || x.Refused()})
				}
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Served) int { return mesh.MoreSpecific(a.Rule, b.Rule) })
	return list, attached
}

// asked reads the rules of a route of either kind, and the hosts that it is for.
func (r *reader) asked() ([]rule, []v1.Hostname) {
	if r.Object.Kind == "GRPCRoute" {
		var spec v1.GRPCRouteSpec
		if !r.Spec(&spec) {
			return nil, nil
		}
		return r.grpcRules(spec.Rules), spec.Hostnames
	}
	var spec v1.HTTPRouteSpec
	if !r.Spec(&spec) {
		return nil, nil
	}
	return r.httpRules(spec.Rules), spec.Hostnames
}

// onHosts narrows rules to the hosts that a route is for, whatever the port is that callers write behind: for Linkerd's proxies they have a
// meaning between services too.
func (r *reader) onHosts(rules []mesh.Rule, hostnames []v1.Hostname) (out []mesh.Rule) {
	if len(hostnames) == 0 {
		return rules
	}
	for _, h := range hostnames {
		name, wild := strings.CutPrefix(string(h), "*")
		expr := "(?i)" + map[bool]string{true: ".+"}[wild] + regexp.QuoteMeta(name) + "(:[0-9]+)?"
		for _, x := range rules {
			q := match.Request{}
			if len(x.Matches) > 0 {
				q = x.Matches[0]
			}
			switch {
			case len(q.Hosts) == 0:
				q.Hosts = []match.String{{Kind: match.Regex, Value: expr}}
			case q.Hosts[0].Kind == match.Regex:
				r.Refuse("spec.hostnames", "a match on the header Host by an expression stands beside it: both cannot be asked for", "say in one of the two which hosts are meant")
			case !regexp.MustCompile("^(?:" + expr + ")$").MatchString(q.Hosts[0].Value):
				continue // both hold for no call
			}
			x.Matches, x.Hostname = []match.Request{q}, string(h)
			out = append(out, x)
		}
	}
	return out
}

// theParent stands for the service that a route is attached to.
var theParent = mesh.Backend{Weighted: route.Weighted{Weight: 1}}

// toParent has calls go on to the service that they are for where a rule names no backend and does not answer itself (FirstAvailable in
// policy-controller/grpc/src/outbound/http.rs): by the Gateway API they get 500.
func toParent(rules []mesh.Rule, host string) []mesh.Rule {
	out := slices.Clone(rules)
	for i := range out {
		if len(out[i].Backends) == 1 && out[i].Backends[0].Weighted == theParent.Weighted {
			out[i].Backends = []mesh.Backend{{Weighted: route.Weighted{Weight: 1, Target: traffic.Target{Service: host}}}}
		}
	}
	return out
}

// noted puts what annotations say in the place of what rules say: "annotation beats HTTPRoute field" (convert_linkerd_rule). They are for
// calls between services.
func (r *reader) noted(list []rule, between bool) []rule {
	http := r.Object.Kind == "HTTPRoute"
	amiss := r.Warn
	if r.policy { // Linkerd's admission refuses its own kind alone
		amiss = r.Refuse
	}
	c := r.Calls(http, !http, amiss)
	if !between {
		for _, key := range slices.Sorted(maps.Keys(r.Object.Annotations)) {
			if slices.Contains(dialect.CallNotes(http, !http), key) {
				r.Warn(dialect.Child("metadata.annotations", key), "it is for calls between services, and the route is attached to no Service: it has no effect", "")
			}
		}
		return list
	}
	for i := range list {
		x := &list[i]
		x.timeout = cmp.Or(c.Timeout, x.timeout)
		if c.Retry != nil {
			x.retry, x.attempt = c.Retry, c.Attempt
		}
	}
	return list
}

// tellServed says what is not as at a Service where a route is attached to a Server.
func (r *reader) tellServed() {
	asked, hostnames := r.asked()
	for i := range asked {
		a := &asked[i]
		if len(a.filters) > 0 {
			r.Warn(a.field+".filters", "filters of calls to a Server are not supported yet: there nobody is let pass by the rule, since a filter must not be skipped",
				"attach the route to the Service")
		}
	}
	for i := range asked {
		for _, m := range asked[i].matches {
			r.onHosts([]mesh.Rule{{Rule: route.Rule{Matches: []match.Request{m.request}}}}, hostnames)
		}
	}
}
