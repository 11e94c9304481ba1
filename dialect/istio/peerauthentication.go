package istio

import (
	"fmt"
	"maps"
	"slices"

	security "istio.io/api/security/v1beta1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/mtls"
	"github.com/weft-mesh/weft/mesh"
)

func peerAuthentication(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r, pa := newReader(o, v), &security.PeerAuthentication{}
	if !r.decode(pa) {
		return part, r.Found
	}
	selects := len(pa.Selector.GetMatchLabels()) > 0
	if r.root() && selects {
		r.Warn("spec.selector", "in the namespace "+RootNamespace+" a PeerAuthentication with a selector has no effect, in Istio neither",
			"put it into the namespace of the workloads, or remove the selector for the whole mesh")
		return part, r.Found
	}
	if !selects && len(pa.PortLevelMtls) > 0 {
		r.Refuse("spec.portLevelMtls", "ports can be named only beside a selector", "select the workloads")
	}
	m := mesh.PeerMode{Ref: r.Ref, Created: o.Created, Namespace: o.Namespace, Mode: mtls.Mode(pa.Mtls.GetMode())}
	if r.root() {
		m.Namespace = ""
	}
	if selects {
		m.Selector = r.selector("spec.selector", pa.Selector)
	}
	m.Ports = r.portModes(pa.PortLevelMtls)
	if r.Strays(schemaOf[*security.PeerAuthentication](), "spec", "calls in the clear are refused") {
		m.Mode, m.Ports = mtls.Strict, nil
	}
	part.PeerModes = []mesh.PeerMode{m}
	return part, r.Found
}

// portModes lowers portLevelMtls; ports are the workload's, not the service's.
func (r *reader) portModes(modes map[uint32]*security.PeerAuthentication_MutualTLS) (ports []mtls.Port) {
	for _, n := range slices.Sorted(maps.Keys(modes)) {
		field := dialect.Child("spec.portLevelMtls", fmt.Sprint(n))
		port := r.port(field, n)
		if n == 0 {
			r.Refuse(field, "0 is not a port", "a port is from 1 to 65535")
		}
		ports = append(ports, mtls.Port{Ref: r.Rule(field), Port: port, Mode: mtls.Mode(modes[n].GetMode())})
	}
	return ports
}
