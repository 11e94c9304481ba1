package istio

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unique"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

const (
	// tunnelLabel says that the workload's proxy takes HBONE.
	tunnelLabel = "networking.istio.io/tunnel"
	tunnelPort  = 15008
)

func workloadEntry(trustDomain string) func(*dialect.Object, dialect.View) (mesh.Part, []mesh.Finding) {
	return func(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
		r, we := newReader(o, v), &networking.WorkloadEntry{}
		if !r.decode(we) {
			return part, r.Found
		}
		addr, ok := r.address(we)
		if !ok {
			return part, r.Found
		}
		labels := map[string]string{}
		maps.Copy(labels, we.Labels)
		maps.Copy(labels, o.Labels) // the object's own come first, as in Istio
		w := mesh.Workload{Name: o.Name, Namespace: o.Namespace, Addr: addr, Claimed: true,
			Labels: dialect.Labels(labels), Ports: r.workloadPorts(we.Ports), Zone: zone(we.Locality), Weight: we.Weight, Ready: true}
		if we.ServiceAccount != "" {
			id := identity.Of(trustDomain, o.Namespace, we.ServiceAccount)
			r.checkID(id)
			w.Identity = unique.Make(id)
		}
		if labels[tunnelLabel] == "http" {
			w.Tunnel = netip.AddrPortFrom(addr, tunnelPort)
		}
		part.Workloads = []mesh.Workload{w}
		return part, r.Found
	}
}

// address reads where the workload is; false: nowhere that weft can call.
func (r *reader) address(we *networking.WorkloadEntry) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(we.Address)
	switch {
	case err == nil:
		return addr.Unmap(), true
	case we.Address == "" && we.Network == "":
		r.Refuse("spec.address", "the address is missing", "")
	case we.Address == "":
		r.Warn("spec.address", "without an address it takes no calls", "give an IP address")
	case strings.HasPrefix(we.Address, "unix://"):
		r.Warn("spec.address", "Unix sockets are not supported yet: it takes no calls", "give an IP address")
	default:
		r.Warn("spec.address", "names are not resolved yet: it takes no calls", "give an IP address")
	}
	return addr, false
}

// workloadPorts lowers ports by name. What they speak is told by the Service.
func (r *reader) workloadPorts(ports map[string]uint32) (out []mesh.WorkloadPort) {
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		field := dialect.Child("spec.ports", name)
		n := r.port(field, ports[name])
		if ports[name] == 0 {
			r.Refuse(field, "0 is not a port", "a port is from 1 to 65535")
		}
		out = append(out, mesh.WorkloadPort{Name: name, Number: n, Proto: traffic.Detect})
	}
	return out
}

func (r *reader) checkID(id identity.ID) {
	if err := id.Validate(); err != nil {
		r.Refuse("spec.serviceAccount", fmt.Sprintf("%q cannot be part of an identity", id.ServiceAccount), "")
	}
}

// zone is the second step of region/zone/subzone, else the first.
func zone(locality string) string {
	steps := strings.Split(locality, "/")
	if len(steps) > 1 {
		return steps[1]
	}
	return steps[0]
}
