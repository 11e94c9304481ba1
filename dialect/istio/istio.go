// Package istio reads Istio's objects: networking.istio.io, security.istio.io, telemetry.istio.io and extensions.istio.io.
//
// Objects are decoded into the types of istio.io/api; their schemas are those types' own. What Istio's validation refuses is an
// error, and the object is not in force. What weft cannot do yet is a warning; of an AuthorizationPolicy it then takes the
// stricter reading: a rule that allows matches less, a rule that denies matches more.
package istio

import (
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
)

const (
	networkingGroup = "networking.istio.io"
	securityGroup   = "security.istio.io"
	telemetryGroup  = "telemetry.istio.io"
	extensionsGroup = "extensions.istio.io"

	RootNamespace = "istio-system" // whose policies are for the whole mesh (MeshConfig.rootNamespace)
	meshGateway   = "mesh"         // what VirtualServices call all sidecars
)

// reader reads one object.
type reader struct {
	dialect.Reader
	told  map[string]bool // hosts and subsets that something was said of: once in an object is enough
	place *place          // where rules are to have an effect; nil: beside workloads
}

func newReader(o *dialect.Object, v dialect.View) *reader {
	return &reader{Reader: dialect.NewReader(decision.Istio, o, v), told: map[string]bool{}}
}

// root says whether the object stands where Istio keeps what is for the whole mesh.
func (r *reader) root() bool { return r.Object.Namespace == RootNamespace }

// once says whether what is known as key has not been said yet.
func (r *reader) once(key string) bool {
	first := !r.told[key]
	r.told[key] = true
	return first
}
