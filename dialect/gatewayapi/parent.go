package gatewayapi

import (
	"fmt"
	"slices"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect"
)

// parent is a Service's port that a route is attached to.
type parent struct {
	service  *service
	port     uint16 // 0: all
	consumer string // the route's namespace, where that is not the Service's; empty: the route is for everybody
}

func (p parent) same(o parent) bool {
	return p.service.String() == o.service.String() && p.port == o.port
}

// attach returns the parents that are Services.
func (r *reader) attach(list []v1.ParentReference) (out []parent) {
	if len(list) == 0 {
		r.Warn("spec.parentRefs", "the route has no parent, so it has no effect", r.aParent())
	}
	if r.policy {
		list = asLinkerd(list)
	}
	for i := range list {
		if isGateway(&list[i]) && !r.policy {
			continue // see entries
		}
		field := dialect.Index("spec.parentRefs", i)
		p, ok := r.parent(field, &list[i])
		switch {
		case !ok:
		case slices.ContainsFunc(out, p.same):
			r.Refuse(field, "this parent is named twice", "name it once, or other ports of it")
		default:
			out = append(out, p)
		}
	}
	return out
}

// parent says why a reference that is no Service's has no effect. A group that is not written is the Gateway API's own, and a
// kind that is not written is Gateway (ParentReference.group, kind).
func (r *reader) parent(field string, ref *v1.ParentReference) (p parent, ok bool) {
	g, k := ptr.Deref(ref.Group, group), ptr.Deref(ref.Kind, "Gateway")
	switch {
	case g == "" && k == "Service":
		return r.serviceParent(field, ref)
	case isServer(ref) && (r.Object.Kind == "HTTPRoute" || r.Object.Kind == "GRPCRoute"):
		if r.serverParent(field, ref) {
			r.tellServed()
		}
	case k == "Service" && g == group:
		r.Warn(field+".group", "without a group the parent is a Service of "+group+", which there is none: the route is not attached to it",
			`write group: ""`)
	default:
		r.Warn(field, fmt.Sprintf("weft attaches routes to Services, Gateways and Linkerd's Servers alone: the route has no effect by the %s %s of %q", k, ref.Name, g),
			r.aParent())
	}
	return p, false
}

// aParent says what a route of the object's kind can be attached to.
func (r *reader) aParent() string {
	if r.policy {
		return "name a Service, with group: core and kind: Service, or a Server; a Gateway takes an HTTPRoute of gateway.networking.k8s.io"
	}
	return `name a Service, with group: "" and kind: Service, or a Gateway`
}

// serviceParent resolves a Service's port, by number, name, or both, which must agree then. "Headless" Services and those of
// type ExternalName should not be parents (GEP-1294, "Service as a parentRef").
func (r *reader) serviceParent(field string, ref *v1.ParentReference) (p parent, ok bool) {
	namespace := string(ptr.Deref(ref.Namespace, v1.Namespace(r.Object.Namespace)))
	s := r.service(namespace, string(ref.Name))
	switch {
	case s == nil:
		r.NoService(field+".name", fmt.Sprintf("there is no Service %s in the namespace %s: the route is not attached to it", ref.Name, namespace),
			namespace, string(ref.Name), r.elsewhere(string(ref.Name)))
		return p, false
	case s.external:
		r.Warn(field, s.String()+" is of the type ExternalName: it is not in the mesh, and no route can be attached to it", "")
		return p, false
	case s.headless:
		r.Warn(field, s.String()+" has no address of its own (clusterIP: None): calls go to its endpoints directly, and no route is attached",
			"attach the route to a Service with an address")
		return p, false
	}
	p.service = s
	if namespace != r.Object.Namespace {
		p.consumer = r.Object.Namespace
	}
	if ref.Port == nil && ref.SectionName == nil {
		return p, true
	}
	if i := slices.IndexFunc(s.ports, refersTo(ref)); i >= 0 {
		p.port = s.ports[i].number
		return p, true
	}
	r.Warn(field+".port", s.String()+" has no such port: the route is not attached to it", offer(s.ports))
	return p, false
}

// refersTo says which of a Service's ports a reference means.
func refersTo(ref *v1.ParentReference) func(servicePort) bool {
	return func(p servicePort) bool {
		return (ref.Port == nil || *ref.Port == int32(p.number)) && (ref.SectionName == nil || string(*ref.SectionName) == p.name)
	}
}

// yield takes from an HTTPRoute the ports that a GRPCRoute of the same kind, producer's or consumer's, is attached to: only one type
// of route applies to a port, and GRPCRoute comes first (GEP-1294, "Route types"). That of Linkerd's gives way to the Gateway API's HTTPRoutes
// too, as mesh would have it: here its status can say so.
func (r *reader) yield(all []parent) (out []parent) {
	for _, p := range all {
		taken, key := map[uint16]string{}, referred("", "Service", p.service.namespace, p.service.name)
		routes := r.View.Find(byParent["GRPCRoute"], key)
		if r.policy {
			routes = append(slices.Clip(routes), r.View.Find(byParent["HTTPRoute"], key)...)
		}
		for _, o := range routes {
			p.claim(o, taken)
		}
		if len(taken) == 0 {
			out = append(out, p)
			continue
		}
		for _, port := range p.each() {
			if by, lost := taken[port]; lost {
				r.Warn("spec.parentRefs", fmt.Sprintf("the %s is attached to port %d of %v too, and comes first: this route has no effect there",
					by, port, p.service), "")
				continue
			}
			p.port = port
			out = append(out, p)
		}
	}
	return out
}

// claim notes the ports of p's Service that a GRPCRoute is attached to in the same role.
func (p *parent) claim(o *dialect.Object, taken map[uint16]string) {
	x, ok := readRoute(o)
	if !ok {
		return
	}
	for i := range x.parents {
		ref := &x.parents[i]
		namespace := string(ptr.Deref(ref.Namespace, v1.Namespace(o.Namespace)))
		consumer := ""
		if namespace != o.Namespace {
			consumer = o.Namespace
		}
		if ptr.Deref(ref.Group, group) != "" || ptr.Deref(ref.Kind, "Gateway") != "Service" || namespace != p.service.namespace ||
			string(ref.Name) != p.service.name || consumer != p.consumer {
			continue
		}
		for _, port := range p.service.ports {
			if refersTo(ref)(port) {
				if taken[port.number] == "" {
					taken[port.number] = o.Kind + " " + o.Namespace + "/" + o.Name
				}
			}
		}
	}
}

// each is p's port, or all of its Service's.
func (p *parent) each() (out []uint16) {
	if p.port != 0 {
		return []uint16{p.port}
	}
	for _, port := range p.service.ports {
		out = append(out, port.number)
	}
	return out
}
