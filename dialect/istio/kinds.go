package istio

import (
	"reflect"

	extensions "istio.io/api/extensions/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	networkingbeta "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/schema"
)

var (
	networkingVersions = []string{"v1", "v1beta1", "v1alpha3"}
	securityVersions   = []string{"v1", "v1beta1"}

	// notOurs: status is what controllers report.
	notOurs = map[string]string{"status.*": "controllers write it"}
)

// schemas are the shapes of the specs that reader.decode fills in, by their type.
var schemas = map[reflect.Type]*schema.Schema{
	reflect.TypeFor[*networking.VirtualService]():    whole[*networking.VirtualService](),
	reflect.TypeFor[*networking.Gateway]():           whole[*networking.Gateway](),
	reflect.TypeFor[*networking.DestinationRule]():   whole[*networking.DestinationRule](),
	reflect.TypeFor[*networking.WorkloadEntry]():     whole[*networking.WorkloadEntry](),
	reflect.TypeFor[*security.PeerAuthentication]():  whole[*security.PeerAuthentication](),
	reflect.TypeFor[*security.AuthorizationPolicy](): whole[*security.AuthorizationPolicy](),
}

func schemaOf[T any]() *schema.Schema { return schemas[reflect.TypeFor[T]()] }

func whole[T any]() *schema.Schema { return schema.Whole(schema.Of(reflect.TypeFor[T]())) }

// Kinds returns Istio's kinds, for a mesh whose identities are of trustDomain.
func Kinds(trustDomain string) []dialect.Kind {
	return []dialect.Kind{
		reconciled(virtualServiceKind()),
		reconciled(destinationRuleKind()),
		reconciled(gatewayKind()),
		reconciled(workloadEntryKind(trustDomain)),
		reconciled(dialect.Guard(peerAuthenticationKind())),
		reconciled(dialect.Guard(authorizationPolicyKind(trustDomain))),

		later[*networking.ServiceEntry](networkingGroup, "ServiceEntry", networkingVersions,
			"services outside of the mesh cannot be added yet: calls to its hosts leave as applications make them, in plaintext where TLS was to be added, and what a route sends there gets 503"),
		later[*networking.Sidecar](networkingGroup, "Sidecar", networkingVersions,
			"weft's proxies ask only for services that are called, so that egress need not be narrowed to save memory; REGISTRY_ONLY and its other settings have no effect"),
		later[*networking.WorkloadGroup](networkingGroup, "WorkloadGroup", networkingVersions, "workloads register by weft run"),
		later[*networking.EnvoyFilter](networkingGroup, "EnvoyFilter", []string{"v1alpha3"}, "weft's proxy is not Envoy, and its configuration cannot be patched"),
		later[*networkingbeta.ProxyConfig](networkingGroup, "ProxyConfig", []string{"v1beta1"}, "weft's proxy is not Envoy and needs none of these settings"),
		later[*security.RequestAuthentication](securityGroup, "RequestAuthentication", securityVersions,
			"tokens are not checked yet; an AuthorizationPolicy that asks for one lets nobody pass"),
		later[*telemetry.Telemetry](telemetryGroup, "Telemetry", []string{"v1", "v1alpha1"}, "metrics and logs are weft's own and cannot be changed yet"),
		later[*extensions.WasmPlugin](extensionsGroup, "WasmPlugin", []string{"v1alpha1"}, "weft runs no extensions yet"),
		later[*extensions.TrafficExtension](extensionsGroup, "TrafficExtension", []string{"v1alpha1"}, "weft runs no extensions yet"),
	}
}

// reconciled has the status of a kind say what istioctl and Kiali look for (meta/v1alpha1, IstioStatus). Its validationMessages stay as they
// are: they are made of the codes of Istio's own analysis.
func reconciled(k dialect.Kind) dialect.Kind {
	k.Status, k.Unclaimed = dialect.Verdict{Condition: "Reconciled", Generated: true, Later: k.Unsupported[""]}.Status, true
	return k
}

// later is a kind that is known and has no effect yet.
func later[T any](group, name string, versions []string, why string) dialect.Kind {
	return reconciled(dialect.Kind{Dialect: decision.Istio, Group: group, Name: name, Versions: versions, Schema: whole[T](),
		Ignored: notOurs, Unsupported: map[string]string{"": why}})
}
