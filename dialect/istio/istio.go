// Package istio reads Istio's objects: networking.istio.io, security.istio.io, telemetry.istio.io and extensions.istio.io.
//
// Objects are decoded into the types of istio.io/api; their schemas are those types' own. What Istio's validation refuses is an
// error, and the object is not in force. What weft cannot do yet is a warning; of an AuthorizationPolicy it then takes the
// stricter reading: a rule that allows matches less, a rule that denies matches more.
package istio

import (
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

const (
	networkingGroup = "networking.istio.io"
	securityGroup   = "security.istio.io"
	telemetryGroup  = "telemetry.istio.io"
	extensionsGroup = "extensions.istio.io"

	rootNamespace = "istio-system" // whose policies are for the whole mesh (MeshConfig.rootNamespace)
	meshGateway   = "mesh"         // what VirtualServices call all sidecars
)

// reader reads one object and collects what is to be said of it.
type reader struct {
	object *dialect.Object
	view   dialect.View
	ref    decision.Ref
	found  []mesh.Finding
	told   map[string]bool // hosts and subsets that something was said of: once in an object is enough
}

func newReader(o *dialect.Object, v dialect.View) *reader {
	return &reader{object: o, view: v, ref: o.Ref(decision.Istio), told: map[string]bool{}}
}

// root says whether the object stands where Istio keeps what is for the whole mesh.
func (r *reader) root() bool { return r.object.Namespace == rootNamespace }

// refuse says why the object cannot be in force.
func (r *reader) refuse(field, text, remedy string) { r.note(mesh.Error, field, text, remedy) }

func (r *reader) warn(field, text, remedy string) { r.note(mesh.Warning, field, text, remedy) }

func (r *reader) info(field, text, remedy string) { r.note(mesh.Info, field, text, remedy) }

func (r *reader) note(l mesh.Level, field, text, remedy string) {
	r.found = append(r.found, mesh.Finding{Ref: r.ref, Field: field, Text: text, Remedy: remedy, Level: l})
}

// once says whether what is known as key has not been said yet.
func (r *reader) once(key string) bool {
	first := !r.told[key]
	r.told[key] = true
	return first
}

// refused says whether any finding keeps the object out of force.
func (r *reader) refused() bool {
	for i := range r.found {
		if r.found[i].Level == mesh.Error {
			return true
		}
	}
	return false
}

// rule returns the Ref of the rule at a field: "spec.http[0]" is rule http[0].
func (r *reader) rule(field string) decision.Ref { return r.ref.At(strings.TrimPrefix(field, "spec.")) }
