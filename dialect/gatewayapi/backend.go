package gatewayapi

import (
	"fmt"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/traffic"
)

// backend resolves a reference; missing says why it cannot be had, and effect what becomes of it then. One in another namespace
// needs no ReferenceGrant between services: callers can reach that Service without the route as well (GEP-1294: "allowed without a
// ReferenceGrant"). A gateway opens a way that there was not, and needs one.
func (r *reader) backend(field string, ref *v1.BackendObjectReference, effect string) (target traffic.Target, missing string) {
	namespace, remedy := string(ptr.Deref(ref.Namespace, v1.Namespace(r.Object.Namespace))), ""
	g, k := ptr.Deref(ref.Group, ""), ptr.Deref(ref.Kind, "Service")
	if g != "" || k != "Service" {
		missing = fmt.Sprintf("weft sends calls to Services alone, not to a %s of %q", k, g)
		r.Warn(field+".kind", missing+": "+effect, "name a Service")
		r.lose(v1.RouteReasonInvalidKind, missing)
		return target, missing
	}
	if r.entering && !r.granted(r.Object.Kind, r.Object.Namespace, "Service", namespace, string(ref.Name)) {
		missing = fmt.Sprintf("no ReferenceGrant in %s lets a %s of %s have the Service %s", namespace, r.Object.Kind, r.Object.Namespace, ref.Name)
		r.Warn(field+".namespace", missing+": "+effect, "write one there")
		r.lose(v1.RouteReasonRefNotPermitted, missing)
		return target, missing
	}
	if ref.Port == nil || *ref.Port < 1 || *ref.Port > 65535 {
		r.Refuse(field+".port", "the port is missing: a Service's port is from 1 to 65535", "")
		return target, ""
	}
	target = traffic.Target{Service: dialect.Host(string(ref.Name), namespace), Port: uint16(*ref.Port), Datagrams: r.Object.Kind == "UDPRoute"}
	at := field + ".name"
	switch s := r.service(namespace, string(ref.Name)); {
	case s == nil:
		missing = fmt.Sprintf("there is no Service %s in the namespace %s", ref.Name, namespace)
		r.lose(v1.RouteReasonBackendNotFound, missing)
		r.NoService(at, missing+": "+effect, namespace, string(ref.Name), r.elsewhere(string(ref.Name)))
		return target, missing
	case s.external:
		missing = s.String() + " is of the type ExternalName and not in the mesh"
	case !has(s.over(target.Datagrams), *ref.Port):
		at, missing, remedy = field+".port", fmt.Sprintf("%v has no port %d%s", s, *ref.Port, map[bool]string{true: " for UDP"}[target.Datagrams]), offer(s.over(target.Datagrams))
	default:
		return target, ""
	}
	r.Warn(at, missing+": "+effect, remedy)
	r.lose(v1.RouteReasonBackendNotFound, missing)
	return target, missing
}

// lose notes why a backend cannot be had; the first reason stands.
func (r *reader) lose(reason v1.RouteConditionReason, text string) {
	if r.lost.reason == "" {
		r.lost = verdict{reason: string(reason), text: text}
	}
}
