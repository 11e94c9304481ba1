package gatewayapi

import (
	"slices"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// referenceGrantKind: a route between services needs no grant, since it opens no way that callers do not have already (GEP-1294,
// "Producer routes"; the conformance test MeshConsumerRoute has none). A Gateway needs one, for certificates and for backends.
func referenceGrantKind() dialect.Kind {
	k := kind[v1.ReferenceGrant]("ReferenceGrant", "v1", "v1beta1", "v1alpha2")
	k.Lower = lowerGrant
	k.Fields = slices.Concat(dialect.Below("spec.from[]", "group", "kind", "namespace"), dialect.Below("spec.to[]", "group", "kind", "name"))
	k.Schema.Require("spec.from", "spec.to", "spec.from[].group", "spec.from[].kind", "spec.from[].namespace", "spec.to[].group", "spec.to[].kind")
	return k
}

// lowerGrant: others look at it.
func lowerGrant(o *dialect.Object, v dialect.View) (mesh.Part, []mesh.Finding) {
	r := newReader(o, v)
	r.Info("", "it is for Gateways, their certificates and the backends of their routes; routes between services need none (GEP-1294)", "")
	return mesh.Part{}, r.Found
}

// granted says whether an object of the Gateway API may refer to one of the core group: in its own namespace always, in another one by
// a ReferenceGrant there.
func (r *reader) granted(from, fromNamespace, to, namespace, name string) bool {
	if fromNamespace == namespace {
		return true
	}
	for _, o := range r.View.List(group, "ReferenceGrant", namespace) {
		var spec v1.ReferenceGrantSpec
		if dialect.DecodeField(o, "spec", &spec) != nil {
			continue
		}
		if slices.ContainsFunc(spec.From, func(f v1.ReferenceGrantFrom) bool {
			return f.Group == group && string(f.Kind) == from && string(f.Namespace) == fromNamespace
		}) && slices.ContainsFunc(spec.To, func(t v1.ReferenceGrantTo) bool {
			return t.Group == "" && string(t.Kind) == to && ptr.Deref(t.Name, v1.ObjectName(name)) == v1.ObjectName(name)
		}) {
			return true
		}
	}
	return false
}
