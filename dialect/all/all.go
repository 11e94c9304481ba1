// Package all is the list of dialects.
package all

import (
	"slices"
	"sync/atomic"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/cilium"
	"github.com/weft-mesh/weft/dialect/core"
	"github.com/weft-mesh/weft/dialect/gatewayapi"
	"github.com/weft-mesh/weft/dialect/ingress"
	"github.com/weft-mesh/weft/dialect/istio"
	"github.com/weft-mesh/weft/dialect/linkerd"
)

// Kinds are all kinds of objects that weft knows, of every dialect. Identities are of trustDomain. The list is the caller's; what its kinds
// point to is nobody's to change, since all have the same: schemas take 2 MB.
func Kinds(trustDomain string) []dialect.Kind {
	last := lastKinds.Load()
	if last == nil || last.of != trustDomain {
		last = &kindsOf{trustDomain, kinds(trustDomain)}
		lastKinds.Store(last)
	}
	return slices.Clone(last.kinds)
}

type kindsOf struct {
	of    string // trust domain
	kinds []dialect.Kind
}

var lastKinds atomic.Pointer[kindsOf] // that Kinds has made

func kinds(trustDomain string) []dialect.Kind {
	return slices.Concat(core.Kinds(trustDomain), ingress.Kinds(trustDomain), gatewayapi.Kinds(trustDomain), istio.Kinds(trustDomain), linkerd.Kinds(trustDomain),
		cilium.Kinds(trustDomain))
}

// Wide says whether an object may be about namespaces that are not its own.
func Wide(o *dialect.Object) bool { return o.Namespace == "" || o.Namespace == istio.RootNamespace }
