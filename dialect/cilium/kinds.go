package cilium

import (
	"reflect"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/schema"
)

const (
	addresses = "it is about the addresses that nodes give to pods and services"
	announces = "it is about how addresses are announced to the network around the cluster"
	itsOwn    = "it is what Cilium writes down for itself"
	patches   = "weft's proxy is not Envoy, and takes no configuration of Envoy"
)

// Kinds returns Cilium's kinds, and Kubernetes' NetworkPolicy, for a mesh whose identities are of trustDomain.
func Kinds(trustDomain string) []dialect.Kind {
	return []dialect.Kind{
		valid(dialect.Guard(networkPolicy("CiliumNetworkPolicy", trustDomain))),
		dialect.Guard(dialect.Cluster(networkPolicy("CiliumClusterwideNetworkPolicy", trustDomain))),
		dialect.Guard(cidrGroupKind()),
		dialect.Guard(kubernetesPolicy(trustDomain)),

		dialect.Cluster(later("CiliumEgressGatewayPolicy", "calls leave the mesh by no gateway", "v2")),
		later("CiliumLocalRedirectPolicy", "calls are not turned to pods of the same node", "v2"),
		later("CiliumEnvoyConfig", patches, "v2"),
		dialect.Cluster(later("CiliumClusterwideEnvoyConfig", patches, "v2")),
		later("CiliumGatewayClassConfig", "weft's Gateways have no parameters", "v2alpha1"),

		noPart("CiliumNodeConfig", "it configures Cilium's own agents", "v2", "v2alpha1"),
		noPart("CiliumEndpoint", itsOwn, "v2"),
		dialect.Cluster(noPart("CiliumEndpointSlice", itsOwn, "v2alpha1")),
		dialect.Cluster(noPart("CiliumIdentity", itsOwn, "v2")),
		dialect.Cluster(noPart("CiliumNode", itsOwn, "v2")),
		dialect.Cluster(noPart("CiliumExternalWorkload", "Cilium has given it up; a VM is a workload of its own", "v2")),
		dialect.Cluster(noPart("CiliumPodIPPool", addresses, "v2", "v2alpha1")),
		dialect.Cluster(noPart("CiliumResourceIPPool", addresses, "v2alpha1")),
		dialect.Cluster(noPart("CiliumLoadBalancerIPPool", addresses, "v2", "v2alpha1")),
		dialect.Cluster(noPart("CiliumL2AnnouncementPolicy", announces, "v2alpha1")),
		dialect.Cluster(noPart("CiliumBGPClusterConfig", announces, "v2", "v2alpha1")),
		dialect.Cluster(noPart("CiliumBGPPeerConfig", announces, "v2", "v2alpha1")),
		dialect.Cluster(noPart("CiliumBGPAdvertisement", announces, "v2", "v2alpha1")),
		dialect.Cluster(noPart("CiliumBGPNodeConfig", announces, "v2", "v2alpha1")),
		dialect.Cluster(noPart("CiliumBGPNodeConfigOverride", announces, "v2", "v2alpha1")),
		dialect.Cluster(noPart("CiliumBGPPeeringPolicy", announces, "v2alpha1")),
		dialect.Cluster(noPart("CiliumVTEPConfig", announces, "v2")),
		dialect.Cluster(noPart("CiliumDatapathPlugin", "it is about Cilium's programs in the kernel", "v2alpha1")),
		dialect.Cluster(noPart("CiliumNetworkDriverClusterConfig", "it is about network devices", "v2alpha1")),
		dialect.Cluster(noPart("CiliumNetworkDriverNodeConfig", "it is about network devices", "v2alpha1")),
	}
}

// valid has the status of a kind say what Cilium's operator says (pkg/k8s/apis/cilium.io/v2, NetworkPolicyCondition, which names no generation).
// It is not for kinds of the whole cluster, which no namespace that is adopted gives to weft.
func valid(k dialect.Kind) dialect.Kind {
	k.Status, k.Unclaimed = dialect.Verdict{Condition: "Valid"}.Status, true
	return k
}

func kind(name string, shape *schema.Schema, versions ...string) dialect.Kind {
	return dialect.Kind{Dialect: decision.Cilium, Group: group, Name: name, Versions: versions, Schema: shape,
		Ignored: map[string]string{}, Unsupported: map[string]string{}, Renamed: map[string]string{}}
}

// later is a kind that is known by name and has no effect yet.
func later(name, why string, versions ...string) dialect.Kind {
	k := kind(name, nil, versions...)
	k.Unsupported[""] = why
	return k
}

// noPart is a kind that a mesh of proxies has no use for.
func noPart(name, why string, versions ...string) dialect.Kind {
	k := kind(name, nil, versions...)
	k.Ignored[""] = why
	return k
}

// cidrGroupKind: policies look at it.
func cidrGroupKind() dialect.Kind {
	k := dialect.Cluster(kind("CiliumCIDRGroup", schema.Of(reflect.TypeFor[cidrGroup]()), "v2", "v2alpha1"))
	k.Lower, k.Fields = lowerGroup, []string{"spec.externalCIDRs"}
	k.Ignored["status.*"] = "controllers write it"
	k.Renamed["spec.cidrs"] = "externalCIDRs"
	k.Schema.Require("spec.externalCIDRs")
	return k
}
