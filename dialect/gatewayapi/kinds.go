package gatewayapi

import (
	"reflect"

	experimental "sigs.k8s.io/gateway-api/apisx/v1alpha1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/schema"
)

// Kinds returns the Gateway API's kinds. Nothing in them speaks of identities, so that the trust domain does not matter.
func Kinds(string) []dialect.Kind {
	return []dialect.Kind{
		httpRouteKind(),
		grpcRouteKind(),
		referenceGrantKind(),

		gatewayKind(),
		gatewayClassKind(),
		listenerSetKind(),
		tcpRouteKind(),
		tlsRouteKind(),
		udpRouteKind(),
		backendTLSKind(),
		extra(later[experimental.XBackend]("XBackend", "a route's backend can be a Service alone: a share that goes to an XBackend gets 500", "v1alpha1")),
		extra(later[experimental.XBackendTrafficPolicy]("XBackendTrafficPolicy", "the budget of retries is weft's own; sessions do not stick yet", "v1alpha1")),
		extra(dialect.Cluster(later[experimental.XMesh]("XMesh", "weft is the mesh whether it is named or not, and reports no status by it", "v1alpha1"))),
		extra(unshaped("XListenerSet", "a ListenerSet of gateway.networking.k8s.io does the same")),
	}
}

func kind[T any](name string, versions ...string) dialect.Kind {
	return dialect.Kind{Dialect: decision.GatewayAPI, Group: group, Name: name, Versions: versions,
		Schema: schema.Of(reflect.TypeFor[T]()), Ignored: map[string]string{"status.*": "controllers write it"},
		Unsupported: map[string]string{}, Renamed: map[string]string{}}
}

// later is a kind that is known and has no effect yet.
func later[T any](name, why string, versions ...string) dialect.Kind {
	k := kind[T](name, versions...)
	k.Unsupported[""] = why
	return k
}

func unshaped(name, why string) dialect.Kind {
	return dialect.Kind{Dialect: decision.GatewayAPI, Group: group, Name: name, Versions: []string{"v1alpha1"},
		Unsupported: map[string]string{"": why}}
}

// extra is a kind of the experimental group.
func extra(k dialect.Kind) dialect.Kind {
	k.Group = experimentalGroup
	return k
}
