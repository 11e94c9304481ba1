// Package linkerd reads Linkerd's objects: ServiceProfiles of linkerd.io, and the inbound policy of policy.linkerd.io.
//
// A Server is the unit of authorization: its part holds all that the policies and authorizations let pass which target it, or a route that
// is attached to it, so that one engine judges one port. Those other objects have no part of their own; reading them only finds what is wrong.
//
// What Linkerd's admission refuses is an error, and the object is not in force. What it takes and then does not act on, as a
// policy whose authentication is missing, is a warning, and grants nothing here either. Linkerd lets through what a pod sends to
// itself over loopback; so does weft, where such bytes never meet a proxy, and no rule says it: where workloads share loopback
// it would let everybody pass.
package linkerd

import (
	"reflect"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/gatewayapi"
	"github.com/weft-mesh/weft/dialect/schema"
	"github.com/weft-mesh/weft/mesh"
)

const (
	profileGroup      = "linkerd.io"
	policyGroup       = "policy.linkerd.io"
	gatewayGroup      = "gateway.networking.k8s.io"
	workloadGroup     = "workload.linkerd.io"
	multiclusterGroup = "multicluster.linkerd.io"
)

// Kinds returns Linkerd's kinds, for a mesh whose identities are of trustDomain.
func Kinds(trustDomain string) []dialect.Kind {
	return []dialect.Kind{
		serviceProfileKind(trustDomain),
		dialect.Guard(serverKind(trustDomain)),
		dialect.Guard(authorizationPolicyKind(trustDomain)),
		dialect.Guard(serverAuthorizationKind(trustDomain)),
		dialect.Guard(meshTLSKind(trustDomain)),
		dialect.Guard(networkKind(trustDomain)),

		accepted(later(policyGroup, "HTTPLocalRateLimitPolicy", shape[rateLimitSpec](), "v1alpha1", "no calls are limited by it"), "targetRef"),
		accepted(later(policyGroup, "EgressNetwork", shape[egressSpec](), "v1alpha1",
			"services outside of the mesh cannot be added yet, so calls to these addresses are neither routed nor restricted by it")),
		dialect.Guard(gatewayapi.LinkerdRoute()),
		later(workloadGroup, "ExternalWorkload", nil, "v1beta1 v1alpha1", "workloads outside of the cluster cannot be added by it; weft run starts and registers them"),
		later(multiclusterGroup, "Link", nil, "v1alpha3 v1alpha2 v1alpha1", "weft has one cluster yet"),
	}
}

// later is a kind that is known and has no effect yet; the best of its versions stands first.
func later(group, name string, shape *schema.Schema, versions, why string) dialect.Kind {
	return dialect.Kind{Dialect: decision.Linkerd, Group: group, Name: name, Versions: strings.Fields(versions), Schema: shape,
		Unsupported: map[string]string{"": why}}
}

// shape is that of a kind whose spec is a T.
func shape[T any]() *schema.Schema { return schema.Whole(schema.Of(reflect.TypeFor[T]())) }

// rateLimitSpec is HTTPLocalRateLimitPolicy.spec.
type rateLimitSpec struct {
	TargetRef reference  `json:"targetRef"`
	Total     *rateLimit `json:"total"`
	Identity  *rateLimit `json:"identity"`
	Overrides []struct {
		rateLimit
		ClientRefs []reference `json:"clientRefs"`
	} `json:"overrides"`
}

type rateLimit struct {
	RequestsPerSecond int64 `json:"requestsPerSecond"`
}

// egressSpec is EgressNetwork.spec.
type egressSpec struct {
	TrafficPolicy string    `json:"trafficPolicy"`
	Networks      []network `json:"networks"`
}

// reader reads one object.
type reader struct {
	dialect.Reader
	trustDomain string
}

func newReader(trustDomain string, o *dialect.Object, v dialect.View) *reader {
	return &reader{dialect.NewReader(decision.Linkerd, o, v), trustDomain}
}

// shapes are those of the kinds that say who may call.
var shapes = map[string]*schema.Schema{
	"Server": shape[serverSpec](), "ServerAuthorization": shape[serverAuthorizationSpec](), "AuthorizationPolicy": shape[policySpec](),
	"MeshTLSAuthentication": shape[meshTLSSpec](), "NetworkAuthentication": shape[networkSpec](),
}

// strays says whether an object that is in force has a field that is not known, so that it lets nobody pass.
func (r *reader) strays() bool {
	return !r.Refused() && r.Strays(shapes[r.Object.Kind], "spec", "it lets nobody pass")
}

// of reads another object through the same view. What is to be said of it, its own reader says.
func (r *reader) of(o *dialect.Object) *reader { return newReader(r.trustDomain, o, r.View) }

// lowering makes a Kind's Lower of a function that lowers one object.
func lowering(trustDomain string, lower func(*reader) mesh.Part) func(*dialect.Object, dialect.View) (mesh.Part, []mesh.Finding) {
	return func(o *dialect.Object, v dialect.View) (mesh.Part, []mesh.Finding) {
		r := newReader(trustDomain, o, v)
		return lower(r), r.Found
	}
}
