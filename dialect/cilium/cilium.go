// Package cilium reads Cilium's objects, of cilium.io, and Kubernetes' NetworkPolicy, which Cilium makes the same rules of.
//
// A network policy is judged at proxies here: calls over TCP, with their HTTP heads, by the port of the workload where they
// arrive. What Cilium's agent refuses is an error, and the object is not in force. Of what weft cannot judge it takes the stricter
// reading: a rule that allows matches less, a rule that denies matches more, and a finding says so.
//
// Cilium's modules cannot be had as Go modules, so the fields are typed here, as the custom resource definitions of Cilium 1.20
// have them, with those that 1.19 still had.
package cilium

import (
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/schema"
)

const group = "cilium.io"

// reader reads one object.
type reader struct {
	dialect.Reader
	trustDomain string
	schema      *schema.Schema
}

// namespace is the policy's own; empty: it is for the whole cluster.
func (r *reader) namespace() string { return r.Object.Namespace }

// clusterwide says whether the policy is for all namespaces.
func (r *reader) clusterwide() bool { return r.Object.Kind == "CiliumClusterwideNetworkPolicy" }
