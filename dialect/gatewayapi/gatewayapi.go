// Package gatewayapi reads the Gateway API: gateway.networking.k8s.io and gateway.networking.x-k8s.io.
//
// Routes whose parent is a Service say how calls between services go (GAMMA, GEP-1294); routes of Gateways have no effect yet.
// Objects are decoded into the types of sigs.k8s.io/gateway-api; their schemas are those types' own. What the API's own
// validation refuses is an error, and the object is not in force. A filter or a backend that weft cannot do must not be
// skipped: the calls that it is for get 500, and a finding says why.
package gatewayapi

import (
	"slices"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

const (
	group             = "gateway.networking.k8s.io"
	experimentalGroup = "gateway.networking.x-k8s.io"
)

// reader reads one object and collects what is to be said of it.
type reader struct {
	object *dialect.Object
	view   dialect.View
	ref    decision.Ref
	found  []mesh.Finding
}

func newReader(o *dialect.Object, v dialect.View) *reader {
	return &reader{object: o, view: v, ref: o.Ref(decision.GatewayAPI)}
}

// refuse says why the object cannot be in force.
func (r *reader) refuse(field, text, remedy string) { r.note(mesh.Error, field, text, remedy) }

func (r *reader) warn(field, text, remedy string) { r.note(mesh.Warning, field, text, remedy) }

func (r *reader) info(field, text, remedy string) { r.note(mesh.Info, field, text, remedy) }

func (r *reader) note(l mesh.Level, field, text, remedy string) {
	f := mesh.Finding{Ref: r.ref, Field: field, Text: text, Remedy: remedy, Level: l}
	if !slices.Contains(r.found, f) { // what a rule says is looked at once for each of its matches
		r.found = append(r.found, f)
	}
}

// ruleRef is the Ref of the rule at a field: "spec.rules[0]" is rule rules[0].
func (r *reader) ruleRef(field string) decision.Ref {
	return r.ref.At(strings.TrimPrefix(field, "spec."))
}

// or returns what p points at, else what counts where nothing is written.
func or[T any](p *T, unset T) T {
	if p == nil {
		return unset
	}
	return *p
}
