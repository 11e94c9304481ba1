// Package core reads Kubernetes' own objects: the services, endpoints and workloads that there are. The kinds that have no
// part in a mesh, or none yet, are known by name and shape, so that each is a finding that says so.
package core

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/schema"
	"github.com/weft-mesh/weft/mesh"
)

// Kinds is the list of kinds. Workloads get identities of the trust domain.
func Kinds(trustDomain string) []dialect.Kind {
	kinds := []dialect.Kind{namespace(), account(), service(), endpointSlice(), pod(trustDomain), node(), secret(), configMap()}
	return append(kinds, others()...)
}

func kind[T any](name string) dialect.Kind {
	return dialect.Kind{Dialect: decision.Core, Name: name, Versions: []string{"v1"}, Schema: schema.Of(reflect.TypeFor[T]()),
		Ignored: map[string]string{}, Unsupported: map[string]string{}}
}

// reader reads one object.
type reader struct{ dialect.Reader }

func newReader(o *dialect.Object, v dialect.View) *reader {
	return &reader{dialect.NewReader(decision.Core, o, v)}
}

// nothing lowers kinds that other objects look at and that say nothing themselves.
func nothing(*dialect.Object, dialect.View) (mesh.Part, []mesh.Finding) { return mesh.Part{}, nil }

func namespace() dialect.Kind {
	k := kind[corev1.Namespace]("Namespace")
	k.Cluster, k.CheckName = true, validation.IsDNS1123Label
	k.Lower = func(o *dialect.Object, v dialect.View) (mesh.Part, []mesh.Finding) {
		r := newReader(o, v)
		r.otherwise()
		return mesh.Part{}, r.Found
	}
	k.Annotations = []string{opaquePorts, inboundPolicy, identityPorts}
	k.Ignored["spec.*"] = "finalizers are the cluster's own affair"
	k.Ignored["status.*"] = "it is what a controller says"
	return k
}

func account() dialect.Kind {
	k := kind[corev1.ServiceAccount]("ServiceAccount")
	k.Lower = nothing
	for _, field := range []string{"secrets.*", "imagePullSecrets.*", "automountServiceAccountToken"} {
		k.Ignored[field] = "a workload's identity is its account's name alone"
	}
	return k
}

// secret: Gateways look at those that hold certificates.
func secret() dialect.Kind {
	k := kind[corev1.Secret]("Secret")
	k.Lower, k.Hidden = nothing, true
	k.Kept = []string{"data{}", "stringData{}"} // a Gateway that names the Secret reads its certificate; nobody else reads it
	k.Ignored["type"] = "what is in it counts"
	k.Ignored["immutable"] = "it is for the API server"
	return k
}

// configMap: Gateways and BackendTLSPolicies look at those that hold authorities' certificates.
func configMap() dialect.Kind {
	k := kind[corev1.ConfigMap]("ConfigMap")
	k.Lower, k.Keys = nothing, []string{"ca.crt"}
	k.Kept = []string{"data{}"}
	k.Ignored["binaryData.*"] = "certificates in PEM are text"
	k.Ignored["immutable"] = "it is for the API server"
	return k
}

func node() dialect.Kind {
	k := kind[corev1.Node]("Node")
	k.Cluster, k.Lower = true, nothing
	k.Ignored["spec.*"] = "a node's labels alone say in which zone its pods are"
	k.Ignored["status.*"] = "it is what a controller says"
	return k
}

func endpointSlice() dialect.Kind {
	k := kind[discoveryv1.EndpointSlice]("EndpointSlice")
	k.Group, k.Versions, k.Lower = "discovery.k8s.io", []string{"v1", "v1beta1"}, lowerSlice
	k.Schema.SetEnum("addressType", "IPv4", "IPv6", "FQDN").Require("addressType", "endpoints[].addresses")
	k.Schema.SetEnum("ports[].protocol", "TCP", "UDP", "SCTP")
	k.Fields = []string{"addressType", "endpoints[].addresses", "endpoints[].conditions.ready", "endpoints[].conditions.serving",
		"endpoints[].conditions.terminating", "endpoints[].targetRef.kind", "endpoints[].targetRef.name", "ports[].name", "ports[].port", "ports[].protocol",
		"ports[].appProtocol", "endpoints[].hints.forZones[].name", "endpoints[].hints.forNodes[].name"}
	k.Ignored["endpoints[].targetRef.*"] = "kind and name say which pod it is"
	k.Ignored["endpoints[].nodeName.*"] = "it says where the endpoint is; hints say whose callers are to call it"
	k.Ignored["endpoints[].zone"] = k.Ignored["endpoints[].nodeName.*"]
	k.Ignored["endpoints[].hostname"] = "it is for the cluster's DNS, which gives the endpoint a name by it; a call to that name is one to the endpoint's address"
	return k
}
