package gatewayapi

import (
	"slices"

	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// Routes for connections: TCPRoute, UDPRoute, and TLSRoute by the name that TLS is begun with.

func tcpRouteKind() dialect.Kind {
	k := kind[v1.TCPRoute]("TCPRoute", "v1", "v1alpha2")
	k.Lower, k.Status = lowerTCPRoute, statusOfRoute
	connectionFields(&k)
	return k
}

func udpRouteKind() dialect.Kind {
	k := kind[v1.UDPRoute]("UDPRoute", "v1", "v1alpha2")
	k.Lower, k.Status = lowerUDPRoute, statusOfRoute
	connectionFields(&k)
	return k
}

func tlsRouteKind() dialect.Kind {
	k := kind[v1.TLSRoute]("TLSRoute", "v1", "v1alpha3", "v1alpha2")
	k.Lower, k.Status = lowerTLSRoute, statusOfRoute
	k.Fields = []string{"spec.hostnames[]"}
	connectionFields(&k)
	return k
}

func connectionFields(k *dialect.Kind) {
	k.Fields = slices.Concat(k.Fields, dialect.Below(parents, "group", "kind", "namespace", "name", "sectionName", "port"),
		dialect.Below(backends, "group", "kind", "name", "namespace", "port", "weight"))
	k.Ignored[rules+".name"] = "it names the rule in statuses; weft's records name the object and the rule's number"
	k.Unsupported["spec.useDefaultGateways"] = "no Gateway is the default: routes name theirs"
	k.Schema.Require(parents+".name", backends+".name")
}

func lowerTCPRoute(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r := newReader(o, v)
	var spec v1.TCPRouteSpec
	if !r.Spec(&spec) {
		return part, r.Found
	}
	var list [][]v1.BackendRef
	for i := range spec.Rules {
		list = append(list, spec.Rules[i].BackendRefs)
	}
	return r.connections(spec.ParentRefs, nil, list), r.Found
}

func lowerUDPRoute(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r := newReader(o, v)
	var spec v1.UDPRouteSpec
	if !r.Spec(&spec) {
		return part, r.Found
	}
	var list [][]v1.BackendRef
	for i := range spec.Rules {
		list = append(list, spec.Rules[i].BackendRefs)
	}
	return r.connections(spec.ParentRefs, nil, list), r.Found
}

func lowerTLSRoute(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r := newReader(o, v)
	var spec v1.TLSRouteSpec
	if !r.Spec(&spec) {
		return part, r.Found
	}
	var list [][]v1.BackendRef
	for i := range spec.Rules {
		list = append(list, spec.Rules[i].BackendRefs)
	}
	return r.connections(spec.ParentRefs, spec.Hostnames, list), r.Found
}

// connections attaches backends to the listeners of a route.
func (r *reader) connections(refs []v1.ParentReference, hostnames []v1.Hostname, list [][]v1.BackendRef) (part mesh.Part) {
	r.tellOthers(refs)
	if len(list) > 1 {
		r.Warn("spec.rules", "every connection goes by the first rule: the others have no effect", "write one rule")
	}
	entries := r.entries(refs, hostnames)
	before := len(r.Found)
	r.entering = true
	lowered := r.rules(ofConnections(list))
	if len(entries) == 0 {
		r.Found = append(r.Found[:before], refusals(r.Found[before:])...)
		return part
	}
	part.GatewayRoutes = r.gatewayRoutes(entries, lowered)
	return part
}

func ofConnections(list [][]v1.BackendRef) (out []rule) {
	for i, refs := range list {
		x := rule{field: dialect.Index("spec.rules", i), matches: []matched{{whole: true}}}
		for _, b := range refs {
			x.backends = append(x.backends, v1.HTTPBackendRef{BackendRef: b})
		}
		out = append(out, x)
	}
	return out
}

// tellOthers says of parents that such a route cannot have that it has no effect by them.
func (r *reader) tellOthers(refs []v1.ParentReference) {
	if len(refs) == 0 {
		r.Warn("spec.parentRefs", "the route has no parent, so it has no effect", "name a Gateway")
	}
	for i := range refs {
		if !isGateway(&refs[i]) {
			r.Warn(dialect.Index("spec.parentRefs", i), "a "+r.Object.Kind+" is for Gateways alone: it has no effect by this parent", "name a Gateway")
		}
	}
}
