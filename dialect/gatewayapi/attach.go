package gatewayapi

import (
	"fmt"
	"slices"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// entry is a listener that a route is attached to, and for which hosts.
type entry struct {
	gateway  *gateway
	listener *listener
	hosts    []string
}

// attachment is what becomes of a route's reference to a Gateway or a ListenerSet.
type attachment struct {
	gateway *gateway // nil: it is not weft's to speak of
	entries []entry
	why     verdict // it is attached to nothing, for a reason of the condition Accepted
}

// routeOf is what of a route counts for where it is attached.
type routeOf struct {
	object    *dialect.Object
	parents   []v1.ParentReference
	hostnames []v1.Hostname
}

// isGateway says whether a reference is to a Gateway or a ListenerSet, as one is where nothing else is written.
func isGateway(ref *v1.ParentReference) bool {
	k := ptr.Deref(ref.Kind, "Gateway")
	return ptr.Deref(ref.Group, group) == group && (k == "Gateway" || k == "ListenerSet")
}

// enter finds the listeners that a reference attaches a route to: of those that it names, those that take routes of the kind and the
// namespace, and have hosts in common with it.
func (r *reader) enter(x *routeOf, ref *v1.ParentReference) (a attachment) {
	namespace := string(ptr.Deref(ref.Namespace, v1.Namespace(x.object.Namespace)))
	named, g, why := r.named(namespace, ref)
	if a.gateway = g; g == nil {
		a.why = why
		return a
	}
	words := fmt.Sprintf("%s %s/%s", ptr.Deref(ref.Kind, "Gateway"), namespace, ref.Name)
	if len(named) == 0 {
		a.why = verdict{string(v1.RouteReasonNoMatchingParent), words + " has no such listener: the route is not attached to it", "correct sectionName or port"}
		return a
	}
	kind := v1.Kind(x.object.Kind)
	allowed := slices.DeleteFunc(slices.Clone(named), func(l *listener) bool { return !l.takes(r, kind, x.object.Namespace) })
	if len(allowed) == 0 {
		a.why = notAllowed(words, kind)
		return a
	}
	for _, l := range allowed {
		if hosts := inCommon(l.host, x.hostnames); len(hosts) > 0 {
			a.entries = append(a.entries, entry{g, l, hosts})
		}
	}
	if len(a.entries) == 0 {
		a.why = verdict{string(v1.RouteReasonNoMatchingListenerHostname), "no listener of " + words + " has a host in common with the route", "correct spec.hostnames, or the listener's hostname"}
	}
	return a
}

// named returns the listeners that a reference names, of a Gateway of weft's; a nil Gateway: why it is none.
func (r *reader) named(namespace string, ref *v1.ParentReference) (list []*listener, g *gateway, why verdict) {
	owner, at, name := ptr.Deref(ref.Kind, "Gateway"), namespace, string(ref.Name)
	if owner == "ListenerSet" {
		o := r.View.Get(group, "ListenerSet", namespace, name)
		s := set{object: o}
		if o == nil || dialect.DecodeField(o, "spec", &s.spec) != nil {
			return nil, nil, verdict{text: "there is no ListenerSet " + namespace + "/" + name + ": the route has no effect by it", remedy: "correct the name, or write the ListenerSet"}
		}
		at, name = string(ptr.Deref(s.spec.ParentRef.Namespace, v1.Namespace(namespace))), string(s.spec.ParentRef.Name)
	}
	g, absent := r.gateway(at, name)
	switch {
	case absent:
		return nil, nil, verdict{text: "there is no Gateway " + at + "/" + name + ": the route has no effect by it", remedy: "correct the name, or write the Gateway"}
	case g == nil:
		return nil, nil, verdict{}
	}
	for _, l := range g.listeners {
		if l.owner.Kind == string(owner) && l.owner.Namespace == namespace && l.owner.Name == string(ref.Name) &&
			(ref.SectionName == nil || *ref.SectionName == l.spec.Name) && (ref.Port == nil || *ref.Port == l.spec.Port) {
			list = append(list, l)
		}
	}
	return list, g, verdict{}
}

// notAllowed says why no listener takes the route. TLSRouteSpec.hostnames asks for UnsupportedValue where no listener is for TLS; the
// conformance test TLSRouteInvalidNoMatchingListener asks for NotAllowedByListeners there too.
func notAllowed(words string, kind v1.Kind) verdict {
	return verdict{string(v1.RouteReasonNotAllowedByListeners), fmt.Sprintf("no listener of %s takes a %s of this namespace: the route is not attached to it", words, kind),
		"see allowedRoutes of its listeners, and their protocols"}
}

// outdone leaves out the entries whose listener has an older route of the other kind with a host in common: "the implementation MUST accept
// exactly one of these two routes" (HTTPRouteSpec.hostnames).
func (r *reader) outdone(x *routeOf, a attachment) attachment {
	other := map[string]string{"HTTPRoute": "GRPCRoute", "GRPCRoute": "HTTPRoute"}[x.object.Kind]
	if other == "" || len(a.entries) == 0 {
		return a
	}
	for _, o := range r.routesOf(other, a.gateway) {
		if !goesBefore(o, x.object) {
			break // the oldest come first
		}
		y, ok := readRoute(o)
		if !ok {
			continue
		}
		a.entries = slices.DeleteFunc(slices.Clone(a.entries), func(e entry) bool { return r.has(y, &e) })
		if len(a.entries) == 0 {
			a.why = verdict{string(v1.RouteReasonNotAllowedByListeners), fmt.Sprintf("the %s %s/%s, which is older, is for the same hosts of the same listener: routes of two kinds cannot share them",
				other, o.Namespace, o.Name), "give one of the two another host"}
			break
		}
	}
	return a
}

func goesBefore(a, b *dialect.Object) bool {
	if !a.Created.Equal(b.Created) {
		return a.Created.Before(b.Created)
	}
	return a.Namespace+"/"+a.Name < b.Namespace+"/"+b.Name
}

// has says whether a route is attached to an entry's listener for one of its hosts.
func (r *reader) has(y *routeOf, e *entry) bool {
	for i := range y.parents {
		if !isGateway(&y.parents[i]) {
			continue
		}
		for _, o := range r.enter(y, &y.parents[i]).entries {
			if o.gateway.key() == e.gateway.key() && o.listener.id() == e.listener.id() && slices.ContainsFunc(o.hosts, func(h string) bool {
				return slices.ContainsFunc(e.hosts, func(x string) bool { return x == h || h == "" || x == "" || mesh.Within(x, h) || mesh.Within(h, x) })
			}) {
				return true
			}
		}
	}
	return false
}

// readRoute reads of a route of any kind where it is attached.
func readRoute(o *dialect.Object) (*routeOf, bool) {
	var spec struct {
		ParentRefs []v1.ParentReference `json:"parentRefs"`
		Hostnames  []v1.Hostname        `json:"hostnames"`
	}
	err := dialect.DecodeField(o, "spec", &spec)
	return &routeOf{o, spec.ParentRefs, spec.Hostnames}, err == nil
}

// entries attaches the object that is read to the listeners of its parents.
func (r *reader) entries(refs []v1.ParentReference, hostnames []v1.Hostname) (out []entry) {
	x := &routeOf{r.Object, refs, hostnames}
	for i := range hostnames {
		r.checkHost(dialect.Index("spec.hostnames", i), string(hostnames[i]))
	}
	if r.policy {
		return nil // Gateways take the Gateway API's routes alone: see parent
	}
	for i := range refs {
		if !isGateway(&refs[i]) {
			continue
		}
		field := dialect.Index("spec.parentRefs", i)
		a := r.outdone(x, r.enter(x, &refs[i]))
		switch {
		case a.why.text != "":
			r.Warn(field, a.why.text, a.why.remedy)
		case a.gateway == nil:
			r.Info(field, fmt.Sprintf("the Gateway of %s %s is not weft's: what the route does there is its controller's", ptr.Deref(refs[i].Kind, "Gateway"), refs[i].Name), "")
		}
		for _, e := range a.entries {
			if slices.ContainsFunc(out, func(o entry) bool { return o.listener.ref == e.listener.ref }) {
				r.Refuse(field, "this parent is named twice", "name it once, or other listeners of it")
				break
			}
			out = append(out, e)
		}
	}
	return out
}

// gatewayRoutes gives rules to the listeners that a route is attached to, and that are open.
func (r *reader) gatewayRoutes(list []entry, rules []mesh.Rule) (out []mesh.GatewayRoute) {
	for _, e := range list {
		out = append(out, mesh.GatewayRoute{Ref: r.Ref, Created: r.Object.Created, Gateway: e.gateway.key(), Listener: e.listener.id(), Hosts: e.hosts, Rules: rules})
	}
	return out
}
