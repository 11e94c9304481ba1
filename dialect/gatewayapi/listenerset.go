package gatewayapi

import (
	"slices"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

func listenerSetKind() dialect.Kind {
	k := kind[v1.ListenerSet]("ListenerSet", "v1")
	k.Lower, k.Status = lowerSet, statusOfSet
	k.Fields = slices.Concat(dialect.Below("spec.parentRef", "group", "kind", "namespace", "name"), listenerFields("spec.listeners[]"))
	k.Unsupported["spec.listeners[].tls.options"] = "weft takes TLS 1.2 and 1.3, with what Go takes for secure"
	k.Schema.SetEnum("spec.listeners[].tls.mode", "Terminate", "Passthrough").SetEnum("spec.listeners[].allowedRoutes.namespaces.from", "All", "Selector", "Same")
	k.Schema.Require("spec.parentRef", "spec.parentRef.name", "spec.listeners", "spec.listeners[].name", "spec.listeners[].port", "spec.listeners[].protocol")
	return k
}

// lowerSet checks a ListenerSet: its listeners are a part of its Gateway's.
func lowerSet(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r := newReader(o, v)
	var spec v1.ListenerSetSpec
	if !r.Spec(&spec) {
		return part, r.Found
	}
	var list []v1.Listener
	for _, e := range spec.Listeners {
		list = append(list, v1.Listener(e))
	}
	r.checkListeners(list)
	namespace := string(ptr.Deref(spec.ParentRef.Namespace, v1.Namespace(o.Namespace)))
	g, absent := r.gateway(namespace, string(spec.ParentRef.Name))
	switch {
	case absent:
		r.Warn("spec.parentRef.name", "there is no Gateway "+namespace+"/"+string(spec.ParentRef.Name)+": the listeners are not opened", "correct the name, or write the Gateway")
	case g == nil:
		r.Info("spec.parentRef", "the Gateway is not weft's: what the listeners do is its controller's", "")
	case !slices.ContainsFunc(g.listeners, func(l *listener) bool { return l.owner.Key() == o.Key() }):
		r.Warn("spec.parentRef", "the Gateway takes no ListenerSet of this namespace: the listeners are not opened", "see its spec.allowedListeners")
	default:
		r.readCertificates(g)
		for _, l := range g.listeners {
			if l.owner.Key() == o.Key() {
				l.tell(r)
			}
		}
	}
	return part, r.Found
}
