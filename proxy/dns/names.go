package dns

import (
	"net/netip"
	"strings"

	"github.com/weft-mesh/weft/config"
)

// Hosts are the full names of services that a name may mean, in a namespace: NAME, NAME.NAMESPACE, NAME.NAMESPACE.svc, and the full one.
func Hosts(name, namespace string) []string {
	labels := strings.Split(name, ".")
	switch {
	case name == "":
		return nil
	case len(labels) == 1:
		return []string{name + "." + namespace + clusterSuffix}
	case len(labels) == 2:
		return []string{name + clusterSuffix}
	case len(labels) == 3 && labels[2] == "svc":
		return []string{name + strings.TrimPrefix(clusterSuffix, ".svc")}
	case strings.HasSuffix(name, clusterSuffix) && len(labels) == 5:
		return []string{name}
	}
	return nil
}

// clusterSuffix ends full names of services (Kubernetes DNS specification 1.1.0).
const clusterSuffix = ".svc.cluster.local"

// Ours says whether nobody but the mesh can know the name.
func Ours(name string) bool {
	return strings.HasSuffix(name, ".cluster.local") || !strings.Contains(name, ".")
}

// Addresses are those of a service's name: of a headless one those of its endpoints.
func Addresses(svc *config.Service) []netip.Addr {
	if !svc.Headless {
		return append([]netip.Addr{}, svc.IPs...)
	}
	out := []netip.Addr{}
	seen := map[netip.Addr]bool{}
	for i := range svc.Ports {
		for _, e := range svc.Ports[i].Pools[0].Endpoints {
			if a := e.Addr.Addr(); !seen[a] && !e.Draining {
				out, seen[a] = append(out, a), true
			}
		}
	}
	return out
}
