// Package gatewayapi reads the Gateway API: gateway.networking.k8s.io and gateway.networking.x-k8s.io.
//
// Routes whose parent is a Service say how calls between services go (GAMMA, GEP-1294); those whose parent is a Gateway of weft's, or
// one of its listeners, where calls go that come there from outside. A route can have parents of both sorts.
// Objects are decoded into the types of sigs.k8s.io/gateway-api; their schemas are those types' own. What the API's own
// validation refuses is an error, and the object is not in force. A filter or a backend that weft cannot do must not be
// skipped: the calls that it is for get 500, and a finding says why.
package gatewayapi

import (
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
)

const (
	group             = "gateway.networking.k8s.io"
	experimentalGroup = "gateway.networking.x-k8s.io"
)

// reader reads one object.
type reader struct {
	dialect.Reader
	entering bool                // what is lowered is for calls that come by a gateway: backends in other namespaces need a grant
	read     map[string]*gateway // Gateways that were looked at
	policy   bool                // the object is a route of Linkerd's own
	lost     verdict             // why the first of the backends that cannot be had cannot, in the reasons of ResolvedRefs
	clashes  []string            // fields of filters that were refused since they are not for one rule together
}

func newReader(o *dialect.Object, v dialect.View) *reader {
	if o.Group == policyGroup {
		return &reader{Reader: dialect.NewReader(decision.Linkerd, o, v), policy: true}
	}
	return &reader{Reader: dialect.NewReader(decision.GatewayAPI, o, v)}
}
