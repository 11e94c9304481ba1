package gatewayapi

import (
	"fmt"

	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect/core"
	"github.com/weft-mesh/weft/traffic"
)

// backend resolves a reference; missing says why it cannot be had, and effect what becomes of it then. One in another namespace
// needs no ReferenceGrant: callers can reach that Service without the route as well (GEP-1294: "allowed without a
// ReferenceGrant").
func (r *reader) backend(field string, ref *v1.BackendObjectReference, effect string) (target traffic.Target, missing string) {
	namespace, remedy := string(or(ref.Namespace, v1.Namespace(r.object.Namespace))), ""
	g, k := or(ref.Group, ""), or(ref.Kind, "Service")
	if g != "" || k != "Service" {
		missing = fmt.Sprintf("weft sends calls to Services alone, not to a %s of %q", k, g)
		r.warn(field+".kind", missing+": "+effect, "name a Service")
		return target, missing
	}
	if ref.Port == nil || *ref.Port < 1 || *ref.Port > 65535 {
		r.refuse(field+".port", "the port is missing: a Service's port is from 1 to 65535", "")
		return target, ""
	}
	target = traffic.Target{Service: core.Host(string(ref.Name), namespace), Port: uint16(*ref.Port)}
	at := field + ".name"
	switch s := r.service(namespace, string(ref.Name)); {
	case s == nil:
		missing, remedy = fmt.Sprintf("there is no Service %s in the namespace %s", ref.Name, namespace), r.elsewhere(string(ref.Name))
	case s.external:
		missing = s.String() + " is of the type ExternalName and not in the mesh"
	case !s.has(*ref.Port):
		at, missing, remedy = field+".port", fmt.Sprintf("%v has no port %d", s, *ref.Port), s.offer()
	default:
		return target, ""
	}
	r.warn(at, missing+": "+effect, remedy)
	return target, missing
}
